"""Data sets of other libraries in HDF5: Minari, D4RL, robomimic, and the replay buffers of Tianshou.

Each is told by what it holds, behind the same guard as samples: no link is followed, no object is read. The layouts are
those of Minari 0.5, D4RL, robomimic 0.3 to 0.5, and Tianshou 0.5 to 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import h5py
import numpy as np
from h5py import h5t

from dormancy.errors import FormatError, SampleError
from dormancy.io.arrays.concatenated import JoinedArray, Segment
from dormancy.io.arrays.hdf5 import StoredArray
from dormancy.io.arrays.ring_buffer import episode_ids
from dormancy.io.files import printable
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.io.samples.sample import Array, ReplaySample

__all__ = ["D4RL", "Minari", "Robomimic", "Tianshou"]

MAX_EPISODES = 100_000
JPEG = b"\xff\xd8\xff"


def _names(guarded: GuardedFile) -> list[str]:
    return guarded.entries(guarded.file, MAX_EPISODES)


def _numbered(names: Sequence[str], prefix: str) -> list[str]:
    """Return the names that are `prefix` and a number, by that number: episode_2 comes before episode_10."""
    found = [name for name in names if re.fullmatch(rf"{prefix}_\d{{1,12}}", name)]
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def _group(guarded: GuardedFile, parent: h5py.Group, name: str) -> h5py.Group:
    group = parent[name]
    if not isinstance(group, h5py.Group):
        raise SampleError(f"{guarded.name}: '{printable(name, 60)}' is not a group; export the data again")
    return group


def _one_a_step(guarded: GuardedFile, group: h5py.Group, name: str) -> Array:
    """Read an array with one value, or one vector, a step."""
    values = guarded.in_memory(group, name)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 and name != "actions" else values


def _whole(array: Any) -> Segment:
    return array, 0, len(array)


def _same_length(guarded: GuardedFile, where: str, arrays: Sequence[Any], steps: int) -> None:
    if any(len(array) != steps for array in arrays):
        raise SampleError(f"{guarded.name}: the arrays of '{printable(where, 60)}' differ in length; export it again")


@final
class Minari:
    """One group an episode, with one observation more than actions: the last one is where the episode ended.

    Minari stores images as JPEG, which is lossy, unless the data set was made without; such files are refused, since a
    network would be shown other pixels than those it was trained on.
    """

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds ``episode_0`` with observations, actions and rewards."""
        first = guarded.file.get("episode_0", getlink=False) if "episode_0" in _names(guarded) else None
        return isinstance(first, h5py.Group) and {"observations", "actions", "rewards"} <= set(first)

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Join the episodes; raises `SampleError` for JPEG, and for observations that are not arrays by name."""
        episodes = [(name, _group(guarded, guarded.file, name)) for name in _numbered(_names(guarded), "episode")]
        observations: dict[str, list[Segment]] = {}
        following: dict[str, list[Segment]] = {}
        columns: dict[str, list[Array]] = {"rewards": [], "terminations": [], "truncations": [], "actions": []}
        for name, group in episodes:
            guarded.entries(group)
            steps = len(_one_a_step(guarded, group, "rewards"))
            for key, array in self._parts(guarded, group).items():
                _same_length(guarded, name, [array], steps + 1)
                observations.setdefault(key, []).append((array, 0, steps))
                following.setdefault(key, []).append((array, 1, steps + 1))
            for column, parts in columns.items():
                if isinstance(group.get(column), h5py.Dataset):
                    parts.append(_one_a_step(guarded, group, column))
                    _same_length(guarded, name, parts[-1:], steps)
        found: dict[str, Any] = {
            name: np.concatenate(parts) for name, parts in columns.items() if len(parts) == len(episodes)
        }
        lengths = [len(part) for part in columns["rewards"]]
        return ReplaySample(
            _joined(guarded, observations),
            next_observations=_joined(guarded, following),
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


def _is_jpeg(array: StoredArray) -> bool:
    """Whether rows of bytes are compressed images: pixels have two dimensions or three."""
    return array.dtype == np.uint8 and len(array.shape) == 2 and array[0:1].tobytes().startswith(JPEG)


def _joined(guarded: GuardedFile, segments: dict[str, list[Segment]]) -> Any:
    """Join the segments of each input; the only one without a name is the observations themselves."""
    counts = {len(parts) for parts in segments.values()}
    if len(counts) != 1:
        raise SampleError(f"{guarded.name}: its episodes have different observations; export them again")
    joined = {name: JoinedArray(parts, guarded.name) for name, parts in segments.items()}
    return joined[""] if set(joined) == {""} else joined


@final
class D4RL:
    """Flat arrays: observations, actions, rewards, terminals, and in most files timeouts."""

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds these arrays at its root, and no schema of its own."""
        names = {"observations", "actions", "rewards", "terminals"}
        return names <= set(_names(guarded)) and "schema" not in guarded.file.attrs

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Read them; an episode ends at a terminal or a timeout."""
        names, root = _names(guarded), guarded.file
        terminations = _one_a_step(guarded, root, "terminals").astype(bool)
        timeouts = _one_a_step(guarded, root, "timeouts").astype(bool) if "timeouts" in names else None
        ends = terminations if timeouts is None else terminations | timeouts
        return ReplaySample(
            guarded.lazy(root, "observations"),
            actions=guarded.in_memory(root, "actions"),
            rewards=_one_a_step(guarded, root, "rewards"),
            terminations=terminations,
            truncations=timeouts,
            next_observations=guarded.lazy(root, "next_observations") if "next_observations" in names else None,
            episode_ids=episode_ids(ends),
        )


@final
class Robomimic:
    """Demonstrations under ``data/demo_N``, each with observations by name under ``obs``."""

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds ``data`` with demonstrations."""
        data = guarded.file["data"] if "data" in _names(guarded) else None
        return isinstance(data, h5py.Group) and bool(_numbered(guarded.entries(data, MAX_EPISODES), "demo"))

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Join the demonstrations; raises `SampleError` where a file was made without observations."""
        data = _group(guarded, guarded.file, "data")
        demos = [(name, _group(guarded, data, name)) for name in _numbered(guarded.entries(data, MAX_EPISODES), "demo")]
        parts: dict[str, dict[str, list[Segment]]] = {"obs": {}, "next_obs": {}}
        columns: dict[str, list[Array]] = {"actions": [], "rewards": [], "dones": []}
        for name, demo in demos:
            entries = guarded.entries(demo)
            if "obs" not in entries:
                raise SampleError(
                    f"{guarded.name}: '{name}' has states but no observations; extract them with robomimic"
                )
            steps = len(guarded.in_memory(demo, "actions"))
            for kind in parts.keys() & set(entries):
                group = _group(guarded, demo, kind)
                for key in guarded.entries(group):
                    array = guarded.lazy(group, key)
                    _same_length(guarded, name, [array], steps)
                    parts[kind].setdefault(key, []).append(_whole(array))
            for column in columns.keys() & set(entries):
                columns[column].append(_one_a_step(guarded, demo, column))
        found = {name: np.concatenate(each) for name, each in columns.items() if len(each) == len(demos)}
        lengths = [len(actions) for actions in columns["actions"]]
        return ReplaySample(
            _joined(guarded, parts["obs"]),
            next_observations=_joined(guarded, parts["next_obs"]) if parts["next_obs"] else None,
            actions=found.get("actions"),
            rewards=found.get("rewards"),
            terminations=found["dones"].astype(bool) if "dones" in found else None,
            episode_ids=np.repeat(np.arange(len(lengths)), lengths),
        )


@final
class Tianshou:
    """A replay buffer, or several in one: rings of transitions under ``_meta``, put in order of time here."""

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds ``_meta`` and ``last_index``."""
        return {"_meta", "last_index"} <= set(_names(guarded)) and isinstance(guarded.file["_meta"], h5py.Group)

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Read what was filled, oldest first; raises `SampleError` where frames are stacked when they are drawn."""
        root, meta = guarded.file, _group(guarded, guarded.file, "_meta")
        if "stack_num" in root.attrs and int(guarded.attribute("stack_num")) > 1:
            raise SampleError(
                f"{guarded.name}: holds single frames (stack_num > 1); save a buffer of whole observations"
            )
        entries, rings = guarded.entries(meta), self._rings(guarded)
        order = np.concatenate([np.arange(start, stop) for _, start, stop in rings])
        done = _one_a_step(guarded, meta, "done").astype(bool)[order]
        lengths = np.cumsum([stop - start for _, start, stop in rings])
        done[lengths[:-1] - 1] |= [before[0] != after[0] for before, after in pairwise(rings)]
        observations = {
            name: self._inputs(guarded, meta, name, rings) for name in ("obs", "obs_next") if name in entries
        }
        columns = {"actions": "act", "rewards": "rew", "terminations": "terminated", "truncations": "truncated"}
        found = {
            name: _one_a_step(guarded, meta, stored)[order]
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
        return _joined(
            guarded, {key: [(array, start, stop) for _, start, stop in rings] for key, array in arrays.items()}
        )

    @staticmethod
    def _rings(guarded: GuardedFile) -> list[tuple[int, int, int]]:
        """Return (buffer, start, stop) of the filled rows in order of time: at most two ranges a buffer."""
        root, names = guarded.file, _names(guarded)
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
