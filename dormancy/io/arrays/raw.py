"""Arrays that lie as plain numbers in a stretch of a file, read by slices of consecutive rows."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, NoReturn, final

import numpy as np

from dormancy.errors import FileError, UnsafeFileError, UsageError
from dormancy.io.arrays.base import Array
from dormancy.io.limits import MAX_IN_MEMORY, MAX_ROW
from dormancy.text.escape import one_line, printable

__all__ = ["OpenFile", "SpanArray", "require_row_size", "whole"]


@final
@dataclass(frozen=True, eq=False)
class OpenFile:
    """An open file that threads may read from side by side; `path` is named when reading fails."""

    stream: BinaryIO
    path: object
    size: int
    lock: threading.Lock

    @classmethod
    def of(cls, stream: BinaryIO, path: object) -> OpenFile:
        """Take a seekable stream, and find out how long it is."""
        return cls(stream, path, stream.seek(0, 2), threading.Lock())

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on; raises `FileError` where the file ends before."""
        try:
            with self.lock:
                self.stream.seek(offset)
                found = self.stream.read(count)
        except (OSError, ValueError) as error:
            self.damaged(one_line(error, 120))
        if len(found) < count:
            self.damaged(f"it ends {count - len(found)} bytes too early")
        return found

    def damaged(self, reason: str) -> NoReturn:
        """Refuse what cannot be read."""
        raise FileError(f"{printable(self.path)}: truncated or damaged ({reason}); copy or make it again")


def require_row_size(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, path: object) -> int:
    """Return the bytes of a row; raises `UnsafeFileError` for rows of more than 64 MiB."""
    row = prod(shape[1:]) * dtype.itemsize
    if row > MAX_ROW:
        raise UnsafeFileError(
            f"{printable(path)}: refused: a row of '{printable(name, 60)}' takes {row} bytes, more than {MAX_ROW}"
        )
    return row


@final
class SpanArray:
    """An array in C order that begins at `offset` of a file; `stored` is its whole shape, rows first.

    With a `column`, only that index of the second dimension is given: one of several environments side by side. Raises
    `FileError`, naming the file, when the file is shorter than the array, and `UnsafeFileError` for huge rows.
    """

    def __init__(
        self,
        file: OpenFile,
        name: str,
        dtype: np.dtype[Any],
        stored: tuple[int, ...],
        offset: int = 0,
        column: int | None = None,
    ) -> None:
        self._file = file
        self._name = name
        self._stored = stored
        self._offset = offset
        self._column = column
        self._kind = dtype
        self._row = require_row_size(stored, dtype, name, file.path)
        self.dtype: np.dtype[Any] = dtype.newbyteorder("=")
        self.shape: tuple[int, ...] = stored if column is None else (stored[0], *stored[2:])
        if offset + self._row * stored[0] > file.size:
            raise FileError(
                f"{printable(file.path)}: truncated or damaged: '{printable(name, 60)}' should take "
                f"{self._row * stored[0]} bytes, more than there are; copy or make it again"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise UsageError("a stored array is read by slices of consecutive rows, such as array[0:64]")
        count = max(0, stop - start)
        raw = self._file.read(self._offset + start * self._row, count * self._row)
        found = np.frombuffer(raw, self._kind).reshape(count, *self._stored[1:])
        chosen = found if self._column is None else found[:, self._column]
        return chosen.astype(self.dtype, copy=False)

    def at(self, column: int) -> SpanArray:
        """Return the same array with one index of its second dimension."""
        return SpanArray(self._file, self._name, self._kind, self._stored, self._offset, column)


def whole(array: SpanArray, name: str, path: object) -> Array:
    """Return all rows of a small array; raises `UnsafeFileError` for more than 512 MiB."""
    taken = prod(array.shape) * array.dtype.itemsize
    if taken > MAX_IN_MEMORY:
        raise UnsafeFileError(f"{printable(path)}: refused: '{printable(name, 60)}' takes {taken} bytes")
    return array[0 : len(array)]
