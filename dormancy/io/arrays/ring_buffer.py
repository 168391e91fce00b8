"""Rings of transitions put in order of time: which rows, oldest first, and which episode each of them is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dormancy.io.arrays.base import Array
from dormancy.io.arrays.concatenated import JoinedArray, Segment
from dormancy.io.arrays.raw import SpanArray

__all__ = ["Ring", "episode_ids", "one_or_by_name"]

Indices: TypeAlias = "NDArray[np.int64]"


def episode_ids(ends: Array) -> Array:
    """Number episodes from where they end: the step after an end is in the next one.

    >>> episode_ids(np.array([False, True, False]))
    array([0, 0, 1])
    """
    return np.concatenate([[0], np.cumsum(np.asarray(ends, dtype=bool))[:-1]]).astype(np.int64)


@final
@dataclass(frozen=True, eq=False)
class Ring:
    """A ring of `size` steps with `columns` environments side by side, of which `rows` are filled, oldest first.

    Flattened, all steps of the first environment come before those of the second.
    """

    size: int
    columns: int
    rows: Indices

    @classmethod
    def of(cls, size: int, columns: int, cursor: int, filled: int) -> Ring:
        """Order a ring whose next row will be written at `cursor`, and whose last `filled` rows were written."""
        return cls(size, columns, (cursor - filled + np.arange(filled, dtype=np.int64)) % size)

    def after(self) -> Ring:
        """Return the same ring a row later."""
        return Ring(self.size, self.columns, (self.rows + 1) % self.size)

    def flat(self, values: Array) -> Array:
        """Flatten an array of shape (size, columns, ...) to (rows · columns, ...)."""
        return np.concatenate([values[self.rows, column] for column in range(self.columns)])

    def episodes(self, ends: Array) -> Array:
        """Number the episodes from where they end, an array of (size, columns); an environment ends the last one."""
        flat = self.flat(np.asarray(ends, dtype=bool)).copy()
        flat[len(self.rows) - 1 :: len(self.rows)] = True
        return episode_ids(flat)

    def joined(self, array: SpanArray, name: str) -> JoinedArray:
        """Flatten an array on disk of (size, columns, ...), which is read when it is asked for."""
        runs = np.split(self.rows, np.flatnonzero(np.diff(self.rows) != 1) + 1)
        spans = [(int(run[0]), int(run[-1]) + 1) for run in runs if run.size]
        segments: list[Segment] = [
            (array.at(column), start, stop) for column in range(self.columns) for start, stop in spans
        ]
        return JoinedArray(segments, name)


def one_or_by_name(arrays: Mapping[str, Any], alone: Sequence[str]) -> Any:
    """Return the only array where its name is one of `alone`, which says nothing; else all of them by name."""
    return next(iter(arrays.values())) if len(arrays) == 1 and next(iter(arrays)) in alone else dict(arrays)
