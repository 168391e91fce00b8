"""The equations of Q-learning as functions on arrays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["double_target", "max_target", "td_loss"]


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
