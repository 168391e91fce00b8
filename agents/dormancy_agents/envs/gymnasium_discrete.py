"""Environments of gymnasium whose observations are vectors and whose actions are discrete."""

from __future__ import annotations

from types import ModuleType
from typing import final

import numpy as np

from dormancy.errors import UsageError
from dormancy_agents.config import CommonConfig
from dormancy_agents.envs.base import Array, Step
from dormancy_agents.envs.gymnasium_make import made

__all__ = ["GymnasiumEnvironment"]


@final
class GymnasiumEnvironment:
    """An environment of gymnasium whose observations are vectors and whose actions are discrete."""

    def __init__(self, config: CommonConfig, gymnasium: ModuleType, seed: int) -> None:
        self.env_id = config.env_id
        self._env = made(config.env_id, gymnasium)
        space, actions = self._env.observation_space, self._env.action_space
        if not (isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1):
            raise UsageError(f"{config.env_id}: observations must be vectors, not {space}")
        if not isinstance(actions, gymnasium.spaces.Discrete):
            raise UsageError(
                f"{config.env_id}: {config.algorithm} needs discrete actions, not {actions}; sac takes such"
            )
        self._seed: int | None = seed
        self._first_action = int(actions.start)
        self.actions = int(actions.n)
        self.action_shape: tuple[int, ...] = ()
        self.frame_shape = tuple(space.shape)
        self.frame_stack: int | None = None
        self.dtype = np.dtype(np.float32)

    def reset(self, seed: int | None = None) -> Array:
        """Begin an episode."""
        observation, _ = self._env.reset(seed=self._seed if seed is None else seed)
        self._seed = None
        return np.asarray(observation, self.dtype)

    def step(self, action: int) -> Step:
        """Take an action."""
        observation, reward, terminated, truncated, _ = self._env.step(self._first_action + action)
        return Step(np.asarray(observation, self.dtype), float(reward), bool(terminated), bool(truncated))

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
