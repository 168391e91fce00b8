"""D4RL data sets."""

from __future__ import annotations

from typing import final

from dormancy.io.arrays.ring_buffer import episode_ids
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.io.samples.formats._hdf5 import per_step, root_entries
from dormancy.io.samples.sample import ReplaySample

__all__ = ["D4RL"]


@final
class D4RL:
    """Flat arrays: observations, actions, rewards, terminals, and in most files timeouts."""

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether it holds these arrays at its root, and no schema of its own."""
        names = {"observations", "actions", "rewards", "terminals"}
        return names <= set(root_entries(guarded)) and "schema" not in guarded.file.attrs

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Read them; an episode ends at a terminal or a timeout."""
        names, root = root_entries(guarded), guarded.file
        terminations = per_step(guarded, root, "terminals").astype(bool)
        timeouts = per_step(guarded, root, "timeouts").astype(bool) if "timeouts" in names else None
        ends = terminations if timeouts is None else terminations | timeouts
        return ReplaySample(
            guarded.lazy(root, "observations"),
            actions=guarded.in_memory(root, "actions"),
            rewards=per_step(guarded, root, "rewards"),
            terminations=terminations,
            truncations=timeouts,
            next_observations=guarded.lazy(root, "next_observations") if "next_observations" in names else None,
            episode_ids=episode_ids(ends),
        )
