"""Replay buffers that Tianshou saved as HDF5."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import h5py
import numpy as np

from dormancy.errors import SampleError
from dormancy.io.arrays.ring_buffer import episode_ids
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.io.samples.formats._hdf5 import join_segments, per_step, require_group, root_entries
from dormancy.io.samples.sample import ReplaySample

__all__ = ["Tianshou"]


@final
class Tianshou:
    """A replay buffer, or several in one: rings of transitions under ``_meta``, put in order of time here."""

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds ``_meta`` and ``last_index``."""
        return {"_meta", "last_index"} <= set(root_entries(guarded)) and isinstance(guarded.file["_meta"], h5py.Group)

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Read what was filled, oldest first; raises `SampleError` where frames are stacked when they are drawn."""
        root, meta = guarded.file, require_group(guarded, guarded.file, "_meta")
        if "stack_num" in root.attrs and int(guarded.attribute("stack_num")) > 1:
            raise SampleError(
                f"{guarded.name}: holds single frames (stack_num > 1); save a buffer of whole observations"
            )
        entries, rings = guarded.entries(meta), self._rings(guarded)
        order = np.concatenate([np.arange(start, stop) for _, start, stop in rings])
        done = per_step(guarded, meta, "done").astype(bool)[order]
        lengths = np.cumsum([stop - start for _, start, stop in rings])
        done[lengths[:-1] - 1] |= [before[0] != after[0] for before, after in pairwise(rings)]
        observations = {
            name: self._inputs(guarded, meta, name, rings) for name in ("obs", "obs_next") if name in entries
        }
        columns = {"actions": "act", "rewards": "rew", "terminations": "terminated", "truncations": "truncated"}
        found = {
            name: per_step(guarded, meta, stored)[order]
            for name, stored in columns.items()
            if stored in entries and isinstance(meta[stored], h5py.Dataset)
        }
        return ReplaySample(
            observations["obs"], next_observations=observations.get("obs_next"), episode_ids=episode_ids(done), **found
        )

    @staticmethod
    def _inputs(guarded: GuardedFile, meta: h5py.Group, name: str, rings: list[tuple[int, int, int]]) -> Any:
        group = meta[name]
        inner = (
            {"": (meta, name)}
            if isinstance(group, h5py.Dataset)
            else {key: (group, key) for key in guarded.entries(group)}
        )
        arrays = {key: guarded.lazy(*where) for key, where in inner.items()}
        return join_segments(
            guarded, {key: [(array, start, stop) for _, start, stop in rings] for key, array in arrays.items()}
        )

    @staticmethod
    def _rings(guarded: GuardedFile) -> list[tuple[int, int, int]]:
        """Return (buffer, start, stop) of the filled rows in order of time: at most two ranges a buffer."""
        root, names = guarded.file, root_entries(guarded)
        capacity = int(guarded.attribute("maxsize"))
        newest = guarded.in_memory(root, "last_index").ravel()
        several = "_offset" in names
        starts = guarded.in_memory(root, "_offset").ravel() if several else np.zeros(1, np.int64)
        filled = guarded.in_memory(root, "_lengths").ravel() if several else np.array([int(guarded.attribute("_size"))])
        ends = np.append(starts[1:], capacity)
        sizes = ends - starts
        sound = len(newest) == len(starts) == len(filled) and (sizes > 0).all() and (filled <= sizes).all()
        if not sound or (filled < 0).any() or (newest < starts).any() or (newest >= ends).any():
            raise SampleError(f"{guarded.name}: says wrongly what of its buffer is filled; save it again")
        ranges: list[tuple[int, int, int]] = []
        for buffer, (start, end, size, last) in enumerate(zip(starts, ends, filled, newest, strict=True)):
            full = size == end - start
            parts = [(last + 1, end), (start, last + 1)] if full else [(start, start + size)]
            ranges += [(buffer, int(first), int(stop)) for first, stop in parts if stop > first]
        if not ranges:
            raise SampleError(f"{guarded.name}: an empty buffer; save it after some steps")
        return ranges
