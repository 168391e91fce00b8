"""How good the agent is without exploration: episodes in an environment that training knows nothing of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def _always() -> bool:
    return True


def play(
    env: Environment, policy: Policy, episodes: int, seed: int, goes_on: Callable[[], bool] = _always
) -> Iterator[Episode]:
    """Play whole episodes, give each as it ends, and close the environment.

    Everything follows from the policy and `seed`. `goes_on` is asked before every step: where it says no, the episode
    is given up, and there is no further one.
    """
    rng = np.random.default_rng(seed)
    with closing(env):
        observation = env.reset(seed)
        for number in range(episodes):
            episode = _episode(env, policy, rng, env.reset() if number else observation, goes_on)
            if episode is None:
                return
            yield episode


def _episode(
    env: Environment, policy: Policy, rng: np.random.Generator, observation: NDArray[Any], goes_on: Callable[[], bool]
) -> Episode | None:
    value, length = 0.0, 0
    while goes_on():
        step = env.step(policy(observation, rng))
        value, length, observation = value + step.reward, length + 1, step.observation
        if step.terminated or step.truncated:
            return Episode(value, length)
    return None
