"""Inputs: files, folders, patterns, lists and standard input all become the same checkpoint paths."""

import io
from pathlib import Path

import pytest

from dormancy_cli.shared.paths import Failure, expand, series_name


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with ten empty checkpoints: names are all that counts here."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for step in range(1, 11):
        (folder / f"step_{step}.pt").write_bytes(b"x")
    return tmp_path / "run"


def names(found: list[Path | Failure]) -> list[str]:
    return [item.path if isinstance(item, Failure) else item.name for item in found]


ALL = [f"step_{step}.pt" for step in range(1, 11)]


def test_a_run_folder_is_its_checkpoints_in_the_order_of_their_steps(run: Path) -> None:
    assert names(expand([str(run)])) == ALL
    assert names(expand([str(run / "checkpoints")])) == ALL


def test_a_pattern_is_what_it_matches(run: Path) -> None:
    assert names(expand([f"{run}/checkpoints/step_[12].pt"])) == ["step_1.pt", "step_2.pt"]
    assert names(expand([f"{run.parent}/*"])) == ALL


def test_a_list_names_one_input_a_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"# chosen by hand\n\n{run}/checkpoints/step_2.pt\n  {run}/checkpoints/step_1.pt  \n"
    (run / "list.txt").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert names(expand([f"@{run / 'list.txt'}"])) == names(expand(["-"])) == ["step_2.pt", "step_1.pt"]


def test_an_input_named_twice_is_looked_at_once(run: Path) -> None:
    assert names(expand([f"{run}/checkpoints/step_3.pt", str(run)])) == ["step_3.pt", *ALL[:2], *ALL[3:]]


def test_a_file_with_the_characters_of_a_pattern_in_its_name_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].pt").write_bytes(b"x")
    assert names(expand([f"{tmp_path}/a[1].pt"])) == ["a[1].pt"]


def test_what_names_nothing_fails_alone(run: Path) -> None:
    empty = run / "empty"
    empty.mkdir()
    found = expand([str(empty), f"{run}/none*.pt", f"@{run}/no.txt", f"{run}/checkpoints/step_1.pt"])
    assert [isinstance(item, Failure) for item in found] == [True, True, True, False]
    for failure in found[:3]:
        assert isinstance(failure, Failure)
        assert failure.path in str(failure)


def test_a_file_that_is_missing_is_left_for_the_scan_to_tell(tmp_path: Path) -> None:
    assert names(expand([f"{tmp_path}/no.pt"])) == ["no.pt"]


def test_a_run_is_named_by_its_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert series_name(run / "checkpoints" / "step_1.pt") == "run"
    monkeypatch.chdir(run / "checkpoints")
    assert series_name(Path("step_1.pt")) == "run"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two run folders with all that a run leaves, one of them deeper, and a file that belongs to none."""
    for folder in ("a", "group/b"):
        for name in ("run.json", "metrics.jsonl", "samples/step_1.h5", "resume/state.pt", "checkpoints/step_1.pt"):
            path = tmp_path / "runs" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    (tmp_path / "runs" / "README.md").write_text("x")
    return tmp_path / "runs"


def test_two_stars_are_every_folder_below_with_checkpoints(runs: Path) -> None:
    found = [item for item in expand([f"{runs}/**"]) if isinstance(item, Path)]
    assert [str(path.relative_to(runs)) for path in found] == [
        "a/checkpoints/step_1.pt",
        "group/b/checkpoints/step_1.pt",
    ]
    assert len(expand([f"{runs}/**"])) == 2


def test_what_a_shell_makes_of_two_stars_is_the_same(runs: Path) -> None:
    every = sorted(str(path) for folder in ("a", "group/b") for path in (runs / folder).rglob("*"))
    assert expand([str(runs / "a"), str(runs / "group" / "b"), *every]) == expand([f"{runs}/**"])


def test_a_sample_that_is_named_alone_is_still_an_input(runs: Path) -> None:
    sample = runs / "a" / "samples" / "step_1.h5"
    assert expand([str(sample)]) == [sample]
    assert expand([str(sample), str(runs / "group" / "b")])[0] == sample
