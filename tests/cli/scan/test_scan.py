"""`dormancy scan` on runs whose answer is known by construction."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dormancy.io import sha256_file
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.scanner import scan_checkpoint
from tests.cli.runs import Dormancy, Outcome


def table_rows(out: str) -> dict[str, list[str]]:
    """Read a table as people do: the first word of a line, then the others."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.split()}


def test_one_checkpoint_is_one_row_a_layer(dormancy: Dormancy, checkpoint: Path) -> None:
    result = dormancy("scan", checkpoint, "--tau", 0)
    assert result.code == 0
    rows = table_rows(result.out)
    assert rows["fc1"][:5] == ["relu", "8", "2", "25.0", "%"]
    assert rows["fc2"][:5] == ["relu", "4", "3", "75.0", "%"]
    assert rows["network"] == ["12", "5", "41.7", "%"]
    assert "mean of the layers' shares is 50.0 % (tau 0)" in result.out


def test_many_checkpoints_are_one_row_a_checkpoint_with_their_overlap(dormancy: Dormancy, series_folder: Path) -> None:
    result = dormancy("scan", series_folder, "--tau", 0)
    assert result.code == 0
    lines = [line.split() for line in result.out.splitlines() if line.lstrip().startswith(("1 000", "2 000", "3 000"))]
    assert [line[2:5] for line in lines] == [["2", "16.7", "%"], ["5", "41.7", "%"], ["8", "66.7", "%"]]
    assert [line[5] for line in lines[1:]] == ["1.00", "1.00"]  # the silent ones of before are silent still


def test_the_numbers_are_those_of_the_library(dormancy: Dormancy, checkpoint: Path) -> None:
    document = json.loads(dormancy("scan", checkpoint, "--tau", 0.1, "--tau", 0, "--format", "json").out)
    (run,) = document["runs"]
    (found,) = run["scans"]
    assert found == json.loads(json.dumps(scan_checkpoint(checkpoint, tau=(0.1, 0)).to_dict()))


def test_json_has_one_form_for_one_and_for_many(dormancy: Dormancy, series_folder: Path, checkpoint: Path) -> None:
    many = json.loads(dormancy("scan", series_folder, "--tau", 0, "--format", "json").out)
    one = json.loads(dormancy("scan", checkpoint, "--tau", 0, "--format", "json").out)
    assert many.keys() == one.keys() == {"schema", "runs", "gates", "failures"}
    assert many["schema"] == "dormancy.results/1"
    assert many["runs"][0]["name"] == one["runs"][0]["name"] == "cartpole"
    assert len(many["runs"][0]["scans"]) == 3
    assert many["runs"][0]["overlap"] == {
        "previous": [None, 1.0, 1.0],
        "cumulative": [None, 1.0, 1.0],
        "first": [None, 1.0, 1.0],
    }


def test_jsonl_is_a_scan_a_line(dormancy: Dormancy, series_folder: Path) -> None:
    lines = dormancy("scan", series_folder, "--format", "jsonl").out.splitlines()
    steps = [DormancyScan.from_dict(json.loads(line)).agent_step for line in lines]
    assert steps == [1000, 2000, 3000]


def test_csv_is_a_row_a_checkpoint_layer_and_tau(dormancy: Dormancy, series_folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(dormancy("scan", series_folder, "-t", 0, "-t", 0.5, "--format", "csv").out)))
    assert len(rows) == 3 * 2 * 2
    at_zero = [row for row in rows if row["tau"] == "0.0"]
    assert [(row["agent_step"], row["layer"], row["dormant"], row["fraction"]) for row in at_zero[2:4]] == [
        ("2000", "fc1", "2", "0.25"),
        ("2000", "fc2", "3", "0.75"),
    ]
    assert {row["sample_sha256"] for row in rows} == {
        sha256_file(path) for path in (series_folder / "samples").iterdir()
    }


