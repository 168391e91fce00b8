"""The equations of Q-learning against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dormancy_agents.algorithms.dqn.losses import double_target, max_target, td_loss
from dormancy_agents.replay.n_step import n_step

NO = np.zeros((1, 3), bool)


def flags(*values: int) -> np.ndarray:
    return np.array([values], bool)


def test_huber_is_quadratic_up_to_delta_and_linear_beyond() -> None:
    errors = torch.tensor([0.0, 0.5, -1.0, 2.0, -3.0])
    values = torch.stack([errors, torch.full((5,), 99.0)], dim=1)
    losses = [td_loss(values[i : i + 1], torch.tensor([0]), torch.tensor([0.0])).item() for i in range(len(errors))]
    assert losses == [0.0, 0.125, 0.5, 1.5, 2.5]  # e²/2 up to 1, |e| - 1/2 beyond


def test_huber_delta_moves_the_knee() -> None:
    loss = td_loss(torch.tensor([[5.0]]), torch.tensor([0]), torch.tensor([0.0]), delta=2.0)
    assert loss.item() == 2.0 * (5.0 - 1.0)


def test_loss_is_the_mean_over_the_batch_and_looks_at_the_action_taken() -> None:
    values = torch.tensor([[1.0, 0.0], [7.0, 2.0]], requires_grad=True)
    loss = td_loss(values, torch.tensor([0, 1]), torch.tensor([0.0, 0.0]))
    loss.backward()
    assert loss.item() == (0.5 + 1.5) / 2
    assert values.grad is not None
    assert values.grad.tolist() == [[0.5, 0.0], [0.0, 0.5]]  # clipped to delta, halved by the mean


def test_max_target_takes_the_greatest_next_value() -> None:
    target = max_target(torch.tensor([1.0, -1.0]), torch.tensor([0.9, 0.0]), torch.tensor([[2.0, 3.0], [50.0, 60.0]]))
    assert target.tolist() == pytest.approx([1.0 + 0.9 * 3.0, -1.0])


def test_the_double_target_is_chosen_by_one_network_and_valued_by_the_other() -> None:
    returns, discounts = torch.tensor([1.0, -1.0, 0.5]), torch.tensor([0.9, 0.0, 0.5])
    theirs = torch.tensor([[2.0, 3.0, 4.0], [50.0, 60.0, 70.0], [-8.0, -4.0, 0.0]])
    ours = torch.tensor([[0.0, 5.0, 1.0], [1.0, 0.0, 0.0], [7.0, 6.0, 5.0]])
    target = double_target(returns, discounts, theirs, ours)
    assert target.tolist() == pytest.approx([1.0 + 0.9 * 3.0, -1.0, 0.5 + 0.5 * -8.0])


@given(seed=st.integers(0, 999))
def test_the_double_target_is_never_above_the_greatest_and_equal_when_both_agree(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    theirs, ours = torch.randn(2, 6, 4, generator=generator)
    returns, discounts = torch.randn(6, generator=generator), torch.rand(6, generator=generator)
    assert (double_target(returns, discounts, theirs, ours) <= max_target(returns, discounts, theirs) + 1e-6).all()
    same = double_target(returns, discounts, theirs, 3 * theirs + 1)
    assert torch.equal(same, max_target(returns, discounts, theirs))


def test_one_step() -> None:
    result = n_step(np.array([[3.0]]), np.zeros((1, 1), bool), np.zeros((1, 1), bool), 0.99)
    assert (result.returns[0], result.lengths[0]) == (3.0, 1)
    assert result.discounts[0] == np.float32(0.99)


def test_of_one_step_a_termination_leaves_nothing_and_a_truncation_a_value() -> None:
    ends = np.array([[True], [False], [True]]), np.array([[False], [True], [True]])
    result = n_step(np.array([[1.0], [2.0], [3.0]]), *ends, 0.99)
    assert result.returns.tolist() == [1.0, 2.0, 3.0]
    assert result.discounts.tolist() == pytest.approx([0.0, 0.99, 0.0])
    assert result.lengths.tolist() == [1, 1, 1]


def test_three_steps_without_an_end() -> None:
    result = n_step(np.array([[1.0, 10.0, 100.0]]), NO, NO, 0.5)
    assert (result.returns[0], result.discounts[0], result.lengths[0]) == (1 + 5 + 25, 0.125, 3)


def test_a_termination_ends_the_return_and_leaves_nothing_to_come() -> None:
    result = n_step(np.array([[1.0, 10.0, 100.0]]), flags(0, 1, 0), NO, 0.5)
    assert (result.returns[0], result.discounts[0], result.lengths[0]) == (6.0, 0.0, 2)


def test_a_truncation_ends_the_return_but_the_state_reached_keeps_its_value() -> None:
    result = n_step(np.array([[1.0, 10.0, 100.0]]), NO, flags(0, 1, 0), 0.5)
    assert (result.returns[0], result.discounts[0], result.lengths[0]) == (6.0, 0.25, 2)


def test_what_follows_an_end_belongs_to_another_episode() -> None:
    truncated_first = n_step(np.array([[1.0, 10.0, 100.0]]), flags(0, 1, 1), flags(1, 0, 0), 0.5)
    assert (truncated_first.returns[0], truncated_first.discounts[0], truncated_first.lengths[0]) == (1.0, 0.5, 1)


def test_an_end_at_the_last_step_counts() -> None:
    result = n_step(np.array([[1.0, 10.0, 100.0]]), flags(0, 0, 1), NO, 0.5)
    assert (result.returns[0], result.discounts[0], result.lengths[0]) == (31.0, 0.0, 3)
