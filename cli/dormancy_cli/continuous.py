"""Environments whose actions are vectors (MuJoCo, some of classic control), for networks that output such an action."""

from __future__ import annotations

import warnings
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dormancy.errors import UsageError

__all__ = ["ContinuousEnvironment"]

Array = NDArray[Any]


@final
class ContinuousEnvironment:
    """An environment of gymnasium with observations and actions that are vectors.

    Raises `UsageError` when it is unknown, cannot be made, or is of another kind.
    """

    def __init__(self, env_id: str, seed: int) -> None:
        self.env_id = env_id
        self._env = _made(env_id)
        space = self._env.action_space
        if not hasattr(space, "low") or len(space.shape) != 1:
            raise UsageError(f"{env_id}: this network outputs an action, the environment takes {space}")
        self.low, self.high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
        self._seed = seed

    @property
    def size(self) -> int:
        """How many numbers an action has."""
        return int(self.low.size)

    def reset(self) -> Array:
        """Begin the episode of this environment's seed."""
        return np.asarray(self._env.reset(seed=self._seed)[0], np.float32)

    def step(self, action: Array) -> tuple[Array, float, bool]:
        """Take an action, cut to what is allowed; return what is seen, the reward, and whether the episode is over."""
        cut = np.clip(action, self.low, self.high).astype(np.float32)
        observation, reward, terminated, truncated, _ = self._env.step(cut)
        return np.asarray(observation, np.float32), float(reward), bool(terminated or truncated)

    def scaled(self, unit: Array) -> Array:
        """Stretch numbers in -1..1 to the range of actions."""
        found: Array = self.low + (np.asarray(unit, np.float64) + 1.0) * (self.high - self.low) / 2.0
        return found

    def drawn(self, chance: np.random.Generator) -> Array:
        """Draw an action uniformly."""
        return chance.uniform(self.low, self.high)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def _made(env_id: str) -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise UsageError("gymnasium is not installed: pip install 'dormancy[train]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium advises on versions and precision; the choice is the user's
        try:
            return gymnasium.make(env_id)
        except (gymnasium.error.Error, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UsageError(f"{env_id} cannot be made: {reason}") from error
