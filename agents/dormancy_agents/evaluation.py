"""How good the agent is without exploration: episodes in an environment that training knows nothing of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dormancy_agents.envs import Environment

__all__ = ["Episode", "Policy", "play"]

Policy: TypeAlias = Callable[[NDArray[Any], np.random.Generator], Any]
"""From an observation, and the only source of chance, to an action."""


class Episode(NamedTuple):
    """An undiscounted return, of rewards neither clipped nor scaled, and how many agent steps it took."""

    value: float
    agent_steps: int


def play(env: Environment, policy: Policy, episodes: int, seed: int) -> list[Episode]:
    """Play whole episodes and close the environment; everything follows from the policy and `seed`."""
    rng = np.random.default_rng(seed)
    with closing(env):
        first = env.reset(seed)
        return [_episode(env, policy, rng, first if number == 0 else env.reset()) for number in range(episodes)]


def _episode(env: Environment, policy: Policy, rng: np.random.Generator, observation: NDArray[Any]) -> Episode:
    value, length = 0.0, 0
    while True:
        step = env.step(policy(observation, rng))
        value, length, observation = value + step.reward, length + 1, step.observation
        if step.terminated or step.truncated:
            return Episode(value, length)
