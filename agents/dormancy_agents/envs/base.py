"""What an environment is to a training loop: reset, step, close."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Environment", "Step"]

Array = NDArray[Any]


class Step(NamedTuple):
    """What one action led to: the observation reached, also where the episode ends there, and the reward unclipped.

    `life_lost` says of an episode that terminated that only a life is over: `reset` goes on in the same game.
    """

    observation: Array
    reward: float
    terminated: bool
    truncated: bool
    life_lost: bool = False


class Environment(Protocol):
    """One environment. An episode that is reset with a seed, and all that follow it, depend on seed and actions alone.

    `frame_stack` says how many frames the first axis of an observation holds, newest last; None means no such axis.
    `actions` counts discrete actions, of which each is a number from 0 on and `action_shape` is (); where actions are
    vectors, `action_shape` is (actions,).
    """

    env_id: str
    actions: int
    action_shape: tuple[int, ...]
    frame_shape: tuple[int, ...]
    frame_stack: int | None
    dtype: np.dtype[Any]

    def reset(self, seed: int | None = None) -> Array:
        """Begin an episode and return its first observation; the very first one needs a seed."""

    def step(self, action: Any) -> Step:
        """Take an action."""

    def close(self) -> None:
        """Give the environment up."""
