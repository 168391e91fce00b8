"""Rows of an open HDF5 dataset, read when they are asked for."""

from __future__ import annotations

from typing import Any, final

import h5py
import numpy as np

from dormancy.errors import FileError, UsageError
from dormancy.io.arrays.base import Array
from dormancy.text.escape import one_line, printable

__all__ = ["HDF5_ERRORS", "StoredArray"]

HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, SystemError)
"""What h5py raises when a file is damaged: it maps the library's error classes onto these, not always the same way."""


@final
class StoredArray:
    """An array on disk: shape and type are known, consecutive rows are read by slicing, ``array[128:256]``.

    Reading a slice inflates the chunks that it touches and no others, and releases the interpreter meanwhile, so that a
    background thread can fetch the next rows. Damage inside the file shows here: a slice raises `FileError` naming the
    file and the rows.
    """

    def __init__(self, dataset: h5py.Dataset, path: object) -> None:
        self._dataset = dataset
        self._file = printable(path)
        self._name = printable(str(dataset.name).lstrip("/"), 80)
        self.shape: tuple[int, ...] = tuple(dataset.shape)
        self.dtype: np.dtype[Any] = dataset.dtype.newbyteorder("=")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise UsageError("a stored array is read by slices of consecutive rows, such as array[0:64]")
        start, stop, _ = rows.indices(len(self))
        try:
            values: Array = self._dataset[start : max(start, stop)]
        except HDF5_ERRORS as error:
            raise FileError(self._why(start, stop, error)) from error
        return values.astype(self.dtype, copy=False)

    def _why(self, start: int, stop: int, error: BaseException) -> str:
        if not self._dataset.id.valid:
            return f"{self._file}: was closed before rows {start} to {stop} were read; read them inside open_sample"
        return (
            f"{self._file}: damaged: rows {start} to {stop} of '{self._name}' cannot be read "
            f"({one_line(error, 120)}); copy or make the sample again"
        )
