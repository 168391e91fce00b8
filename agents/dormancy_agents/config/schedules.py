"""What changes with the agent step: exploration, and how many gradient steps are due."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

__all__ = ["epsilon_at", "gradient_steps_due", "scaled_target_period"]


def epsilon_at(agent_step: int, *, warmup: int, decay: int, final: float) -> float:
    """Return the share of random actions: 1 during warm-up, then linearly down to `final` over `decay` agent steps.

    >>> [round(epsilon_at(step, warmup=100, decay=10, final=0.01), 3) for step in (0, 100, 105, 110, 999)]
    [1.0, 1.0, 0.505, 0.01, 0.01]
    """
    if agent_step <= warmup:
        return 1.0
    left = max(0, warmup + decay - agent_step)
    return final + (1.0 - final) * left / decay if left else final


def gradient_steps_due(agent_step: int, *, warmup: int, replay_ratio: float) -> int:
    """Return how many gradient steps belong to the first `agent_step` agent steps: floor(ratio * steps since warm-up).

    The ratio is read as the decimal number it was written as, so that .29 makes 29 gradient steps of 100, not 28.

    >>> [gradient_steps_due(step, warmup=20, replay_ratio=0.25) for step in (19, 20, 23, 24, 28)]
    [0, 0, 0, 1, 2]
    """
    steps = max(0, agent_step - warmup)
    return int(steps * _as_written(replay_ratio))


def scaled_target_period(period: int, replay_ratio: float, published_ratio: float = 0.25) -> int:
    """Return the target period in agent steps that keeps the number of gradient steps between two copies.

    `period` is the one at `published_ratio`: 8000 at replay ratio .25 becomes 4000 at .5, 2000 at 1 and 1000 at 2,
    always 2000 gradient steps.

    >>> [scaled_target_period(8000, ratio) for ratio in (0.25, 0.5, 1, 2)]
    [8000, 4000, 2000, 1000]
    """
    return max(1, round(period * _as_written(published_ratio) / _as_written(replay_ratio)))


@cache
def _as_written(ratio: float) -> Fraction:
    return Fraction(str(ratio))
