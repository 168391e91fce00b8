"""Exploration, replay ratio and target period, counted out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.config.schedules import epsilon_at, gradient_steps_due, scaled_target_period


def paper_epsilon(step: int) -> float:
    return epsilon_at(step, warmup=20_000, decay=250_000, final=0.01)


def test_epsilon_of_the_paper() -> None:
    assert paper_epsilon(0) == paper_epsilon(20_000) == 1.0
    assert paper_epsilon(145_000) == pytest.approx(0.505)  # half-way
    assert paper_epsilon(270_000) == paper_epsilon(2_500_000) == 0.01


def test_epsilon_without_decay_drops_at_once() -> None:
    assert epsilon_at(500, warmup=500, decay=0, final=0.01) == 1.0
    assert epsilon_at(501, warmup=500, decay=0, final=0.01) == 0.01


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_epsilon_never_rises(first: int, second: int) -> None:
    low, high = sorted((first, second))
    assert paper_epsilon(low) >= paper_epsilon(high)


@pytest.mark.parametrize(
    ("ratio", "gradient_steps"), [(0.25, 250), (0.5, 500), (1, 1000), (2, 2000), (0.29, 290), (0.3, 300)]
)
def test_gradient_steps_of_a_thousand_agent_steps(ratio: float, gradient_steps: int) -> None:
    assert gradient_steps_due(1_500, warmup=500, replay_ratio=ratio) == gradient_steps


def test_no_gradient_step_during_warm_up() -> None:
    assert [gradient_steps_due(step, warmup=10, replay_ratio=1) for step in (0, 9, 10, 11)] == [0, 0, 0, 1]


@given(st.sampled_from([0.1, 0.25, 0.29, 0.5, 1.0, 2.0, 3.7]), st.integers(0, 5_000))
def test_steps_are_spread_evenly(ratio: float, step: int) -> None:
    due = [gradient_steps_due(step + ahead, warmup=100, replay_ratio=ratio) for ahead in (0, 1)]
    assert 0 <= due[1] - due[0] <= int(ratio) + 1


@pytest.mark.parametrize(("ratio", "period"), [(0.25, 8_000), (0.5, 4_000), (1, 2_000), (2, 1_000), (4, 500)])
def test_target_period_follows_the_replay_ratio(ratio: float, period: int) -> None:
    assert scaled_target_period(8_000, ratio) == period
    assert dqn_config("ALE/Pong-v5", {"replay_ratio": ratio}).target_period_agent_steps == period


def test_a_given_target_period_is_taken_as_it_is() -> None:
    config = dqn_config("ALE/Pong-v5", {"replay_ratio": 2, "target_period_agent_steps": 777})
    assert config.target_period_agent_steps == 777
