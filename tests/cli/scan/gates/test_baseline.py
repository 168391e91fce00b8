"""`--baseline`: whose counterpart is whose, what is refused, what is told, and where it shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dormancy.errors import FormatError, UsageError
from dormancy.io import Assumption, Source
from dormancy.networks import MLPNetwork
from dormancy.scanning.sample_comparison import change_interval
from dormancy.scanning.scanner import scan
from dormancy_cli.scan.gates.baseline import Baseline, read_baseline
from tests.cli.runs import Dormancy, write_checkpoint
from tests.cli.scan.gates.test_gates import scan_of


@pytest.fixture
def last(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> Path:
    """The result of an earlier scan of the series: 1/6, 5/12 and 2/3 of its neurons are silent."""
    path = tmp_path / "last.json"
    assert dormancy("scan", series_folder, "--tau", 0, "-o", path, "-q").code == 0
    return path


@pytest.fixture
def worse(series_folder: Path, tmp_path: Path) -> Path:
    """The same run with a second checkpoint in which 7 of 12 neurons are silent, not 5."""
    folder = Path(shutil.copytree(series_folder, tmp_path / "later" / "cartpole"))
    write_checkpoint_anew(folder, 2000, (4, 3))
    return folder


def write_checkpoint_anew(folder: Path, step: int, silenced: tuple[int, int]) -> None:
    for path in folder.rglob(f"step_{step:08d}.*"):
        path.unlink()
    write_checkpoint(folder, step, silenced)


def test_an_unchanged_run_passes(dormancy: Dormancy, series_folder: Path, last: Path) -> None:
    result = dormancy("scan", series_folder, "--tau", 0, "--baseline", last, "--fail-increase", 0, "-q")
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(("limit", "code"), [("0.16", 1), ("0.17", 0), ("fc1=0.24", 1), ("fc1=25%", 0), ("fc2=0", 0)])
def test_a_change_since_the_same_step_is_gated(
    dormancy: Dormancy, worse: Path, last: Path, limit: str, code: int
) -> None:
    result = dormancy("scan", worse, "--tau", 0, "--baseline", last, "--fail-increase", limit, "--format", "json")
    assert result.code == code
    verdicts = json.loads(result.out)["gates"]
    assert [verdict["passed"] for verdict in verdicts] == [True, code == 0, True]
    assert [verdict["baseline"]["agent_step"] for verdict in verdicts] == [1000, 2000, 3000]
    assert ("step_00002000.pt" in result.err) == (code == 1)


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv", "md", "junit"])
def test_every_format_tells_which_gate_failed(dormancy: Dormancy, worse: Path, last: Path, format: str) -> None:
    arguments = ("--baseline", last, "--fail-increase", "fc1=0.1", "--fail-above", "fc2=1", "-q")
    result = dormancy("scan", worse, "--tau", 0, *arguments, "--format", format)
    assert result.code == 1
    if format == "jsonl":
        lines = [json.loads(line)["gates"] for line in result.out.splitlines()]
        assert [[gate["passed"] for gate in gates] for gates in lines] == [[True, True], [True, False], [True, True]]
    elif format == "csv":
        assert result.out.count("--fail-increase fc1=0.1") == 2  # the two layers of the one checkpoint
    else:
        assert "fail-increase" in result.out
        assert "failed" in result.out.lower()
        assert "25.0 % in the baseline" in result.out


def test_a_step_that_the_baseline_does_not_have_is_compared_with_its_last(
    dormancy: Dormancy, series_folder: Path, tmp_path: Path, last: Path
) -> None:
    longer = Path(shutil.copytree(series_folder, tmp_path / "on" / "cartpole"))
    write_checkpoint(longer, 4000, (8, 4))
    newest = longer / "checkpoints" / "step_00004000.pt"
    result = dormancy("scan", newest, "--tau", 0, "--baseline", last, "--fail-increase", 0.3, "--format", "json")
    assert result.code == 1
    (verdict,) = json.loads(result.out)["gates"]
    assert (verdict["before"], verdict["value"]) == (pytest.approx(2 / 3), 1.0)
    assert verdict["baseline"]["agent_step"] == 3000


def test_another_sample_is_told_and_refused_where_asked(dormancy: Dormancy, worse: Path, last: Path) -> None:
    arguments = ("scan", worse, "--tau", 0, "--baseline", last, "--fail-increase", 1)
    sample = worse / "samples" / "step_00003000.h5"
    told = dormancy(*arguments, "--sample", sample)
    assert told.code == 0
    assert "step_00001000.pt and 1 more: the baseline was measured on another sample" in told.err
    refused = dormancy(*arguments, "--sample", sample, "--same-sample", "--format", "json")
    assert refused.code == 4  # the last checkpoint's own sample is this one
    outcomes = [verdict["outcome"] for verdict in json.loads(refused.out)["gates"]]
    assert outcomes == ["not judged", "not judged", "passed"]
    assert "gate not judged: --fail-increase 1" in refused.err


def test_another_network_is_refused(
    dormancy: Dormancy, tmp_path: Path, last: Path, other_network: Callable[[Path], Path]
) -> None:
    other = other_network(tmp_path / "cartpole")
    result = dormancy("scan", other, "--tau", 0, "--baseline", last, "--fail-increase", 1)
    assert result.code == 3
    assert "the baseline is of another network: fc1:8 fc2:4 there, fc1:6 fc2:4 here" in result.err


def test_another_environment_is_refused_and_other_assumptions_are_told() -> None:
    before = replace(scan_of(2), env_id="CartPole-v1")
    baseline = Baseline(Path("last.json"), {"run": [before]})
    pong = baseline.counterpart("run", replace(before, env_id="ALE/Pong-v5"), only_run=True)
    assert "the baseline is of CartPole-v1, this checkpoint of ALE/Pong-v5" in str(pong.problem)
    scaled = replace(before, assumptions=(Assumption("input scale", "0.5", "flag"),))
    assert "other assumptions: input scale" in baseline.counterpart("run", scaled, only_run=True).notes[0]


def test_runs_are_told_apart_by_name_and_a_single_one_may_be_renamed() -> None:
    runs = {"a": [scan_of(1)], "b": [scan_of(2), scan_of(3, step=200)]}
    two = Baseline(Path("last.json"), runs)
    assert two.counterpart("b", scan_of(5, step=200), only_run=True).scan is runs["b"][1]
    assert "has no run 'c'; it has a, b" in str(two.counterpart("c", scan_of(5), only_run=True).problem)
    one = Baseline(Path("last.json"), {"a": runs["a"]})
    renamed = one.counterpart("c", scan_of(5), only_run=True)
    assert renamed.scan is runs["a"][0]
    assert renamed.notes == ("the baseline's run is 'a'",)
    assert one.counterpart("c", scan_of(5), only_run=False).scan is None


def test_files_without_steps_are_matched_by_their_path() -> None:
    first, second = (replace(scan_of(n), agent_step=None, checkpoint=Source(f"{n}.pt", "bare", "x")) for n in (1, 2))
    baseline = Baseline(Path("last.json"), {"run": [first, second]})
    assert baseline.counterpart("run", first, only_run=True).scan is first


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_a_baseline_is_read_in_every_form(dormancy: Dormancy, series_folder: Path, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"last.{format}"
    dormancy("scan", series_folder, "-o", path, "-q")
    found = read_baseline(path)
    assert {name: len(scans) for name, scans in found.runs.items()} == {"cartpole": 3}


def test_a_baseline_that_is_none_is_an_error_before_any_work(
    dormancy: Dormancy, checkpoint: Path, tmp_path: Path
) -> None:
    missing = dormancy("scan", checkpoint, "--baseline", tmp_path / "no.json", "--fail-increase", 0)
    assert (missing.code, missing.out) == (3, "")
    alone = dormancy("scan", checkpoint, "--fail-increase", 0.1)
    assert alone.code == 2
    assert "--baseline FILE.json" in alone.err
    idle = dormancy("scan", checkpoint, "--baseline", tmp_path / "no.json")
    assert idle.code == 2
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(FormatError, match="holds no scan"):
        read_baseline(empty)


def test_with_confidence_only_a_change_beyond_doubt_fails(
    dormancy: Dormancy, worse: Path, series_folder: Path, tmp_path: Path
) -> None:
    last = tmp_path / "sure.json"
    arguments = ("--tau", 0.1, "--confidence", 0.95, "-q")
    assert dormancy("scan", series_folder, *arguments, "-o", last).code == 0
    result = dormancy("scan", worse, *arguments, "--baseline", last, "--fail-increase", 0.1, "--format", "json")
    assert result.code == 1
    changed = json.loads(result.out)["gates"][1]
    low, high = changed["interval"]
    assert 0.1 < low <= changed["value"] - changed["before"] <= high


def test_a_baseline_without_replicates_cannot_be_judged_with_confidence(
    dormancy: Dormancy, series_folder: Path, last: Path
) -> None:
    result = dormancy(
        "scan", series_folder, "--tau", 0.1, "--confidence", 0.9, "--baseline", last, "--fail-increase", 0
    )
    assert result.code == 3
    assert "the baseline was not resampled as --confidence asks" in result.err


def test_the_change_of_a_network_to_itself_is_exactly_nothing() -> None:
    rows = np.random.default_rng(0).standard_normal((64, 4)).astype("float32")
    model = MLPNetwork(4, 2, hidden=(16,))
    found = scan(model, rows, 0.9, metrics=["uncertainty"])
    assert change_interval(found, found) == (0.0, 0.0, 0.0)
    assert found.interval().low < found.interval().high
    with pytest.raises(UsageError, match="unknown layer"):
        change_interval(found, found, layer="fc9")
