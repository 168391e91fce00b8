"""Interquartile means and bootstraps against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.errors import UsageError
from dormancy.stats import iqm, percentile_interval, poisson_weights, stratified_bootstrap, uniforms

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
