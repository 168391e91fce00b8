"""Reading a sample in slabs of consecutive rows, the next one while the last is being worked on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from dormancy.io.arrays.base import Array, ObservationArray

__all__ = ["slabs"]

Slab: TypeAlias = "Array | dict[str, Array]"


def _read(inputs: ObservationArray | Mapping[str, ObservationArray], rows: slice) -> Any:
    if isinstance(inputs, Mapping):
        return {name: array[rows] for name, array in inputs.items()}
    return inputs[rows]


def slabs(inputs: ObservationArray | Mapping[str, ObservationArray], rows: int) -> Iterator[Any]:
    """Yield slabs of at most `rows` rows in order: arrays, or one mapping of arrays by input name a slab.

    One slab is read ahead in a thread, so that a compressed file is read while the network runs. Memory: two slabs.
    """
    total = len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)
    starts = range(0, total, rows)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="dormancy-read") as reader:
        waiting = reader.submit(_read, inputs, slice(0, rows))
        for start in starts:
            slab = waiting.result()
            following = start + rows
            if following < total:
                waiting = reader.submit(_read, inputs, slice(following, following + rows))
            yield slab
