"""The random streams of a run: one for each purpose, so that none can shift another.

Drawing a statistics sample more often, or recycling neurons, must not change which actions are explored or which
transitions are learned from. Every stream is derived from the seed of the run by NumPy's `SeedSequence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np

__all__ = ["Streams"]

# The position in this list is part of the derivation: append, never insert.
PURPOSES = (
    "environment",
    "network",
    "exploration",
    "replay",
    "statistics",
    "recycling",
    "evaluation",
    "policy",
    "augmentation",
    "targets",
)

GENERATORS = ("exploration", "replay", "policy")


@final
class Streams:
    """Independent random streams, derived from one seed.

    `exploration`, `replay` and `policy` (the noise of actions that are learned from) are generators that live as long
    as the run. Statistics and recycling draw from a fresh generator each time, a function of the seed and the step
    only: `at`.

    >>> streams = Streams(7)
    >>> bool(streams.at("statistics", 100).random() == Streams(7).at("statistics", 100).random())
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.exploration = np.random.default_rng(self._sequence("exploration"))
        self.replay = np.random.default_rng(self._sequence("replay"))
        self.policy = np.random.default_rng(self._sequence("policy"))

    def _sequence(self, purpose: str, *steps: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self._seed, spawn_key=(PURPOSES.index(purpose), *steps))

    def at(self, purpose: str, step: int) -> np.random.Generator:
        """Return the generator of `purpose` for one step, the same whenever it is asked for."""
        return np.random.default_rng(self._sequence(purpose, step))

    def integer(self, purpose: str, *steps: int) -> int:
        """Return a seed in [0, 2^31) for a library that wants a number; `steps` make more of them."""
        return int(self._sequence(purpose, *steps).generate_state(1)[0] >> 1)

    def numbered(self, purpose: str) -> Callable[[int], int]:
        """Return a function that gives the seed of a number: one for each part of a run, say."""
        return lambda number: self.integer(purpose, number)

    def state(self) -> dict[str, Any]:
        """Return where the generators that live as long as the run are; JSON-able."""
        return {name: getattr(self, name).bit_generator.state for name in GENERATORS}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put the generators where they were."""
        for name in GENERATORS:
            getattr(self, name).bit_generator.state = state[name]