def test_markdown_is_a_table_that_renders(dormancy: Dormancy, checkpoint: Path) -> None:
    out = dormancy("scan", checkpoint, "--tau", 0, "--format", "md").out
    lines = [line for line in out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "| 2000 | fc2 | 4 | 0 | 3 | 0.75 |" in lines


def test_output_that_is_piped_is_plain(dormancy: Dormancy, series_folder: Path) -> None:
    out = dormancy("scan", series_folder).out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "md", "txt"])
def test_a_file_holds_what_standard_output_would(
    dormancy: Dormancy, checkpoint: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"result.{suffix}"
    result = dormancy("scan", checkpoint, "-o", path)
    assert (result.code, result.out) == (0, "")
    form = "table" if suffix == "txt" else suffix
    assert path.read_text() == dormancy("scan", checkpoint, "--format", form).out


def test_nothing_is_overwritten_unless_asked(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("mine")
    refused = dormancy("scan", checkpoint, "-o", path)
    assert refused.code == 3
    assert "--force" in refused.err
    assert path.read_text() == "mine"
    assert dormancy("scan", checkpoint, "-o", path, "--force").code == 0
    assert json.loads(path.read_text())["schema"] == "dormancy.results/1"


def test_layers_can_be_chosen(dormancy: Dormancy, checkpoint: Path) -> None:
    rows = table_rows(dormancy("scan", checkpoint, "--layers", "fc2").out)
    assert "fc2" in rows
    assert "fc1" not in rows
    wrong = dormancy("scan", checkpoint, "--layers", "conv")
    assert wrong.code == 2
    assert "fc1, fc2" in wrong.err


def test_another_sample_can_be_named(dormancy: Dormancy, checkpoint: Path, series_folder: Path, tmp_path: Path) -> None:
    alone = shutil.copy(checkpoint, tmp_path / "alone.pt")
    missing = dormancy("scan", alone)
    assert missing.code == 3
    assert "--sample" in missing.err
    sample = series_folder / "samples" / "step_00001000.h5"
    given = json.loads(dormancy("scan", alone, "--sample", sample, "--format", "json").out)
    assert given["runs"][0]["scans"][0]["sample"]["sha256"] == sha256_file(sample)


@pytest.mark.parametrize(
    ("gate", "code"), [("0.41", 1), ("0.42", 0), ("42%", 0), ("fc1=0.25", 0), ("fc1=0.24", 1), ("fc2=74%", 1)]
)
def test_a_gate_decides_the_exit_code(dormancy: Dormancy, checkpoint: Path, gate: str, code: int) -> None:
    result = dormancy("scan", checkpoint, "--tau", 0, "--fail-above", gate)
    assert result.code == code
    assert result.err.count("gate failed") == code


def test_gates_are_part_of_the_json(dormancy: Dormancy, series_folder: Path) -> None:
    arguments = ("--tau", 0, "--format", "json", "--fail-above", 0.5, "--fail-above", "fc1=0.9")
    result = dormancy("scan", series_folder, *arguments)
    assert result.code == 1
    verdicts = json.loads(result.out)["gates"]
    assert [verdict["passed"] for verdict in verdicts if verdict["layer"] is None] == [True, True, False]
    assert all(verdict["passed"] for verdict in verdicts if verdict["layer"] == "fc1")
    assert "step_00003000.pt" in result.err


def test_a_gate_on_an_unknown_layer_names_the_right_one(dormancy: Dormancy, checkpoint: Path) -> None:
    result = dormancy("scan", checkpoint, "--fail-above", "fc11=0.5")
    assert result.code == 2
    assert "did you mean 'fc1'?" in result.err


def test_what_fails_is_told_and_the_rest_is_done(dormancy: Dormancy, checkpoint: Path, broken: Path) -> None:
    result = dormancy("scan", broken, checkpoint, "no-such-file.pt", "--format", "json")
    assert result.code == 4
    document = json.loads(result.out)
    assert [failure["path"] for failure in document["failures"]] == [str(broken), "no-such-file.pt"]
    assert len(document["runs"][0]["scans"]) == 1
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {broken}")


def test_when_all_fails_there_is_no_result(dormancy: Dormancy, broken: Path) -> None:
    result = dormancy("scan", broken)
    assert (result.code, result.out) == (3, "")
    assert result.err.count("\n") == 1


def test_a_failed_gate_outranks_failed_inputs(dormancy: Dormancy, checkpoint: Path, broken: Path) -> None:
    assert dormancy("scan", checkpoint, broken, "--fail-above", 0).code == 1


def test_runs_are_told_apart(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> None:
    twin = shutil.copytree(series_folder, tmp_path / "twin")
    document = json.loads(dormancy("scan", series_folder, twin, "--format", "json").out)
    assert [(run["name"], len(run["scans"])) for run in document["runs"]] == [("cartpole", 3), ("twin", 3)]


def test_networks_that_differ_are_scanned_without_an_overlap(
    dormancy: Dormancy, series_folder: Path, tmp_path: Path, other_network: Callable[[Path], Path]
) -> None:
    mixed = shutil.copytree(series_folder, tmp_path / "mixed")
    other_network(mixed)
    result = dormancy("scan", mixed)
    assert result.code == 0
    assert "no overlap: " in result.out
    assert result.out.count(".pt") >= 4


def test_warnings_go_to_standard_error_and_quiet_ends_them(dormancy: Dormancy, series_folder: Path) -> None:
    loud = dormancy("scan", series_folder)
    assert "fc2' is silent" in loud.err
    assert "warning" not in loud.out
    quiet = dormancy("scan", series_folder, "-q")
    assert (quiet.err, quiet.out) == ("", loud.out)


def test_verbose_says_where_numbers_come_from(dormancy: Dormancy, checkpoint: Path) -> None:
    out = dormancy("scan", checkpoint, "-v").out
    assert sha256_file(checkpoint) in out
    assert "torch" in out


def curves(result: Outcome) -> dict[str, list[float | None]]:
    (run,) = json.loads(result.out)["runs"]
    return {name: found["network"] for name, found in run["curves"].items() if found["network"]}


def test_along_a_run_drift_is_from_the_first_and_churn_from_the_one_before(
    dormancy: Dormancy, series_folder: Path
) -> None:
    arguments = ("--metrics", "drift,churn", "--format", "json")
    along = curves(dormancy("scan", series_folder, *arguments))
    paths = sorted((series_folder / "checkpoints").iterdir())
    for index, path in enumerate(paths[1:], start=1):
        for name, reference in (("drift", paths[0]), ("churn", paths[index - 1])):
            single = dormancy("scan", path, "--reference", reference, *arguments)
            assert along[name][index] == json.loads(single.out)["runs"][0]["scans"][0]["measurements"][name]["network"]
    assert along["drift"][0] is along["churn"][0] is None


def test_a_checkpoint_that_cannot_be_read_takes_no_other_with_it(
    dormancy: Dormancy, series_folder: Path, tmp_path: Path, other_network: Callable[[Path], Path]
) -> None:
    run = Path(shutil.copytree(series_folder, tmp_path / "run"))
    (run / "checkpoints" / "step_00000001.pt").write_bytes(b"half a file")
    result = dormancy("scan", run, "--metrics", "drift,churn", "--format", "json")
    assert result.code == 4
    assert len(json.loads(result.out)["failures"]) == 1
    assert "drift was left out: nothing to compare with" in result.err
    mixed = Path(shutil.copytree(series_folder, tmp_path / "mixed"))
    other_network(mixed)
    assert dormancy("scan", mixed, "--metrics", "drift,churn").code == 0


def test_a_metric_that_was_named_and_cannot_be_measured_is_a_failure(
    dormancy: Dormancy, series_folder: Path, checkpoint: Path
) -> None:
    for path in (series_folder, checkpoint):
        result = dormancy("scan", path, "--metrics", "dr3")
        assert (result.code, result.out) == (3, "")
        assert "give a sample that has /next_observations" in result.err
