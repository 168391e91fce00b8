"""Who is chosen: thresholds are inclusive, schedules take exactly k, ties go to the lower index."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.errors import UsageError
from dormancy.recycle import AdaptiveTau, Scheduled, Threshold
from dormancy.recycle.selection import cosine_fraction, least

NOBODY = np.random.default_rng(0)
SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5, math.nan]) | st.floats(0, 4), min_size=1, max_size=40)


def test_a_threshold_is_inclusive_and_exact_at_zero() -> None:
    scores = np.array([0.0, 1e-300, 0.1, 0.10000001, np.nan])
    assert Threshold(0.0).choose(scores, 0, NOBODY).tolist() == [True, False, False, False, False]
    assert Threshold(0.1).choose(scores, 0, NOBODY).tolist() == [True, True, True, False, False]
    assert Threshold(0.0, zero_tolerance=1e-8).choose(scores, 0, NOBODY).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("tau", [-0.1, math.nan, math.inf])
def test_an_impossible_tau_is_refused(tau: float) -> None:
    with pytest.raises(UsageError, match="tau must be a number of 0 or more"):
        Threshold(tau)


def test_the_cosine_schedule_of_the_oracle() -> None:
    assert cosine_fraction(0, 1000, 0.3) == 0.3
    assert cosine_fraction(500, 1000, 0.3) == pytest.approx(0.7071 * 0.3, abs=1e-5)
    assert cosine_fraction(1000, 1000, 0.3) == 0.0
    assert cosine_fraction(2000, 1000, 0.3) == 0.0


@given(SCORES, st.integers(0, 50))
def test_least_takes_exactly_k_of_the_smallest(values: list[float], k: int) -> None:
    scores = np.array(values)
    chosen = least(scores, k)
    defined = scores[~np.isnan(scores)]
    assert chosen.sum() == min(k, defined.size)
    assert sorted(scores[chosen]) == sorted(defined)[: int(chosen.sum())]
    assert not (chosen & np.isnan(scores)).any()


@given(SCORES, st.integers(0, 50))
def test_ties_go_to_the_lower_index_or_are_all_taken(values: list[float], k: int) -> None:
    scores = np.array(values)
    exact, generous = least(scores, k), least(scores, k, ties="all")
    assert (exact <= generous).all()
    for score in scores[exact]:
        equal = np.flatnonzero(scores == score)
        taken = exact[equal]
        assert (np.diff(taken.astype(int)) <= 0).all()
        assert generous[equal].all()


@given(SCORES, st.integers(0, 99))
def test_every_rule_takes_as_many_as_the_schedule_says(values: list[float], step: int) -> None:
    scores = np.nan_to_num(np.array(values), nan=1.0)
    for rule in ("redo", "random", "inverse", "cbp"):
        selection = Scheduled(rule, total=100, rate=0.5)  # type: ignore[arg-type]
        chosen = selection.choose(scores, step, np.random.default_rng(step))
        assert chosen.sum() == max(1, round(scores.size * cosine_fraction(step, 100, 0.5)))


def test_inverse_takes_the_most_active() -> None:
    assert Scheduled("inverse", 10, rate=0.5).choose(np.array([0.0, 1.0, 3.0, 0.0]), 0, NOBODY).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_random_selection_is_uniform_even_where_scores_tie() -> None:
    draw, counts = np.random.default_rng(0), np.zeros(10)
    for _ in range(2000):
        counts += Scheduled("random", 10, rate=0.2).choose(np.zeros(10), 0, draw)
    assert (np.abs(counts - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8)).all()


def test_nothing_is_chosen_when_the_schedule_is_over() -> None:
    assert Scheduled("redo", 10).choose(np.zeros(20), 10, NOBODY).sum() == 0


@pytest.mark.parametrize("options", [{"total": 0}, {"total": 5, "rate": 1.5}, {"total": 5, "rate": -0.1}])
def test_an_impossible_schedule_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="a schedule needs"):
        Scheduled("redo", **options)  # type: ignore[arg-type]


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="selection rule must be one of redo, random, inverse, cbp, not 'best'"):
        Scheduled("best", 10)  # type: ignore[arg-type]


@given(st.floats(0, 1), st.lists(st.floats(0.01, 4), min_size=1, max_size=60, unique=True), st.floats(0, 1))
def test_an_adaptive_tau_settles_where_the_share_is_the_target(target: float, values: list[float], tau: float) -> None:
    scores = np.array(values)
    adaptive = AdaptiveTau(target, tau=tau, rate=1.0, high=10.0, low=0.0)
    tau = adaptive.follow(tau, scores)
    assert (scores <= tau).sum() == round(target * scores.size)


def test_an_adaptive_tau_moves_by_its_rate_and_stays_within_bounds() -> None:
    scores = np.array([0.0, 0.2, 0.4, 0.8, np.nan])
    assert AdaptiveTau(0.5, rate=0.5).follow(0.1, scores) == pytest.approx(0.15)
    assert AdaptiveTau(1.0, rate=1.0, high=0.3).follow(0.1, scores) == 0.3
    assert AdaptiveTau(0.0, rate=1.0, low=0.05).follow(0.1, scores) == 0.05
    assert AdaptiveTau(0.5).follow(0.1, np.array([np.nan])) == 0.1


@pytest.mark.parametrize("options", [{"target": 1.1}, {"target": 0.1, "rate": 0.0}, {"target": 0.1, "low": 0.5}])
def test_an_impossible_adaptive_tau_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="an adaptive tau needs"):
        AdaptiveTau(**options)
