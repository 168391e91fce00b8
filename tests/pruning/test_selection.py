"""Which neurons are chosen: by hand-made scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dormancy.errors import UsageError
from dormancy.pruning import dormant_neurons, random_neurons, strongest_neurons
from dormancy.scanning.result import DormancyScan, LayerScore


def scan(**layers: list[float]) -> DormancyScan:
    scored = tuple(LayerScore(name, "relu", np.array(scores), None, None, False) for name, scores in layers.items())
    return DormancyScan(layers=scored, taus=(0.1,), measurements={}, observations=1)


def indices(mask: NDArray[np.bool_]) -> list[int]:
    return np.flatnonzero(mask).tolist()


def test_dormant_ones_are_those_at_or_below_tau() -> None:
    chosen = dormant_neurons(scan(fc1=[0.0, 0.1, 0.11, 3.79], fc2=[1.0, 1.0]), 0.1)
    assert {name: indices(mask) for name, mask in chosen.items()} == {"fc1": [0, 1], "fc2": []}


def test_the_best_neuron_of_a_dormant_layer_can_be_kept() -> None:
    layers = scan(fc1=[0.5, 1.5, 1.0], fc2=[0.0, 0.0], fc3=[0.0, 2.0])
    kept = dormant_neurons(layers, 1.5, keep_one=True)
    assert {name: indices(mask) for name, mask in kept.items()} == {"fc1": [0, 2], "fc2": [1], "fc3": [0]}
    assert dormant_neurons(layers, 1.5)["fc1"].all()


def test_a_neuron_without_a_score_is_never_chosen() -> None:
    layers = scan(fc1=[math.nan, 0.0, 2.0])
    assert indices(dormant_neurons(layers, 9.0)["fc1"]) == [1, 2]
    assert indices(strongest_neurons(layers, {"fc1": 2})["fc1"]) == [1, 2]


@pytest.mark.parametrize("tau", [-0.1, math.nan, math.inf])
def test_an_impossible_tau(tau: float) -> None:
    with pytest.raises(UsageError, match="tau must be a number >= 0"):
        dormant_neurons(scan(fc1=[1.0]), tau)


def test_the_strongest_are_those_with_the_highest_scores() -> None:
    chosen = strongest_neurons(scan(fc1=[0.1, 2.0, 0.5, 1.4], fc2=[1.0, 1.0]), {"fc1": 2, "fc2": 1})
    assert {name: indices(mask) for name, mask in chosen.items()} == {"fc1": [1, 3], "fc2": [0]}


def test_random_ones_are_as_many_and_every_neuron_has_its_turn() -> None:
    draw = np.random.default_rng(0)
    seen = np.zeros(5)
    for _ in range(2000):
        mask = random_neurons({"fc1": 5}, {"fc1": 2}, draw)["fc1"]
        assert mask.sum() == 2
        seen += mask
    assert np.abs(seen / 2000 - 0.4).max() < 0.05  # 4.5 standard deviations
