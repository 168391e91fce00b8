"""Overlap coefficients against sets of Python and against chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.metrics.overlap import chance_overlap, jaccard, overlap_coefficient, retained

pairs = st.integers(1, 30).flatmap(
    lambda size: st.tuples(*[st.lists(st.booleans(), min_size=size, max_size=size).map(np.array)] * 2)
)


def test_the_oracle() -> None:
    x, y = np.array([True, True, True, False]), np.array([False, True, True, False])
    assert overlap_coefficient(x, y) == 1.0
    assert retained(x, y) == pytest.approx(2 / 3)
    assert jaccard(x, y) == pytest.approx(2 / 3)


@pytest.mark.parametrize("measure", [overlap_coefficient, retained, jaccard, chance_overlap])
def test_an_empty_set_is_undefined(measure: object) -> None:
    nobody, somebody = np.zeros(3, dtype=bool), np.array([True, False, False])
    assert math.isnan(measure(nobody, somebody))  # type: ignore[operator]
    assert measure is retained or math.isnan(measure(somebody, nobody))  # type: ignore[operator]


@given(pairs)
def test_equal_to_python_sets(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (set(np.flatnonzero(each)) for each in pair)
    if x and y:
        assert overlap_coefficient(*pair) == len(x & y) / min(len(x), len(y))
        assert jaccard(*pair) == len(x & y) / len(x | y)
        assert retained(*pair) == len(x & y) / len(x)
        assert overlap_coefficient(*pair) == overlap_coefficient(*pair[::-1])


def test_the_chance_level_is_what_random_sets_give() -> None:
    rng = np.random.default_rng(0)
    x, y = np.arange(50) < 20, np.arange(50) < 8
    drawn = [overlap_coefficient(rng.permutation(x), rng.permutation(y)) for _ in range(4000)]
    assert chance_overlap(x, y) == pytest.approx(np.mean(drawn), abs=0.02)
