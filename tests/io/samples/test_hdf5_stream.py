from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from dormancy.io.samples.hdf5_stream import Sink


class Full(io.FileIO):
    """A file on a disk with room for a few bytes; the system takes what fits first, as write(2) does."""

    room = 6

    def write(self, data: object) -> int:
        raw = bytes(data)  # type: ignore[call-overload]
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(raw[: self.room])
        self.room -= taken
        return taken

    def truncate(self, size: int | None = None) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_what_is_written_is_there(tmp_path: Path) -> None:
    with io.FileIO(tmp_path / "file", "w+") as stream:
        sink = Sink(stream)
        assert sink.write(b"abcdef") == 6
        assert (sink.readable(), sink.writable(), sink.seekable()) == (True, True, True)
        assert sink.seek(2) == sink.tell() == 2
        assert sink.read(3) == b"cde"
        assert sink.truncate(4) == 4
        sink.raise_error()
    assert (tmp_path / "file").read_bytes() == b"abcd"


def test_the_first_failure_is_kept_and_the_rest_forgotten(tmp_path: Path) -> None:
    with Full(tmp_path / "file", "w+") as stream:
        sink = Sink(stream)
        assert sink.write(b"abcd") == 4
        sink.raise_error()
        assert sink.write(b"efgh") == 4  # the caller hears that all is well
        assert sink.write(b"ijkl") == 4
        assert sink.truncate(100) == 100
        sink.seek(4)
        assert sink.read(6) == b"ef\0\0\0\0"
        with pytest.raises(OSError, match="No space left") as caught:
            sink.raise_error()
        assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "file").read_bytes() == b"abcdef"


def test_a_failing_truncate_is_kept_too(tmp_path: Path) -> None:
    with Full(tmp_path / "file", "w+") as stream:
        sink = Sink(stream)
        assert sink.truncate(9) == 9
        assert sink.truncate() == 0
        with pytest.raises(OSError, match="Input/output"):
            sink.raise_error()
