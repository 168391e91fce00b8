"""Raw observations of a few hundred steps of a random policy."""

from __future__ import annotations

from typing import Any

import numpy as np
from recording import ROWS


def rows(env_id: str, count: int = ROWS) -> tuple[Any, Any]:
    """Return observations (float32) and actions, in the environment's units."""
    import gymnasium as gym

    env = gym.make(env_id)
    observation, _ = env.reset(seed=1)
    env.action_space.seed(1)
    seen, taken = [], []
    for _ in range(count):
        action = env.action_space.sample()
        seen.append(observation)
        taken.append(action)
        observation, _, ended, cut, _ = env.step(action)
        if ended or cut:
            observation, _ = env.reset()
    return np.stack(seen).astype(np.float32), np.stack(taken)
