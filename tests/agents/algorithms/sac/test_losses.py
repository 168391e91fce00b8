"""The equations of SAC against numbers worked out by hand, torch.distributions in float64, and numeric integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from dormancy_agents.algorithms.sac.losses import (
    actor_loss,
    critic_loss,
    soft_target,
    squashed_action,
    squashed_sample,
    temperature_loss,
)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1)


@given(
    mean=st.floats(-3, 3),
    log_deviation=st.floats(-5, 2),
    noise=st.floats(-3, 3),
)
def test_log_density_is_that_of_a_transformed_normal(mean: float, log_deviation: float, noise: float) -> None:
    found_action, found = squashed_sample(column(mean), column(log_deviation), column(noise))
    base = Normal(column(mean), column(log_deviation).exp())
    squashed = TransformedDistribution(base, [TanhTransform(cache_size=1)])
    before = column(mean) + column(log_deviation).exp() * noise
    action = squashed.transforms[0](before)
    assert float(found_action) == pytest.approx(float(action), abs=1e-12)
    assert float(found) == pytest.approx(float(squashed.log_prob(action)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("mean", "log_deviation"), [(0.0, 0.0), (0.7, -1.0), (-1.5, 0.4)])
def test_density_integrates_to_probability(mean: float, log_deviation: float) -> None:
    # Between two actions lies as much probability as the normal has between their inverses.
    normal = Normal(mean, math.exp(log_deviation))
    actions = np.linspace(-0.999, 0.999, 20_001)
    noise = (np.arctanh(actions) - mean) / math.exp(log_deviation)
    ones = torch.ones(len(actions), 1, dtype=torch.float64)
    found, log_density = squashed_sample(mean * ones, log_deviation * ones, torch.from_numpy(noise)[:, None])
    assert np.allclose(found[:, 0].numpy(), actions, atol=1e-12)
    below, above = (normal.cdf(torch.tensor(math.atanh(end), dtype=torch.float64)) for end in (-0.999, 0.999))
    assert np.trapezoid(log_density[:, 0].exp().numpy(), actions) == pytest.approx(float(above - below), abs=5e-5)


def test_components_are_independent() -> None:
    rows = [torch.randn(4, 3, dtype=torch.float64) for _ in range(3)]
    together = squashed_sample(*rows)[1]
    apart = sum(squashed_sample(*(each[:, i : i + 1] for each in rows))[1] for i in range(3))
    assert torch.allclose(together, apart)  # type: ignore[arg-type]


def test_far_out_actions_stay_finite_in_float32() -> None:
    mean = torch.tensor([[80.0], [-80.0]], requires_grad=True)
    action, log_density = squashed_sample(mean, torch.zeros(2, 1), torch.zeros(2, 1))
    log_density.sum().backward()
    assert action.tolist() == [[1.0], [-1.0]]
    # log(1 - tanh(u)^2) -> 2 log 2 - 2 |u| far out, and its slope -> 2
    assert log_density[:, 0].tolist() == pytest.approx([-0.9189 + 160 - 2 * math.log(2)] * 2, abs=1e-3)
    assert mean.grad is not None
    assert mean.grad[:, 0].tolist() == pytest.approx([2.0, -2.0])


def test_the_deviation_is_bounded() -> None:
    extreme = torch.tensor([[50.0]])
    action, log_density = squashed_sample(torch.zeros(1, 1), extreme, torch.tensor([[0.1]]))
    assert float(action) == pytest.approx(math.tanh(0.1 * math.exp(2.0)))
    assert math.isfinite(float(log_density))


def test_gradients_of_the_density_by_finite_differences() -> None:
    inputs = [torch.randn(5, 2, dtype=torch.float64, requires_grad=index < 2) for index in range(3)]
    assert torch.autograd.gradcheck(squashed_sample, tuple(inputs))


def test_the_target_takes_the_lesser_critic_and_adds_entropy() -> None:
    found = soft_target(
        column(1.0, 1.0), column(0.9, 0.0), (column(5.0, 9.0), column(7.0, 8.0)), column(-3.0, -3.0), column(0.2)[0]
    )
    # 1 + .9 (5 - .2 * -3) = 6.04; the second episode has terminated: its reward is all there is
    assert found[:, 0].tolist() == pytest.approx([6.04, 1.0])


def test_critic_loss_adds_half_the_squared_error_of_each() -> None:
    values = tuple(column(*each).requires_grad_() for each in ((1.0, 2.0), (0.0, 5.0)))
    loss = critic_loss(values, column(2.0, 2.0))  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == 0.5 * (1 + 0) / 2 + 0.5 * (4 + 9) / 2
    assert values[1].grad is not None
    assert values[1].grad[:, 0].tolist() == [-2.0 / 2, 3.0 / 2]


def test_actor_loss_weighs_entropy_by_the_temperature() -> None:
    loss = actor_loss(column(-1.0, -2.0), (column(3.0, 1.0), column(2.0, 4.0)), column(0.5)[0])
    assert loss.item() == ((0.5 * -1 - 2) + (0.5 * -2 - 1)) / 2


@pytest.mark.parametrize(("entropy", "gradient"), [(2.0, 5.0), (-3.0, 0.0), (-4.0, -1.0)])
def test_temperature_gradient_is_entropy_minus_its_target(entropy: float, gradient: float) -> None:
    log_temperature = torch.tensor(0.3, requires_grad=True)
    density = torch.full((8, 1), -entropy, requires_grad=True)
    temperature_loss(log_temperature, density, target_entropy=-3.0).backward()
    assert log_temperature.grad is not None
    assert log_temperature.grad.item() == pytest.approx(gradient)  # positive: a step of descent lowers the temperature
    assert density.grad is None


def test_an_action_alone_is_the_action_of_a_sample() -> None:
    torch.manual_seed(0)
    rows = [3.0 * torch.randn(50, 4) for _ in range(3)]
    assert torch.equal(squashed_action(*rows), squashed_sample(*rows)[0])
