"""Streaks, spells and survival, against a neuron-by-neuron count in plain Python."""

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dormancy.arrays import BoolArray
from dormancy.scanning.lifetimes import Spells, by_time_dormant, current_streaks, fell_dormant, spells, survival, woke

histories = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))


def runs_of(history: list[bool]) -> list[tuple[bool, int]]:
    return [(dormant, len(list(group))) for dormant, group in groupby(history)]


@given(histories)
def test_streaks_end_at_the_last_checkpoint(dormant: BoolArray) -> None:
    expected = [runs[-1][1] if (runs := runs_of(list(neuron)))[-1][0] else 0 for neuron in dormant.T]
    assert current_streaks(dormant).tolist() == expected


@given(histories)
def test_every_spell_is_found_and_only_the_last_is_open(dormant: BoolArray) -> None:
    expected = []
    for neuron in dormant.T:
        runs = runs_of(list(neuron))
        expected += [(length, place < len(runs) - 1) for place, (asleep, length) in enumerate(runs) if asleep]
    found = spells(dormant)
    assert list(zip(found.lengths.tolist(), found.ended.tolist(), strict=True)) == expected


@given(histories)
def test_flows_account_for_every_change_of_the_stock(dormant: BoolArray) -> None:
    stock = dormant.sum(axis=1)
    np.testing.assert_array_equal(np.diff(stock), (fell_dormant(dormant) - woke(dormant))[1:])
    assert np.isnan(fell_dormant(dormant)[0])
    assert np.isnan(woke(dormant)[0])


def test_survival_is_the_product_limit() -> None:
    """Freireich et al.'s 6-MP arm, the textbook case of Kaplan-Meier (S at 6, 7, 10, 13, 16, 22, 23 weeks)."""
    ended = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    found = Spells(np.array(ended + censored), np.array([True] * len(ended) + [False] * len(censored)))
    curve = survival(found, 35)
    expected = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    np.testing.assert_allclose(curve[[6, 7, 10, 13, 16, 22, 23]], expected, atol=5e-4)
    assert curve[0] == 1


def test_survival_without_any_spell_is_unknown() -> None:
    assert np.isnan(survival(spells(np.zeros((3, 2), dtype=bool)), 3)).all()


@given(histories, st.integers(0, 100))
def test_neurons_are_ordered_by_time_dormant(dormant: BoolArray, seed: int) -> None:
    scores = np.random.default_rng(seed).random(dormant.shape)
    order = by_time_dormant(dormant, scores)
    assert sorted(order) == list(range(dormant.shape[1]))
    assert np.all(np.diff(dormant.sum(axis=0)[order]) <= 0)
