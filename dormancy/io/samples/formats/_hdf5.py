"""Data sets of other libraries in HDF5: Minari, D4RL, robomimic, and the replay buffers of Tianshou.

Each is told by what it holds, behind the same guard as samples: no link is followed, no object is read. The layouts are
those of Minari 0.5, D4RL, robomimic 0.3 to 0.5, and Tianshou 0.5 to 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import h5py

from dormancy.errors import SampleError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.concatenated import JoinedArray, Segment
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.text.escape import printable

__all__ = [
    "MAX_EPISODES",
    "join_segments",
    "numbered",
    "per_step",
    "require_group",
    "require_length",
    "root_entries",
    "whole_array",
]

MAX_EPISODES = 100_000


def root_entries(guarded: GuardedFile) -> list[str]:
    return guarded.entries(guarded.file, MAX_EPISODES)


def numbered(names: Sequence[str], prefix: str) -> list[str]:
    """Return the names that are `prefix` and a number, by that number: episode_2 comes before episode_10."""
    found = [name for name in names if re.fullmatch(rf"{prefix}_\d{{1,12}}", name)]
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def require_group(guarded: GuardedFile, parent: h5py.Group, name: str) -> h5py.Group:
    group = parent[name]
    if not isinstance(group, h5py.Group):
        raise SampleError(f"{guarded.name}: '{printable(name, 60)}' is not a group; export the data again")
    return group


def per_step(guarded: GuardedFile, group: h5py.Group, name: str) -> Array:
    """Read an array with one value, or one vector, a step."""
    values = guarded.in_memory(group, name)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 and name != "actions" else values


def whole_array(array: Any) -> Segment:
    return array, 0, len(array)


def require_length(guarded: GuardedFile, where: str, arrays: Sequence[Any], steps: int) -> None:
    if any(len(array) != steps for array in arrays):
        raise SampleError(f"{guarded.name}: the arrays of '{printable(where, 60)}' differ in length; export it again")


def join_segments(guarded: GuardedFile, segments: dict[str, list[Segment]]) -> Any:
    """Join the segments of each input; the only one without a name is the observations themselves."""
    counts = {len(parts) for parts in segments.values()}
    if len(counts) != 1:
        raise SampleError(f"{guarded.name}: its episodes have different observations; export them again")
    joined = {name: JoinedArray(parts, guarded.name) for name, parts in segments.items()}
    return joined[""] if set(joined) == {""} else joined
