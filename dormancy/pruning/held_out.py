"""Two halves of one sample: neurons are found on one, and their absence is felt on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from dormancy.graph import IntArray
from dormancy.io import ObservationArray, ReplaySample
from dormancy.probing.probe import Inputs, Observations, Probe

__all__ = ["SomeRows", "halves"]


@final
class SomeRows:
    """Some rows of stored observations, read when they are asked for: slices as of an array of just these rows.

    `index` holds the rows, ascending. A slice reads the smallest run of consecutive stored rows that contains it.
    """

    def __init__(self, rows: ObservationArray, index: IntArray) -> None:
        self._rows = rows
        self._index = index
        self.shape = (index.size, *rows.shape[1:])
        self.dtype = rows.dtype

    def __len__(self) -> int:
        return int(self._index.size)

    def __getitem__(self, rows: slice, /) -> Any:
        wanted = self._index[rows]
        if not wanted.size:
            return self._rows[0:0]
        first = int(wanted[0])
        return self._rows[first : int(wanted[-1]) + 1][wanted - first]


def halves(probe: Probe, observations: Observations) -> tuple[Probe, Probe] | None:
    """Split a probe's sample in two: (where neurons are looked for, held out), or None for a single row.

    Rows of one episode resemble one another; where the sample tells episodes apart, whole episodes go to one side or
    the other, in turn. Otherwise the first half of the rows is one side and the second half the other.
    """
    if probe.rows < 2:
        return None
    first = _first_half(probe.rows, observations)
    sides = np.flatnonzero(first), np.flatnonzero(~first)
    one, other = (_part(probe, index) for index in sides)
    return one, other


def _first_half(rows: int, observations: Observations) -> Any:
    episodes = observations.episode_ids if isinstance(observations, ReplaySample) else None
    if episodes is not None:
        _, number = np.unique(np.asarray(episodes), return_inverse=True)
        if number.max() > 0:
            return number % 2 == 0
    return np.arange(rows) < (rows + 1) // 2


def _part(probe: Probe, index: IntArray) -> Probe:
    inputs = probe.inputs
    some: Inputs
    if isinstance(inputs, Mapping):
        some = {name: SomeRows(array, index) for name, array in inputs.items()}
    else:
        some = SomeRows(inputs, index)
    part = Probe(probe.model, some, batch_size=probe.batch_size, input_scale=probe.input_scale)
    part.graph = probe.graph
    return part
