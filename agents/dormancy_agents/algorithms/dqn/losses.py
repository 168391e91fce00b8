"""The equations of Q-learning as functions on arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NStep", "double_target", "max_target", "n_step", "td_loss"]


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


def max_target(returns: Tensor, discounts: Tensor, next_values: Tensor) -> Tensor:
    """Return the target of Q-learning, return + discount * max_a Q'(s', a) (Mnih et al. 2015); no double DQN.

    `returns` and `discounts` have shape (batch,), `next_values` (batch, actions) from the target network.

    >>> max_target(torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([[2.0, 6.0]]))
    tensor([4.])
    """
    return torch.addcmul(returns, discounts, next_values.amax(dim=1))


def double_target(returns: Tensor, discounts: Tensor, next_values: Tensor, chosen_by: Tensor) -> Tensor:
    """Return the target of double Q-learning, return + discount * Q'(s', argmax_a Q(s', a)) (van Hasselt et al. 2016).

    `next_values` are those of the target network, `chosen_by` those of the network that trains, (batch, actions) both.

    >>> double_target(torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([[2.0, 6.0]]), torch.tensor([[9.0, 0.0]]))
    tensor([2.])
    """
    best = chosen_by.argmax(dim=1, keepdim=True)
    return torch.addcmul(returns, discounts, next_values.gather(1, best).squeeze(1))


def td_loss(values: Tensor, actions: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    """Return the mean Huber loss of the values of the actions taken: quadratic up to an error of `delta`, then linear.

    `values` have shape (batch, actions), `actions` and `targets` (batch,).

    >>> td_loss(torch.tensor([[0.0, 3.0], [0.5, 9.0]]), torch.tensor([1, 0]), torch.tensor([0.0, 0.0]))
    tensor(1.3125)
    """
    taken = values.gather(1, actions.unsqueeze(1)).squeeze(1)
    return F.huber_loss(taken, targets, delta=delta)
