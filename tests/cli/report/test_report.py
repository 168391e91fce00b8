"""`dormancy report`: from runs, checkpoints and saved scans to pages, figures and tables."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.runs import Dormancy


@pytest.fixture
def saved(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> Path:
    """The scan of a run, saved."""
    path = tmp_path / "scan.json"
    assert dormancy("scan", series_folder, "--tau", 0, "-o", path).code == 0
    return path


def test_a_run_becomes_one_page(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = dormancy("report", series_folder, "-o", page, "--title", "Three <checkpoints>")
    assert (result.code, result.out) == (0, "")
    assert str(page) in result.err
    text = page.read_text()
    assert "<title>Three &lt;checkpoints&gt;" in text
    assert "cartpole" in text


def test_the_page_lies_here_unless_told_otherwise(
    dormancy: Dormancy, series_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dormancy("report", series_folder, "-q").err == ""
    assert (tmp_path / "report.html").is_file()


def test_nothing_is_overwritten_unless_asked(dormancy: Dormancy, saved: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    refused = dormancy("report", saved, "-o", page)
    assert refused.code == 3
    assert "--force" in refused.err
    assert page.read_text() == "mine"
    assert dormancy("report", saved, "-o", page, "--force").code == 0
    assert page.read_text() != "mine"


def test_figures_are_written_beside_the_page(dormancy: Dormancy, saved: Path, tmp_path: Path) -> None:
    result = dormancy("report", saved, "-o", tmp_path / "page.html", "--png", tmp_path / "figures")
    assert result.code == 0
    figures = list((tmp_path / "figures").glob("*.png"))
    assert f"{len(figures)} figures" in result.err
    assert figures
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures)


@pytest.mark.parametrize("format", ["md", "csv", "json"])
def test_tables_go_to_standard_output(dormancy: Dormancy, saved: Path, tmp_path: Path, format: str) -> None:
    result = dormancy("report", saved, "--format", format)
    assert result.code == 0
    assert "fc2" in result.out
    assert not (Path.cwd() / "report.html").exists()
    path = tmp_path / f"tables.{format}"
    assert dormancy("report", saved, "--format", format, "-o", path).code == 0
    assert path.read_text() == result.out


def numbers(dormancy: Dormancy, *arguments: object) -> object:
    """What a report holds, without where it came from."""
    document = json.loads(dormancy("report", *arguments, "--format", "json").out)
    return [[scan["layers"] for scan in series["scans"]] for series in document["series"]]


def test_saved_results_of_every_form_give_what_the_run_gives(
    dormancy: Dormancy, series_folder: Path, saved: Path, tmp_path: Path
) -> None:
    lines, again = tmp_path / "scan.jsonl", tmp_path / "report.json"
    assert dormancy("scan", series_folder, "--tau", 0, "-o", lines).code == 0
    assert dormancy("report", saved, "--format", "json", "-o", again).code == 0
    expected = numbers(dormancy, series_folder, "--tau", 0)
    assert [len(series) for series in expected] == [3]  # type: ignore[union-attr, attr-defined]
    for path in (saved, lines, again):
        assert numbers(dormancy, path) == expected


def test_checkpoints_of_one_folder_are_one_run(dormancy: Dormancy, series_folder: Path) -> None:
    files = sorted((series_folder / "checkpoints").iterdir())
    assert numbers(dormancy, *files) == numbers(dormancy, series_folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[1, 2]", "schema None"),
        ('{"schema": "dormancy.results/2"}', "did you mean 'dormancy.results/1'?"),
        ('{"schema": "dormancy.results/1"}', "runs"),
        ('{"schema": "dormancy.results/1", "runs": [{"name": "a", "scans": [{}]}]}', "schema"),
        ('{"schema": "dormancy.results/1", "runs": [7]}', "not a whole scan result"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_result_is_one_line(dormancy: Dormancy, tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    result = dormancy("report", path, "-o", tmp_path / "page.html")
    assert result.code == 3
    assert result.err.count("\n") == 1
    assert str(path) in result.err
    assert reason in result.err
    assert not (tmp_path / "page.html").exists()


def test_what_fails_is_told_and_the_rest_is_shown(
    dormancy: Dormancy, saved: Path, broken: Path, tmp_path: Path
) -> None:
    result = dormancy("report", broken, saved, "-o", tmp_path / "page.html")
    assert result.code == 4
    assert str(broken) in result.err
    assert (tmp_path / "page.html").is_file()


def test_two_runs_share_a_page(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> None:
    twin = shutil.copytree(series_folder, tmp_path / "twin")
    result = dormancy("report", series_folder, twin, "--format", "json")
    assert [series["name"] for series in json.loads(result.out)["series"]] == ["cartpole", "twin"]


def test_open_shows_the_page(dormancy: Dormancy, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    page = tmp_path / "page.html"
    assert dormancy("report", saved, "-o", page, "--open").code == 0
    assert shown == [page.as_uri()]


def test_a_run_folder_brings_its_returns(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(series_folder, tmp_path / "live")
    rows = [{"kind": "episode", "agent_step": 100 * k, "return": float(k)} for k in range(1, 31)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(text + '{"kind": "epi')
    document = json.loads(dormancy("report", run, "--format", "json").out)
    (line,) = document["figures"]["returns"]["panels"][0]["lines"]
    assert line["y"] == [5.5, 15.5, 25.5]
    (run / "metrics.jsonl").write_text("{}\n" + text)
    damaged = dormancy("report", run, "-o", tmp_path / "page.html")
    assert damaged.code == 4
    assert "metrics.jsonl, line 1" in damaged.err
    assert 'id="returns"' not in (tmp_path / "page.html").read_text()


def test_a_folder_of_runs_is_all_of_them(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> None:
    for name in ("seed10", "seed9"):
        shutil.copytree(series_folder, tmp_path / "all" / name)
    (tmp_path / "all" / "notes").mkdir()
    result = dormancy("report", tmp_path / "all", "--format", "json")
    assert [series["name"] for series in json.loads(result.out)["series"]] == ["seed9", "seed10"]
    (tmp_path / "all" / "seed11" / "checkpoints").mkdir(parents=True)
    half = dormancy("report", tmp_path / "all", "-o", tmp_path / "page.html")
    assert half.code == 4
    assert "seed11" in half.err


def test_runs_that_differ_in_one_setting_are_compared(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> None:
    for redo in (False, True):
        for seed in (1, 2):
            run = shutil.copytree(series_folder, tmp_path / "all" / f"{redo}-{seed}")
            about = {"schema": "dormancy.run/1", "algorithm": "dqn", "config": {"seed": seed, "redo": redo}}
            (run / "run.json").write_text(json.dumps(about))
    document = json.loads(dormancy("report", tmp_path / "all", "--compare", "redo", "--format", "json").out)
    assert [run["label"] for run in document["runs"]] == ["redo false", "redo true"]
    refused = dormancy("report", tmp_path / "all", "--compare", "sede", "-o", tmp_path / "page.html")
    assert refused.code == 2
    assert refused.err.splitlines()[-1].endswith("(did you mean 'seed'?)")


def test_activation_maps_of_chosen_neurons(dormancy: Dormancy, tmp_path: Path) -> None:
    run = Path(__file__).parents[3] / "fixtures" / "breakout-redo" / "checkpoints" / "step_000042000.pt"
    page = tmp_path / "page.html"
    assert dormancy("report", run, "-o", page, "--neurons", "conv2:3,5", "-q").code == 0
    text = page.read_text()
    for neuron in (3, 5):
        assert f'<tr data-of="neurons-1" data-panel="0" data-neuron="{neuron}">' in text
    assert text.count("asked for") >= 2
    for given, code, reason in (
        ("conv9:1", 2, "did you mean 'conv"),
        ("conv1:64", 2, "numbered 0 to 7"),
        ("conv1", 2, "write LAYER:NUMBER"),
    ):
        refused = dormancy("report", run, "-o", tmp_path / "no.html", "--neurons", given)
        assert refused.code == code
        assert reason in refused.err
    assert not (tmp_path / "no.html").exists()


def test_maps_of_a_network_without_convolutions(dormancy: Dormancy, series_folder: Path, tmp_path: Path) -> None:
    refused = dormancy("report", series_folder, "-o", tmp_path / "no.html", "--neurons", "fc1:1")
    assert refused.code == 2
    assert "no convolutions" in refused.err
    assert dormancy("report", series_folder, "-o", tmp_path / "yes.html").code == 0


def test_parquet_holds_what_csv_holds(dormancy: Dormancy, saved: Path, tmp_path: Path) -> None:
    path, text = tmp_path / "tables.parquet", tmp_path / "tables.csv"
    assert dormancy("report", saved, "--format", "parquet", "-o", path).code == 0
    assert dormancy("report", saved, "--format", "csv", "-o", text).code == 0
    found, expected = pd.read_parquet(path), pd.read_csv(text)
    assert len(found) > 10
    assert list(found.columns) == list(expected.columns)
    assert found["value"].tolist() == expected["value"].tolist()
    assert found["metric"].tolist() == expected["metric"].tolist()


def test_parquet_needs_a_file_and_a_writer(
    dormancy: Dormancy, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unnamed = dormancy("report", saved, "--format", "parquet")
    assert (unnamed.code, "--output FILE.parquet" in unnamed.err) == (2, True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    without = dormancy("report", saved, "--format", "parquet", "-o", tmp_path / "tables.parquet")
    assert (without.code, without.err.count("\n")) == (2, 1)
    assert "pip install 'dormancy[parquet]'" in without.err
    assert not (tmp_path / "tables.parquet").exists()
