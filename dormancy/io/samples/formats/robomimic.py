"""robomimic data sets."""

from __future__ import annotations

from typing import final

import h5py
import numpy as np

from dormancy.errors import SampleError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.concatenated import Segment
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.io.samples.formats._hdf5 import (
    MAX_EPISODES,
    join_segments,
    numbered,
    per_step,
    require_group,
    require_length,
    root_entries,
    whole_array,
)
from dormancy.io.samples.sample import ReplaySample

__all__ = ["Robomimic"]


@final
class Robomimic:
    """Demonstrations under ``data/demo_N``, each with observations by name under ``obs``."""

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds ``data`` with demonstrations."""
        data = guarded.file["data"] if "data" in root_entries(guarded) else None
        return isinstance(data, h5py.Group) and bool(numbered(guarded.entries(data, MAX_EPISODES), "demo"))

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Join the demonstrations; raises `SampleError` where a file was made without observations."""
        data = require_group(guarded, guarded.file, "data")
        demos = [
            (name, require_group(guarded, data, name)) for name in numbered(guarded.entries(data, MAX_EPISODES), "demo")
        ]
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
                group = require_group(guarded, demo, kind)
                for key in guarded.entries(group):
                    array = guarded.lazy(group, key)
                    require_length(guarded, name, [array], steps)
                    parts[kind].setdefault(key, []).append(whole_array(array))
            for column in columns.keys() & set(entries):
                columns[column].append(per_step(guarded, demo, column))
        found = {name: np.concatenate(each) for name, each in columns.items() if len(each) == len(demos)}
        lengths = [len(actions) for actions in columns["actions"]]
        return ReplaySample(
            join_segments(guarded, parts["obs"]),
            next_observations=join_segments(guarded, parts["next_obs"]) if parts["next_obs"] else None,
            actions=found.get("actions"),
            rewards=found.get("rewards"),
            terminations=found["dones"].astype(bool) if "dones" in found else None,
            episode_ids=np.repeat(np.arange(len(lengths)), lengths),
        )
