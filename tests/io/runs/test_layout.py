from __future__ import annotations

import os
from pathlib import Path

import pytest

from dormancy.errors import FileError
from dormancy.io import Checkpoint, ReplaySample, find_sample, list_checkpoints, list_runs, save_checkpoint, save_sample
from tests.io.expectations import Refused


def touch(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


def test_a_run_folder_gives_its_checkpoints_in_the_order_of_steps(tmp_path: Path) -> None:
    touch(tmp_path, *(f"checkpoints/step_{step}.pt" for step in (100, 9, 20, 1000)), "other.pt")
    assert names(list_checkpoints(tmp_path)) == ["step_9.pt", "step_20.pt", "step_100.pt", "step_1000.pt"]
    assert all(file.parent == tmp_path / "checkpoints" for file in list_checkpoints(str(tmp_path)))


def test_leading_zeros_and_several_numbers_count_as_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "s2_10.pt", "s2_9.pt", "s1_100.pt", "s10_1.pt", "s2_0011.pt", "²³.pt")
    assert names(list_checkpoints(tmp_path)) == ["s1_100.pt", "s2_9.pt", "s2_10.pt", "s2_0011.pt", "s10_1.pt", "²³.pt"]


def test_only_visible_regular_checkpoint_files_count(tmp_path: Path) -> None:
    touch(tmp_path, "a.pt", "b.pth", "notes.txt", ".c.pt", ".d.pt.0123.tmp", "samples/a.h5", "folder.pt/x")
    os.mkfifo(tmp_path / "fifo.pt")
    assert names(list_checkpoints(tmp_path)) == ["a.pt", "b.pth"]


def test_a_run_whose_folder_is_still_empty_falls_back_to_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    touch(tmp_path, "a.pt")
    assert names(list_checkpoints(tmp_path)) == ["a.pt"]


def test_no_checkpoints_is_an_error(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "notes.txt")
    assert "no checkpoints" in refused(FileError, lambda: list_checkpoints(tmp_path))
    assert "not a folder" in refused(FileError, lambda: list_checkpoints(tmp_path / "notes.txt"))
    assert "no such folder" in refused(FileError, lambda: list_checkpoints(tmp_path / "missing\x1b"))

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    assert "cannot be read" in refused(FileError, lambda: list_checkpoints(tmp_path))


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["samples/step_5.h5"], "samples/step_5.h5"),
        (["checkpoints/step_5.h5"], "checkpoints/step_5.h5"),
        (["checkpoints/samples/step_5.h5"], "checkpoints/samples/step_5.h5"),
        (["samples/step_5.h5", "checkpoints/step_5.h5"], "samples/step_5.h5"),
        (["checkpoints/step_5.h5", "checkpoints/samples/step_5.h5"], "checkpoints/step_5.h5"),
        (["samples/step_50.h5", "samples/step.h5"], None),
        ([], None),
    ],
)
def test_the_sample_of_a_checkpoint_is_found(tmp_path: Path, present: list[str], expected: str | None) -> None:
    touch(tmp_path, "checkpoints/step_5.pt", *present)
    assert find_sample(tmp_path / "checkpoints/step_5.pt") == (tmp_path / expected if expected else None)


def test_a_sample_is_named_as_its_checkpoint_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "run/checkpoints/a.pt", "run/samples/a.h5")
    monkeypatch.chdir(tmp_path)
    assert find_sample("run/checkpoints/a.pt") == Path("run/samples/a.h5")
    monkeypatch.chdir(tmp_path / "run")
    assert find_sample("checkpoints/a.pt") == Path("samples/a.h5")


def test_samples_of_a_plain_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "plain/a.pt", "samples/a.h5")
    assert find_sample(tmp_path / "plain/a.pt") is None  # ../samples belongs to run folders only
    touch(tmp_path, "checkpoints/a.pt")
    monkeypatch.chdir(tmp_path / "checkpoints")
    assert find_sample("a.pt") == tmp_path / "samples/a.h5"


def test_a_folder_named_like_a_sample_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.h5").mkdir()
    assert find_sample(tmp_path / "a.pt") is None


def test_what_is_saved_in_a_run_folder_is_found(tmp_path: Path, checkpoint: Checkpoint, sample: ReplaySample) -> None:
    for folder in ("checkpoints", "samples"):
        (tmp_path / folder).mkdir()
    path = save_checkpoint(tmp_path / "checkpoints/step_1000.pt", checkpoint)
    stored = save_sample(tmp_path / "samples/step_1000.h5", sample)
    assert list_checkpoints(tmp_path) == [path]
    assert find_sample(path) == stored


def test_runs_of_a_folder_are_those_with_something_of_a_run(tmp_path: Path) -> None:
    touch(tmp_path, "seed10/run.json", "seed9/checkpoints/a.pt", "notes/a.txt", ".old/run.json", "run.json")
    assert list_runs(tmp_path) == [tmp_path / "seed9", tmp_path / "seed10"]
    assert list_runs(tmp_path / "run.json") == list_runs(tmp_path / "missing") == []
