"""NumPy arrays inside gzip, read from front to back: what Dopamine saves its replay memory as."""

from __future__ import annotations

import gzip
import re
import struct
import threading
import zlib
from contextlib import ExitStack
from math import prod
from typing import Any, BinaryIO, NoReturn, final

import numpy as np

from dormancy.errors import FileError, FormatError, SampleError, UnsafeFileError, UsageError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.raw import require_row_size
from dormancy.io.files import open_regular_file
from dormancy.io.limits import MAX_IN_MEMORY, MAX_RATIO, SAMPLE_DTYPES
from dormancy.text.escape import one_line, printable

__all__ = ["GzipArray", "read_gzip"]

MAX_HEADER = 4096
SLACK = 1 << 16
"""Bytes that a small file may claim whatever its compressed size."""

_GZIP_ERRORS = (OSError, EOFError, ValueError, struct.error, zlib.error)
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?[?biuf][1248]?)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n"
)


@final
class GzipArray:
    """A ``.npy`` array inside gzip. Slices are cheap from front to back; going back starts again at the beginning.

    No more is inflated than the array's header says, and that is at most 1100 times the size of the file, which deflate
    cannot exceed. After the last row the checksum of the file is compared. `stack` closes the file. Raises `FileError`
    where the file is truncated or damaged, `UnsafeFileError` where it claims more than it can hold or holds objects.
    """

    def __init__(self, path: Any, stack: ExitStack) -> None:
        raw = stack.enter_context(open_regular_file(path))
        self._path = path
        self._size = raw.seek(0, 2)
        raw.seek(0)
        self._stream: BinaryIO = stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb"))  # type: ignore[assignment]
        self._lock = threading.Lock()
        try:
            header = self._header()
            self._kind, self.shape = self._described(header)
            self._start = self._stream.tell()
        except _GZIP_ERRORS as error:
            self._damaged(one_line(error, 80), error)
        self.dtype: np.dtype[Any] = self._kind.newbyteorder("=")
        self._row = require_row_size(self.shape or (1,), self._kind, "array", path)
        self._check_size()

    def _damaged(self, reason: str, error: BaseException | None = None) -> NoReturn:
        raise FileError(f"{printable(self._path)}: truncated or damaged ({reason}); copy it again") from error

    def _header(self) -> str:
        magic = self._stream.read(8)
        if magic[:6] != b"\x93NUMPY" or magic[6:7] not in (b"\x01", b"\x02"):
            raise FormatError(
                f"{printable(self._path)}: gzip, but no NumPy array in it; name a file of Dopamine's replay"
            )
        form = "<H" if magic[6] == 1 else "<I"
        (length,) = struct.unpack(form, self._stream.read(struct.calcsize(form)))
        if length > MAX_HEADER:
            raise UnsafeFileError(f"{printable(self._path)}: refused: the header of its array takes {length} bytes")
        return self._stream.read(length).decode("latin-1")

    def _described(self, header: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        found = _HEADER.fullmatch(header)
        kind = np.dtype(found[1]) if found else None
        if found is None or kind is None or kind.newbyteorder("=") not in SAMPLE_DTYPES or found[2] == "True":
            raise SampleError(
                f"{printable(self._path)}: no array of numbers stored row by row ({printable(header.strip(), 80)})"
            )
        return kind, tuple(int(size) for size in found[3].split(",") if size.strip())

    def _check_size(self) -> None:
        claimed = prod(self.shape) * self._kind.itemsize
        if claimed > MAX_RATIO * self._size + SLACK:
            raise UnsafeFileError(
                f"{printable(self._path)}: refused: claims {claimed} bytes, in a file of {self._size}"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise UsageError("a stored array is read by slices of consecutive rows, such as array[0:64]")
        count = max(0, stop - start)
        raw = self._read(self._start + start * self._row, count * self._row, last=stop == len(self))
        return np.frombuffer(raw, self._kind).reshape(count, *self.shape[1:]).astype(self.dtype, copy=False)

    def _read(self, offset: int, count: int, last: bool) -> bytes:
        try:
            with self._lock:
                self._stream.seek(offset)
                found = self._stream.read(count)
                if last and self._stream.read(1):
                    self._damaged("more follows than its header says")
        except _GZIP_ERRORS as error:
            self._damaged(one_line(error, 80), error)
        if len(found) < count:
            self._damaged(f"it ends {count - len(found)} bytes too early")
        return found

    def whole(self) -> Array:
        """Return all rows (shape () for a single number); raises `UnsafeFileError` for more than 512 MiB."""
        if not self.shape:
            return np.frombuffer(self._read(self._start, self._kind.itemsize, last=True), self._kind).reshape(())
        if prod(self.shape) * self._kind.itemsize > MAX_IN_MEMORY:
            raise UnsafeFileError(f"{printable(self._path)}: refused: takes more than {MAX_IN_MEMORY} bytes")
        return self[0 : len(self)]


def read_gzip(path: Any, limit: int) -> bytes:
    """Return what a small gzip file holds; raises `UnsafeFileError` beyond `limit` bytes, `FileError` for damage."""
    try:
        with open_regular_file(path) as raw, gzip.GzipFile(fileobj=raw, mode="rb") as stream:
            found = stream.read(limit + 1)
    except _GZIP_ERRORS as error:
        raise FileError(f"{printable(path)}: truncated or damaged ({one_line(error, 80)}); copy it again") from error
    if len(found) > limit:
        raise UnsafeFileError(f"{printable(path)}: refused: inflates to more than {limit} bytes")
    return found
