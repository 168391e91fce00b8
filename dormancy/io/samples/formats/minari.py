"""Minari data sets."""

from __future__ import annotations

from typing import Any, final

import h5py
import numpy as np
from h5py import h5t

from dormancy.errors import FormatError, SampleError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.concatenated import Segment
from dormancy.io.arrays.hdf5 import StoredArray
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.io.samples.formats._hdf5 import (
    join_segments,
    numbered,
    per_step,
    require_group,
    require_length,
    root_entries,
)
from dormancy.io.samples.sample import ReplaySample
from dormancy.text.escape import printable

__all__ = ["Minari"]

JPEG = b"\xff\xd8\xff"


def _is_jpeg(array: StoredArray) -> bool:
    """Whether rows of bytes are compressed images: pixels have two dimensions or three."""
    return array.dtype == np.uint8 and len(array.shape) == 2 and array[0:1].tobytes().startswith(JPEG)


@final
class Minari:
    """One group an episode, with one observation more than actions: the last one is where the episode ended.

    Minari stores images as JPEG, which is lossy, unless the data set was made without; such files are refused, since a
    network would be shown other pixels than those it was trained on.
    """

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds ``episode_0`` with observations, actions and rewards."""
        first = guarded.file.get("episode_0", getlink=False) if "episode_0" in root_entries(guarded) else None
        return isinstance(first, h5py.Group) and {"observations", "actions", "rewards"} <= set(first)

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Join the episodes; raises `SampleError` for JPEG, and for observations that are not arrays by name."""
        episodes = [
            (name, require_group(guarded, guarded.file, name)) for name in numbered(root_entries(guarded), "episode")
        ]
        observations: dict[str, list[Segment]] = {}
        following: dict[str, list[Segment]] = {}
        columns: dict[str, list[Array]] = {"rewards": [], "terminations": [], "truncations": [], "actions": []}
        for name, group in episodes:
            guarded.entries(group)
            steps = len(per_step(guarded, group, "rewards"))
            for key, array in self._parts(guarded, group).items():
                require_length(guarded, name, [array], steps + 1)
                observations.setdefault(key, []).append((array, 0, steps))
                following.setdefault(key, []).append((array, 1, steps + 1))
            for column, parts in columns.items():
                if isinstance(group.get(column), h5py.Dataset):
                    parts.append(per_step(guarded, group, column))
                    require_length(guarded, name, parts[-1:], steps)
        found: dict[str, Any] = {
            name: np.concatenate(parts) for name, parts in columns.items() if len(parts) == len(episodes)
        }
        lengths = [len(part) for part in columns["rewards"]]
        return ReplaySample(
            join_segments(guarded, observations),
            next_observations=join_segments(guarded, following),
            episode_ids=np.repeat(np.arange(len(lengths)), lengths),
            **found,
        )

    def _parts(self, guarded: GuardedFile, episode: h5py.Group) -> dict[str, StoredArray]:
        observations = episode["observations"]
        if isinstance(observations, h5py.Dataset):
            return {"": self._pixels_or_numbers(guarded, episode, "observations")}
        return {key: self._pixels_or_numbers(guarded, observations, key) for key in guarded.entries(observations)}

    def _pixels_or_numbers(self, guarded: GuardedFile, group: h5py.Group, name: str) -> StoredArray:
        if isinstance(group[name], h5py.Group):
            raise FormatError(
                f"{guarded.name}: observations nested in '{printable(name, 60)}' are not read; flatten them"
            )
        variable = isinstance(group[name], h5py.Dataset) and group[name].id.get_type().get_class() == h5t.VLEN
        if variable or _is_jpeg(array := guarded.lazy(group, name)):
            raise SampleError(
                f"{guarded.name}: '{printable(name, 60)}' holds images compressed as JPEG, which is lossy; make the "
                "data set with jpeg_encoding=False, or collect a sample with dormancy sample --env"
            )
        return array
