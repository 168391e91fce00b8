"""Returns over n steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NStep", "n_step"]


class NStep(NamedTuple):
    """n-step returns of a batch, each of shape (batch,).

    `returns` are the discounted sums of rewards (float32), `discounts` what the value of the state reached counts
    for: gamma to the number of steps, or 0 where the episode terminated (float32). `lengths` are the steps taken.
    """

    returns: NDArray[np.float32]
    discounts: NDArray[np.float32]
    lengths: NDArray[np.int64]


def n_step(rewards: NDArray[Any], terminated: NDArray[np.bool_], truncated: NDArray[np.bool_], gamma: float) -> NStep:
    """Sum the rewards of n consecutive steps, stopping at the end of the episode.

    All inputs have shape (batch, n). What follows an end is ignored: it belongs to another episode. A termination
    leaves nothing to come (discount 0); after a truncation the state reached still has a value.

    >>> result = n_step(np.array([[1.0, 2.0, 4.0]]), np.zeros((1, 3), bool), np.zeros((1, 3), bool), 0.5)
    >>> float(result.returns[0]), float(result.discounts[0]), int(result.lengths[0])
    (3.0, 0.125, 3)
    """
    if rewards.shape[1] == 1:  # nothing to add up, and most runs have it so
        lengths = np.ones(len(rewards), np.int64)
        return NStep(
            rewards[:, 0].astype(np.float32), np.where(terminated[:, 0], 0.0, gamma).astype(np.float32), lengths
        )
    over = np.cumsum(terminated | truncated, axis=1)
    taken = np.concatenate([np.ones_like(over[:, :1]), over[:, :-1] == 0], axis=1)
    powers = gamma ** np.arange(rewards.shape[1])
    lengths = taken.sum(axis=1)
    alive = ~(terminated & (taken == 1)).any(axis=1)
    returns = (rewards * taken * powers).sum(axis=1)
    return NStep(returns.astype(np.float32), (alive * gamma**lengths).astype(np.float32), lengths)
