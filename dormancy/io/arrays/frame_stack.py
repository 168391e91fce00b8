"""Stacks of consecutive frames, made when they are asked for."""

from __future__ import annotations

import threading
from math import prod
from typing import Any, final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dormancy.io.arrays.base import Array, ObservationArray

__all__ = ["StackedArray"]


@final
class StackedArray:
    """At each of the increasing `positions`, the frame there and the ``depth - 1`` before it, oldest first.

    Frames of shape (...) become rows of (depth, ...), but single vectors, which are floating and not pixels, rows of
    (numbers,). Frames are read from front to back, each once, where rows are: what the next row shares with the last
    one is kept.
    """

    def __init__(self, frames: ObservationArray, positions: NDArray[np.int64], depth: int) -> None:
        self._frames = frames
        self._positions = positions
        self._depth = depth
        self._lock = threading.Lock()
        self._kept: tuple[int, Array] = (0, np.zeros((0, *frames.shape[1:]), frames.dtype))
        self.dtype: np.dtype[Any] = frames.dtype
        vectors = depth == 1 and frames.dtype.kind == "f"
        row = (prod(frames.shape[1:]),) if vectors else (depth, *frames.shape[1:])
        self.shape: tuple[int, ...] = (len(positions), *row)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        chosen = self._positions[rows]
        if not chosen.size:
            return np.zeros((0, *self.shape[1:]), self.dtype)
        runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > self._depth) + 1)
        with self._lock:
            return np.concatenate([self._run(run) for run in runs])

    def _run(self, positions: NDArray[np.int64]) -> Array:
        """Stack what lies close together."""
        first, stop = int(positions[0]) - self._depth + 1, int(positions[-1]) + 1
        frames = self._between(first, stop)
        windows = sliding_window_view(frames, self._depth, axis=0)
        chosen = windows[positions - self._depth + 1 - first]
        return np.moveaxis(chosen, -1, 1).reshape(len(positions), *self.shape[1:])

    def _between(self, start: int, stop: int) -> Array:
        """Read frames `start` to `stop`, the first of them perhaps kept from the last time."""
        begin, kept = self._kept
        end = begin + len(kept)
        known = kept[start - begin : stop - begin] if begin <= start < end else kept[:0]
        fresh = start + len(known)
        read = [np.asarray(self._frames[fresh:stop])] if fresh < stop else []
        frames = np.concatenate([known, *read])
        self._kept = (stop - min(len(frames), self._depth), frames[-self._depth :].copy())
        return frames
