"""Environments whose actions are vectors: MuJoCo, and some of classic control."""

from __future__ import annotations

from types import ModuleType
from typing import final

import numpy as np

from dormancy.errors import UsageError
from dormancy_agents.envs.base import Array, Step
from dormancy_agents.envs.gymnasium_make import made

__all__ = ["ContinuousEnvironment"]


@final
class ContinuousEnvironment:
    """An environment of gymnasium whose observations and actions are vectors; `step` takes actions in -1..1.

    Such an action is stretched to the bounds of the environment. `actions` says how many numbers it has. Raises
    `UsageError` when the environment cannot be made here or is of another kind.
    """

    def __init__(self, env_id: str, gymnasium: ModuleType, seed: int | None = None) -> None:
        self.env_id = env_id
        self._env = made(env_id, gymnasium)
        space, actions = self._env.observation_space, self._env.action_space
        if not (isinstance(actions, gymnasium.spaces.Box) and len(actions.shape) == 1):
            raise UsageError(f"{env_id}: actions must be vectors here, the environment takes {actions}")
        if not (isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1):
            raise UsageError(f"{env_id}: observations must be vectors, not {space}")
        if not (np.isfinite(actions.low).all() and np.isfinite(actions.high).all()):
            raise UsageError(f"{env_id}: its actions have no bounds to stretch them to")
        self._low, self._range = actions.low.astype(np.float64), (actions.high - actions.low).astype(np.float64)
        self._seed = seed
        self.actions = int(actions.shape[0])
        self.action_shape: tuple[int, ...] = (self.actions,)
        self.frame_shape = tuple(space.shape)
        self.frame_stack: int | None = None
        self.dtype = np.dtype(np.float32)

    def reset(self, seed: int | None = None) -> Array:
        """Begin an episode."""
        observation, _ = self._env.reset(seed=self._seed if seed is None else seed)
        self._seed = None
        return np.asarray(observation, self.dtype)

    def step(self, action: Array) -> Step:
        """Take an action in -1..1."""
        return self.take(self._low + (np.asarray(action, np.float64) + 1.0) * self._range / 2.0)

    def take(self, action: Array) -> Step:
        """Take an action in the environment's own numbers, cut to its bounds."""
        cut = np.clip(action, self._low, self._low + self._range).astype(np.float32)
        observation, reward, terminated, truncated, _ = self._env.step(cut)
        return Step(np.asarray(observation, self.dtype), float(reward), bool(terminated), bool(truncated))

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
