"""`--against`: two samples of which it is known who wakes on the second."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from dormancy.io import ReplaySample, save_sample
from tests.cli.runs import INPUTS, ROWS, Dormancy


@pytest.fixture
def waking(checkpoint: Path, tmp_path: Path) -> Path:
    """A sample on which two silent neurons of fc1 wake: their bias of -1e6 is overcome by inputs of that size.

    All of fc1 is then as large, and so are all that fc2 hears: its three silent neurons, with a bias alike, wake too.
    """
    rows = np.full((ROWS, INPUTS), 1e9, np.float32)
    return save_sample(tmp_path / "waking.h5", ReplaySample(rows, provenance={"env_id": "CartPole-v1"}))


def test_who_wakes_on_the_other_sample_is_counted(dormancy: Dormancy, checkpoint: Path, waking: Path) -> None:
    result = dormancy("scan", checkpoint, "--tau", 0, "--against", waking, "--format", "json")
    assert result.code == 0
    document = json.loads(result.out)
    assert document["schema"] == "dormancy.comparisons/1"
    (found,) = document["comparisons"]
    names = ("both", "first_only", "second_only", "neither")
    counts = {row["layer"]: [row[name] for name in names] for row in [*found["layers"], found["network"]]}
    assert counts == {"fc1": [0, 2, 0, 6], "fc2": [0, 3, 0, 1], "network": [0, 5, 0, 7]}
    assert found["second"]["path"] == str(waking)
    assert found["observations"] == [ROWS, ROWS]


def test_a_sample_against_itself_agrees(dormancy: Dormancy, checkpoint: Path, series_folder: Path) -> None:
    sample = series_folder / "samples" / "step_00002000.h5"
    result = dormancy("scan", checkpoint, "--tau", 0, "--sample", sample, "--against", sample)
    assert result.code == 0
    assert "of 5 neurons dormant on A, 0 (0.0 %) are awake on B" in result.out
    (network,) = [line.split() for line in result.out.splitlines() if line.startswith("network")]
    assert network == ["network", "12", "5", "0", "0", "7", "1", "0.4167"]


def test_every_checkpoint_and_tau_is_compared_and_what_fails_is_told(
    dormancy: Dormancy, series_folder: Path, broken: Path, waking: Path, tmp_path: Path
) -> None:
    path = tmp_path / "compared.csv"
    arguments = ("--tau", 0, "--tau", 0.5, "--against", waking, "-o", path, "--jobs", 2)
    assert dormancy("scan", series_folder, broken, *arguments).code == 4
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == 3 * 2 * 3
    assert {row["against"] for row in rows} == {str(waking)}
    assert dormancy("scan", broken, "--against", waking).code == 3


def test_markdown_is_a_table_that_renders(dormancy: Dormancy, checkpoint: Path, waking: Path) -> None:
    out = dormancy("scan", checkpoint, "--tau", 0, "--against", waking, "--format", "md").out
    lines = [line for line in out.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {9}
    assert "| fc1 | 8 | 0 | 2 | 0 | 6 |  |  |" in lines


@pytest.mark.parametrize(
    "more", [("--fail-above", "0.5"), ("--confidence", "0.9"), ("--format", "junit"), ("--format", "jsonl")]
)
def test_what_has_no_place_in_a_comparison_is_refused(
    dormancy: Dormancy, checkpoint: Path, waking: Path, more: tuple[str, str]
) -> None:
    result = dormancy("scan", checkpoint, "--against", waking, *more)
    assert (result.code, result.out) == (2, "")
    assert "--against" in result.err


def test_a_sample_that_cannot_be_read_is_one_failure_a_checkpoint(
    dormancy: Dormancy, series_folder: Path, broken: Path
) -> None:
    result = dormancy("scan", series_folder, "--against", broken)
    assert (result.code, result.out, result.err.count("error: ")) == (3, "", 3)
