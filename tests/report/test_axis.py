"""Axes: what is drawn where."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.report.axis import ZERO_SLOT, Scale, nice_ceiling, spread, ticks
from dormancy.report.model import Axis


@given(st.floats(1e-12, 1e12))
def test_a_nice_ceiling_is_just_above(value: float) -> None:
    ceiling = nice_ceiling(value)
    assert value * (1 - 1e-6) <= ceiling <= 2.5 * value


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_ceiling_of_nothing_is_one(value: float) -> None:
    assert nice_ceiling(value) == 1.0


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6), st.integers(2, 9))
def test_ticks_are_few_round_and_inside(place: float, span: float, most: int) -> None:
    low = place * span
    axis = Axis("x", low, low + span)
    found = ticks(axis, most)
    assert len(found) <= most + 1
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in found)
    assert found == sorted(set(found))


def test_a_linear_axis_is_laid_from_start_to_end() -> None:
    scale = Scale(Axis("x", 10, 20), 100, 0)
    np.testing.assert_allclose(scale(np.array([10.0, 15.0, 20.0])), [100, 50, 0])
    assert np.isnan(scale(np.nan))


def test_a_log_axis_gives_every_decade_the_same_room() -> None:
    places = Scale(Axis("x", 1e-4, 1.0, kind="log"), 0, 1)(np.array([1e-4, 1e-3, 1e-2, 1.0]))
    np.testing.assert_allclose(places, [0, 0.25, 0.5, 1])


def test_a_log_axis_with_room_for_zero_shows_zero_first() -> None:
    places = Scale(Axis("tau", 1e-3, 1.0, kind="zerolog"), 0, 1)(np.array([0.0, 1e-3, 1.0]))
    np.testing.assert_allclose(places, [0, ZERO_SLOT, 1])


def test_an_axis_of_one_value_does_not_divide_by_zero() -> None:
    assert np.isfinite(Scale(Axis("x", 5, 5), 0, 100)(5.0))
    assert ticks(Axis("x", 5, 5)) == [5]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7))
def test_labels_are_kept_apart_and_inside_in_their_order(wanted: list[float]) -> None:
    placed = spread(wanted, 10, 0, 100)
    order = np.argsort(wanted, kind="stable")
    assert np.all(np.diff(np.array(placed)[order]) >= 10 - 1e-9)
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in placed)


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread([80, 10, 40], 10, 0, 100) == [80, 10, 40]
