from __future__ import annotations

import errno
import hashlib
import io
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.errors import FileError, OutputError
from dormancy.io import atomic_path, files, printable, require_regular_file, sha256_file
from dormancy.io.files import open_regular_file, sha256_stream
from tests.io.expectations import Refused

STAGES = [(stage, force) for force in (False, True) for stage in ("open", "fsync", "replace" if force else "link")]


def listed(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@given(st.text(), st.integers(10, 60))
def test_printable_is_one_bounded_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= 10 * limit  # an escape takes at most ten characters
    if text.isprintable() and len(text) <= limit:
        assert shown == text


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\x1b", "\x07", "\u2028", "\ud800", "\x00", "\r"])
def test_printable_escapes_what_misleads_a_reader(mark: str) -> None:
    assert printable(f"a{mark}b") == "a" + mark.encode("unicode_escape").decode() + "b"


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_only_regular_files_with_content_are_read(tmp_path: Path, refused: Refused, bounded: None) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        reasons = {
            "missing": "no such file",
            "folder": "is a folder",
            "empty": "is empty",
            "fifo": "is a FIFO",
            "socket": "is a socket",
            "loop": "cannot be read",
            "empty/inside": "no such file",
            "nul\0byte": "cannot be read",
            "long" * 100: "cannot be read",
        }
        for name, reason in reasons.items():
            assert reason in refused(FileError, partial(require_regular_file, tmp_path / name))
    assert "a device" in refused(FileError, lambda: require_regular_file("/dev/null"))


def test_permission_is_named(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    assert "permission denied" in refused(FileError, lambda: require_regular_file(file))
    monkeypatch.undo()
    monkeypatch.setattr(os, "open", failing(errno.EACCES))
    assert "permission denied" in refused(FileError, lambda: open_regular_file(file).__enter__())


def test_a_file_exchanged_for_a_fifo_does_not_block(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, bounded: None
) -> None:
    file = tmp_path / "file"
    os.mkfifo(file)
    monkeypatch.setattr("dormancy.io.files.require_regular_file", Path)
    assert "is a FIFO" in refused(FileError, lambda: sha256_file(file))


def test_a_reading_error_is_told(refused: Refused) -> None:
    stream = io.BytesIO(b"content")
    stream.read = failing(errno.EIO)  # type: ignore[method-assign]
    assert "file: cannot be read" in refused(FileError, lambda: sha256_stream(stream, "file"))


def test_a_new_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == tmp_path
        assert not target.exists()
    assert target.read_text() == "whole"
    assert listed(tmp_path) == ["new.txt"]


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "new") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), SystemExit(3)])
def test_whatever_interrupts_leaves_nothing_behind(tmp_path: Path, force: bool, error: BaseException) -> None:
    target = tmp_path / "file"
    if force:
        target.write_text("old")

    def write() -> None:
        with atomic_path(target, force) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert listed(tmp_path) == (["file"] if force else [])
    assert not force or target.read_text() == "old"


@pytest.mark.parametrize(("stage", "force"), STAGES)
@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "disk full"), (errno.EDQUOT, "disk full"), (errno.EIO, "cannot be written")]
)
def test_a_failure_at_any_stage_leaves_the_old_file(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, stage: str, force: bool, number: int, said: str
) -> None:
    target = tmp_path / "file"
    if force:
        target.write_text("old")

    def write() -> None:
        with atomic_path(target, force) as temporary:
            temporary.write_text("new")
            if stage != "open":
                break_stage()

    def break_stage() -> None:
        owner = Path if stage == "replace" else os
        monkeypatch.setattr(owner, stage, failing(number))

    if stage == "open":
        break_stage()
    message = refused(OutputError, write)
    monkeypatch.undo()
    assert said in message
    assert str(target) in message
    assert listed(tmp_path) == (["file"] if force else [])
    assert not force or target.read_text() == "old"


def test_a_real_write_that_fails_leaves_nothing(tmp_path: Path, refused: Refused) -> None:
    """The system's own limit on file sizes stands in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write() -> None:
        with atomic_path(tmp_path / "file") as temporary:
            temporary.write_bytes(bytes(1 << 20))

    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        assert "cannot be written: File too large" in refused(OutputError, write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listed(tmp_path) == []


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path, refused: Refused) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def write(force: bool) -> None:
        with atomic_path(target, force) as temporary:
            temporary.write_text("new")

    assert "--force" in refused(OutputError, lambda: write(False))
    assert target.read_text() == "old"
    write(True)
    assert target.read_text() == "new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, refused: Refused) -> None:
    target = tmp_path / "file"

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("mine")
            target.write_text("theirs")

    assert "already exists" in refused(OutputError, write)
    assert target.read_text() == "theirs"
    assert listed(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_a_file_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, refused: Refused
) -> None:
    monkeypatch.setattr(os, "link", failing(number))
    target = tmp_path / "file"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert listed(tmp_path) == ["file"]

    def write() -> None:
        with atomic_path(tmp_path / "other") as temporary:
            (tmp_path / "other").write_text("theirs")
            temporary.write_text("mine")

    assert "already exists" in refused(OutputError, write)
    assert (tmp_path / "other").read_text() == "theirs"


def test_a_target_that_is_no_file_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    reasons = {
        "folder": "is a folder",
        "fifo": "is a FIFO",
        "missing/file": "does not exist",
        "nul\0": "cannot be written",
    }
    for name, reason in reasons.items():
        for force in (False, True):
            assert reason in refused(OutputError, atomic_path(tmp_path / name, force).__enter__)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_force_writes_through_a_symbolic_link(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    refused(OutputError, lambda: atomic_path(tmp_path / "dangling").__enter__())
    with atomic_path(tmp_path / "link", force=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_very_long_name_can_still_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 120)
    with atomic_path(target) as temporary:
        temporary.write_text("x")
    assert target.read_text() == "x"


def test_a_killed_process_leaves_no_half_file(tmp_path: Path) -> None:
    code = (
        "import os, runpy, signal, sys\n"
        "atomic_path = runpy.run_path(sys.argv[1])['atomic_path']\n"  # alone: the package around it loads torch
        "with atomic_path(sys.argv[2]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, files.__file__, str(tmp_path / "step_1.pt")]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = listed(tmp_path)
    assert left.startswith(".")
    assert left.endswith(".tmp")
