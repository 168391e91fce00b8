"""The equations of soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905) as functions on tensors.

Actions are in -1..1: the tanh of a normal variable. Entropies are those of that squashed distribution.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["actor_loss", "critic_loss", "soft_target", "squashed_action", "squashed_sample", "temperature_loss"]

LOG_DEVIATION = (-20.0, 2.0)
"""Bounds of the logarithm of the standard deviation, as most implementations have them."""
LOG_2, HALF_LOG_2_PI = math.log(2.0), 0.5 * math.log(2.0 * math.pi)


def squashed_action(mean: Tensor, log_deviation: Tensor, noise: Tensor) -> Tensor:
    """Return a = tanh(mean + exp(log_deviation) * noise), all of shape (batch, actions); `noise` is standard normal.

    >>> float(squashed_action(torch.ones(1, 1), torch.zeros(1, 1), -torch.ones(1, 1)))
    0.0
    """
    return torch.addcmul(mean, log_deviation.clamp(*LOG_DEVIATION).exp(), noise).tanh()


def squashed_sample(mean: Tensor, log_deviation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return a = tanh(mean + exp(log_deviation) * noise) and the logarithm of its density.

    All inputs have shape (batch, actions), `noise` is standard normal; the results are (batch, actions) and (batch, 1).
    log pi(a) = sum log N(u) - log(1 - tanh(u)^2) (equation 21), the last term as 2 (log 2 - u - softplus(-2 u)), which
    neither overflows nor rounds to log 0 however large u is.

    >>> action, log_density = squashed_sample(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1))
    >>> float(action), round(float(log_density), 4)  # the density of a standard normal at 0
    (0.0, -0.9189)
    """
    log_deviation = log_deviation.clamp(*LOG_DEVIATION)
    before = torch.addcmul(mean, log_deviation.exp(), noise)
    normal = -0.5 * noise.square() - (HALF_LOG_2_PI + 2.0 * LOG_2)  # nothing is learned of it
    varying = 2.0 * (before + F.softplus(-2.0 * before)) - log_deviation
    return before.tanh(), (varying + normal).sum(dim=1, keepdim=True)


def soft_target(
    rewards: Tensor,
    discounts: Tensor,
    next_values: tuple[Tensor, Tensor],
    next_log_density: Tensor,
    temperature: Tensor,
) -> Tensor:
    """Return r + discount * (min(Q1', Q2') - temperature * log pi(a'|s')), equations 3 and 5.

    All of shape (batch, 1); `next_values` come from the target networks at an action a' of the current policy, and
    `discounts` are gamma, or 0 where the episode terminated.

    >>> ones = torch.ones(1, 1)
    >>> float(soft_target(ones, 0.5 * ones, (4 * ones, 3 * ones), -2 * ones, torch.tensor(0.5)))
    3.0
    """
    least = torch.minimum(*next_values)
    return torch.addcmul(rewards, discounts, least - temperature * next_log_density)


def critic_loss(values: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    """Return half the mean squared error of each critic, added up (equation 5); all of shape (batch, 1).

    >>> float(critic_loss((torch.tensor([[1.0]]), torch.tensor([[3.0]])), torch.tensor([[2.0]])))
    1.0
    """
    return 0.5 * (F.mse_loss(values[0], targets) + F.mse_loss(values[1], targets))


def actor_loss(log_density: Tensor, values: tuple[Tensor, Tensor], temperature: Tensor) -> Tensor:
    """Return the mean of temperature * log pi(a|s) - min(Q1, Q2) (equation 7); all of shape (batch, 1).

    >>> float(actor_loss(torch.tensor([[-2.0]]), (torch.tensor([[1.0]]), torch.tensor([[4.0]])), torch.tensor(0.5)))
    -2.0
    """
    return (temperature * log_density - torch.minimum(*values)).mean()


def temperature_loss(log_temperature: Tensor, log_density: Tensor, target_entropy: float) -> Tensor:
    """Return -log(temperature) * mean(log pi(a|s) + target entropy), with nothing flowing into the policy.

    Its gradient is mean entropy - target entropy: the temperature falls while the policy is more random than asked for.
    Equation 18 has the temperature itself in front; its logarithm, which the optimizer steps, is what the code of the
    paper on dormant neurons and most implementations have there. The sign of every step is the same.

    >>> float(temperature_loss(torch.tensor(2.0), torch.tensor([[-1.0], [-3.0]]), target_entropy=-3.0))
    10.0
    """
    return -(log_temperature * (log_density.detach().mean() + target_entropy))
