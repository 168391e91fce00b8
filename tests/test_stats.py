"""Interquartile means and bootstraps against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dormancy.errors import UsageError
from dormancy.hashed_random import poisson_weights, uniforms
from dormancy.stats import (
    iqm,
    iqm_band,
    mean_interval,
    percentile_interval,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(values)
def test_the_iqm_is_the_mean_of_the_middle(numbers: list[float]) -> None:
    ordered = sorted(numbers)
    cut = int(0.25 * len(ordered))
    middle = ordered[cut : len(ordered) - cut]
    assert iqm(numbers) == pytest.approx(math.fsum(middle) / len(middle), rel=1e-9, abs=1e-9)


def test_the_iqm_of_nothing_is_undefined() -> None:
    assert math.isnan(iqm([]))


def test_runs_are_drawn_within_their_task() -> None:
    """With one run a task nothing can vary; were tasks mixed, the mean would."""
    assert stratified_bootstrap([[0.0], [10.0]], np.mean) == (5.0, 5.0, 5.0)


def test_the_stratified_interval_has_the_width_that_theory_gives() -> None:
    rng = np.random.default_rng(0)
    tasks = [rng.normal(mean, 1.0, 50) for mean in (0.0, 100.0)]
    found = stratified_bootstrap(tasks, np.mean, replicates=4000)
    error = math.sqrt(sum(np.var(task) / task.size for task in tasks)) / 2
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert stratified_bootstrap(tasks, np.mean, replicates=50, seed=3) == stratified_bootstrap(
        tasks, np.mean, replicates=50, seed=3
    )


def test_the_interval_of_a_mean_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    found = mean_interval(values)
    assert found.estimate == pytest.approx(values.mean())
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert found.high - found.estimate == pytest.approx(half, rel=0.1)
    assert found.estimate - found.low == pytest.approx(half, rel=0.1)


def test_one_value_has_a_mean_and_no_interval() -> None:
    estimate, low, high = mean_interval([3.0])
    assert estimate == 3.0
    assert math.isnan(low)
    assert math.isnan(high)
    with pytest.raises(UsageError):
        mean_interval([])


def test_a_task_without_runs_is_an_error() -> None:
    with pytest.raises(UsageError, match="at least one run"):
        stratified_bootstrap([[1.0], []])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_a_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        percentile_interval([1.0, 2.0], 1.5, confidence)


def test_uniforms_are_uniform_and_not_alike_in_rows_or_streams() -> None:
    drawn = uniforms(np.arange(4000), 50)
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    expected = drawn.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-square, 19 degrees of freedom, .999
    for matrix in (drawn, drawn[:50].T, drawn[1:] * drawn[:-1]):
        correlations = np.corrcoef(matrix.T)[~np.eye(matrix.shape[1], dtype=bool)]
        assert np.abs(correlations).max() < 6 / math.sqrt(len(matrix))


def test_weights_are_poisson_with_mean_one() -> None:
    drawn = poisson_weights(np.arange(5000), 40)
    for k in range(6):
        share = math.exp(-1) / math.factorial(k)
        assert (drawn == k).mean() == pytest.approx(share, abs=5 * math.sqrt(share / drawn.size))


@given(st.integers(1, 30), st.integers(0, 2**31))
def test_weights_depend_on_the_row_and_not_on_its_company(start: int, seed: int) -> None:
    rows = np.arange(40)
    assert np.array_equal(poisson_weights(rows, 7, seed)[start:], poisson_weights(rows[start:], 7, seed))
    assert not np.array_equal(poisson_weights(rows, 7, seed), poisson_weights(rows, 7, seed + 1))


def test_rows_of_one_episode_are_drawn_together() -> None:
    drawn = poisson_weights(np.array([4, 4, 9, 4]), 100)
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[0], drawn[3])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_band_is_the_iqm_at_every_place() -> None:
    runs = np.random.default_rng(3).normal(size=(9, 4))
    band = iqm_band(runs)
    assert band.estimate == pytest.approx([iqm(runs[:, k]) for k in range(4)])
    one = stratified_bootstrap([runs[:, 2]], replicates=6000)
    many = iqm_band(runs, replicates=6000)
    assert (many.low[2], many.high[2]) == pytest.approx((one.low, one.high), abs=0.05)
    assert (band.low < band.estimate).all()
    assert (band.estimate < band.high).all()


def test_a_run_that_stopped_early_counts_where_it_was() -> None:
    runs = np.array([[1.0, 1.0, np.nan], [3.0, np.nan, np.nan], [5.0, np.nan, np.nan]])
    band = iqm_band(runs)
    assert band.estimate[:2].tolist() == [3.0, 1.0]
    assert np.isnan([band.estimate[2], band.low[1], band.high[1]]).all()
    assert band.low[0] < 3.0 < band.high[0]


def test_a_profile_counts_runs_above_and_its_interval_is_that_of_a_share() -> None:
    """The share of n draws is binomial: its interval has half-width 1.96 sqrt(p (1 - p) / n)."""
    scores = [*[0.0] * 60, *[1.0] * 40]
    found = performance_profile([scores], [-1.0, 0.0, 0.5, 1.0], replicates=4000)
    assert found.estimate.tolist() == [1.0, 0.4, 0.4, 0.0]
    assert found.high[1] - found.low[1] == pytest.approx(2 * 1.96 * math.sqrt(0.4 * 0.6 / 100), rel=0.1)
    assert (found.low[0], found.high[3]) == (1.0, 0.0)
    assert performance_profile([scores, [2.0]], [0.5]).estimate == pytest.approx([41 / 101])


@settings(deadline=None)
@given(values, values)
def test_the_probability_of_improvement_is_that_of_a_pair(ours: list[float], theirs: list[float]) -> None:
    wins = [(x > y) + (x == y) / 2 for x in ours for y in theirs]
    found = probability_of_improvement([ours], [theirs], replicates=20)
    assert found.estimate == pytest.approx(math.fsum(wins) / len(wins))
    assert found.estimate + probability_of_improvement([theirs], [ours], replicates=20).estimate == pytest.approx(1)


def test_improvement_is_averaged_over_tasks_not_over_runs() -> None:
    found = probability_of_improvement([[1.0], [0.0] * 9], [[0.0], [1.0] * 9])
    assert found == (0.5, 0.5, 0.5)


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(UsageError, match="same tasks"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])
    with pytest.raises(UsageError, match="at least one run"):
        probability_of_improvement([[1.0]], [[]])
    with pytest.raises(UsageError, match="at least one run"):
        performance_profile([[]], [0.0])
