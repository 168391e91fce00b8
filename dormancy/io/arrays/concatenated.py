"""Arrays made of parts of other arrays, read when they are asked for: segments in a row, and rows picked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from dormancy.errors import SampleError, UsageError
from dormancy.io.arrays.base import Array, ObservationArray

__all__ = ["JoinedArray", "PickedArray", "Segment"]

Segment = tuple[ObservationArray, int, int]
"""Rows start to stop (exclusive) of an array."""


@final
class JoinedArray:
    """Segments of arrays as one array of N rows: an episode after the other, the two halves of a ring in order of time.

    Raises `SampleError` that begins with `name` when segments differ in type or shape, or when there are none.
    """

    def __init__(self, segments: Sequence[Segment], name: str) -> None:
        self._segments = [segment for segment in segments if segment[2] > segment[1]]
        kinds = {(array.dtype, tuple(array.shape[1:])) for array, _, _ in self._segments}
        if len(kinds) != 1:
            found = "no rows" if not kinds else f"episodes of different shapes or types ({len(kinds)} kinds)"
            raise SampleError(f"{name}: {found}; collect or export the data again")
        self._ends = np.cumsum([stop - start for _, start, stop in self._segments])
        self.dtype, row = kinds.pop()
        self.shape: tuple[int, ...] = (int(self._ends[-1]), *row)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise UsageError("joined arrays are read by slices of consecutive rows, such as array[0:64]")
        parts: list[Array] = []
        while start < stop:
            index = int(np.searchsorted(self._ends, start, side="right"))
            array, _, last = self._segments[index]
            begin = last - (int(self._ends[index]) - start)
            end = min(last, begin + stop - start)
            parts.append(np.asarray(array[begin:end]))
            start += end - begin
        return np.concatenate(parts) if parts else np.zeros((0, *self.shape[1:]), self.dtype)


@final
class PickedArray:
    """Rows of an array at increasing positions, as an array; neighbours are read together."""

    def __init__(self, array: ObservationArray, positions: NDArray[np.int64]) -> None:
        self._array = array
        self._positions = positions
        self.dtype = array.dtype
        self.shape: tuple[int, ...] = (len(positions), *array.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        chosen = self._positions[rows]
        if not chosen.size:
            return np.zeros((0, *self.shape[1:]), self.dtype)
        runs = np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1)
        return np.concatenate([np.asarray(self._array[int(run[0]) : int(run[-1]) + 1]) for run in runs])
