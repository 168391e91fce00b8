"""What a level of a picture says must be what the score says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.report.score_levels import overlap_levels, overlap_scale, score_levels, score_scale

taus = st.lists(st.one_of(st.just(0.0), st.just(0.1), st.floats(1e-6, 3)), min_size=1, max_size=6)
scores = st.one_of(st.just(0.0), st.just(0.1), st.floats(0, 20))


@given(taus, st.lists(scores, min_size=1))
def test_a_level_tells_exactly_whether_a_score_is_dormant(thresholds: list[float], values: list[float]) -> None:
    scale = score_scale(thresholds)
    exact = [*values, *thresholds, *(np.nextafter(tau, 9) for tau in thresholds)]
    levels = score_levels(scale, np.array(exact))
    for tau in thresholds:
        for score, level in zip(exact, levels, strict=True):
            dormant = level == 1 or (level >= scale.first and scale.edges[level - scale.first] <= tau)
            assert dormant == (score <= tau)


@given(taus)
def test_the_lower_the_score_the_more_ink(thresholds: list[float]) -> None:
    ink = score_scale(thresholds).ink[1:]
    assert np.all(np.diff(ink) <= 1e-12)
    assert ink[0] == 1
    assert ink[-1] < 0.05


def test_a_dormant_neuron_stands_out_from_a_quiet_one() -> None:
    scale = score_scale([0.1])
    dormant, quiet = scale.ink[score_levels(scale, np.array([0.1, 0.1001]))]
    assert dormant - quiet > 0.2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_a_level_of_its_own(value: float) -> None:
    scale = score_scale([0.1])
    assert score_levels(scale, np.array([value])).tolist() == [scale.error_level]
    assert scale.legend[-1].error


@given(st.floats(0, 1))
def test_overlaps_are_kept_to_the_percent(overlap: float) -> None:
    scale = overlap_scale()
    (level,) = overlap_levels(scale, np.array([overlap]))
    assert abs(scale.edges[level - scale.first] - overlap) <= 0.005 + 1e-12


def test_an_undefined_overlap_is_blank_and_an_overlap_of_nothing_is_not() -> None:
    scale = overlap_scale()
    blank, nothing = scale.ink[overlap_levels(scale, np.array([np.nan, 0.0]))]
    assert blank == 0 < nothing
