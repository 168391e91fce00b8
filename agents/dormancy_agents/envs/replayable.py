"""An environment that can be put back where it was, whatever it is made of: by its seed and the actions since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch

from dormancy_agents.envs.base import Array, Environment, Step

__all__ = ["RESEEDED_AGENT_STEPS", "RecordedEnvironment"]

RESEEDED_AGENT_STEPS = 10_000
"""The first episode that begins this many agent steps after the last seeded one gets a seed of its own."""


@final
class RecordedEnvironment:
    """Passes everything on to an environment and remembers the actions since its last seed.

    `seeds` gives the seed of each part of the run by its number, from 0. Everything an environment does follows from
    seed and actions, so that taking the actions once more leads to the same place, with hidden state, random numbers
    and sticky actions as they were. See docs/decisions/0007.
    """

    def __init__(self, env: Environment, seeds: Callable[[int], int], period: int = RESEEDED_AGENT_STEPS) -> None:
        self._env, self._seeds, self._period = env, seeds, period
        self.env_id, self.actions, self.action_shape = env.env_id, env.actions, env.action_shape
        self.frame_shape, self.frame_stack, self.dtype = env.frame_shape, env.frame_stack, env.dtype
        self._part, self._goes_on = -1, False
        self._taken: list[Any] = []

    def reset(self, seed: int | None = None) -> Array:
        """Begin an episode, with a new seed where it is time; not in the middle of a game."""
        if self._goes_on or (self._part >= 0 and len(self._taken) < self._period):
            return self._env.reset()
        self._part += 1
        self._taken = []
        return self._env.reset(self._seeds(self._part))

    def step(self, action: Any) -> Step:
        """Take an action and remember it."""
        self._taken.append(action)
        step = self._env.step(action)
        self._goes_on = step.life_lost
        return step

    def close(self) -> None:
        """Give the environment up."""
        self._env.close()

    def state(self) -> dict[str, Any]:
        """Return where the environment is: the number of its seed and the actions since."""
        kind = np.float32 if self.action_shape else np.int64
        actions = np.array(self._taken, kind).reshape(-1, *self.action_shape)
        return {"part": self._part, "actions": torch.from_numpy(actions)}

    def restore(self, state: Mapping[str, Any]) -> Array:
        """Go where `state` says, and return the observation there."""
        self._part, self._taken = int(state["part"]), list(state["actions"].numpy())
        observation = self._env.reset(self._seeds(self._part))
        for action in self._taken:
            step = self._env.step(action)
            over = step.terminated or step.truncated
            observation = self._env.reset() if over else step.observation
        return observation
