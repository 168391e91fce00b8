"""`--cache`: what is found there is what would be measured, and what is damaged or of something else is not found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dormancy_cli.scan import cache
from dormancy_cli.scan.perform import perform
from dormancy_cli.scan.tasks import ScanOptions, Task
from tests.cli.runs import Dormancy, write_checkpoint


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def test_what_was_scanned_before_is_not_scanned_again(dormancy: Dormancy, series_folder: Path, kept: Path) -> None:
    arguments = ("scan", series_folder, "--metrics", "all", "--layers", "fc1", "--format", "json", "--cache", kept)
    first, second = dormancy(*arguments), dormancy(*arguments)
    assert second.out == first.out == dormancy(*arguments[:-2]).out
    assert "scans were taken" not in first.err
    assert f"{kept}: 3 of 3 scans were taken from there" in second.err
    assert len(list(kept.iterdir())) == 3


def test_an_audit_scans_only_what_is_new(dormancy: Dormancy, series_folder: Path, tmp_path: Path, kept: Path) -> None:
    growing = Path(shutil.copytree(series_folder, tmp_path / "growing"))
    dormancy("scan", growing, "--cache", kept)
    write_checkpoint(growing, 4000, (1, 1))
    assert "3 of 4 scans were taken" in dormancy("scan", growing, "--cache", kept).err


def test_files_are_named_as_they_are_called_now(
    dormancy: Dormancy, series_folder: Path, tmp_path: Path, kept: Path
) -> None:
    dormancy("scan", series_folder, "--metrics", "drift", "--cache", kept)
    moved = Path(shutil.copytree(series_folder, tmp_path / "moved"))
    arguments = ("scan", moved, "--metrics", "drift", "--format", "json")
    again = dormancy(*arguments, "--cache", kept)
    assert "3 of 3 scans were taken" in again.err
    assert again.out == dormancy(*arguments).out
    assert str(series_folder) not in again.out


@pytest.mark.parametrize(
    "other",
    [("--tau", 0.2), ("--metrics", "srank"), ("--layers", "fc1"), ("--batch-size", 7), ("--sample", "other")],
)
def test_other_questions_have_other_answers(
    dormancy: Dormancy, checkpoint: Path, kept: Path, other: tuple[object, ...]
) -> None:
    asked = [checkpoint.parents[1] / "samples" / "step_00001000.h5" if part == "other" else part for part in other]
    dormancy("scan", checkpoint, "--cache", kept)
    assert "taken" not in dormancy("scan", checkpoint, "--cache", kept, *asked).err
    assert "1 of 1" in dormancy("scan", checkpoint, "--cache", kept, *asked).err
    assert len(list(kept.iterdir())) == 2


def test_another_reference_is_another_question(checkpoint: Path, kept: Path) -> None:
    options = ScanOptions(metrics=("drift",))
    others = [checkpoint.with_name(f"step_0000{step}000.pt") for step in (1, 3)]
    names = {cache.key_of(Task(checkpoint, options, first, first)) for first in [None, *others]}
    assert len(names) == 3


def damage(text: str, where: float, what: str) -> str:
    at = int(where * len(text))
    return {"cut": text[:at], "flip": text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :], "add": text + text[:at]}[
        what
    ]


@given(where=st.floats(0, 1, exclude_max=True), what=st.sampled_from(["cut", "flip", "add"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_what_is_damaged_is_measured_anew(checkpoint: Path, tmp_path: Path, where: float, what: str) -> None:
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    cache.prepare(folder)
    task = Task(checkpoint, ScanOptions(), cache=folder)
    good = perform(task)
    (entry,) = folder.iterdir()
    whole = entry.read_text()
    entry.write_text(damage(whole, where, what), encoding="utf-8")
    found = perform(task)
    assert found.text == good.text
    if not found.remembered:
        assert entry.read_text() == whole  # and kept anew
    else:
        assert json.loads(damage(whole, where, what)) == json.loads(whole)  # what was hit says nothing


@pytest.mark.parametrize("entry", ["[]", "null", "{}", '{"schema": 1, "scan": 5}', '"x"', "\x00", "[" * 100_000])
def test_what_is_no_entry_is_measured_anew(checkpoint: Path, kept: Path, entry: str) -> None:
    task = Task(checkpoint, ScanOptions(), cache=kept)
    cache.prepare(kept)
    good = perform(task)
    (path,) = kept.iterdir()
    path.write_text(entry)
    assert perform(task) == good


def test_a_file_that_is_exchanged_meanwhile_is_not_kept_under_the_other_name(
    checkpoint: Path, kept: Path, tmp_path: Path
) -> None:
    key = cache.key_of(Task(checkpoint, ScanOptions()))
    assert key is not None
    other = perform(Task(checkpoint.with_name("step_00001000.pt"), ScanOptions())).text
    assert not cache.is_of(other, key)


def test_a_folder_that_cannot_be_made_is_told_before_any_work(
    dormancy: Dormancy, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    result = dormancy("scan", checkpoint, "--cache", tmp_path / "file")
    assert (result.code, result.out) == (3, "")
    assert "give another --cache" in result.err


def test_a_folder_beside_the_result_goes_with_its_own_files_only(
    dormancy: Dormancy, series_folder: Path, tmp_path: Path
) -> None:
    partial = tmp_path / "out.json.partial"
    partial.mkdir()
    (partial / "mine.txt").write_text("keep")
    assert dormancy("scan", series_folder, "-o", tmp_path / "out.json").code == 0
    assert [path.name for path in partial.iterdir()] == ["mine.txt"]
    assert dormancy("scan", series_folder, "-o", tmp_path / "two.json").code == 0
    assert not (tmp_path / "two.json.partial").exists()


def test_what_the_users_own_code_builds_is_not_kept(checkpoint: Path, kept: Path, tmp_path: Path) -> None:
    from dormancy.errors import UsageError
    from dormancy.io import Hints

    cache.prepare(kept)
    with pytest.raises(UsageError, match="leave out"):
        perform(Task(checkpoint, ScanOptions(hints=Hints(model="a:b")), cache=kept))
    assert not list(kept.iterdir())
