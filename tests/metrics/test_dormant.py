"""The score against the properties its definition gives it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dormancy.errors import UsageError
from dormancy.metrics.dormant import dormancy_scores, normalised_scores
from tests.reference.networks import scores as reference

layers = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(1, 12)),
    elements=st.one_of(st.just(0.0), st.floats(-1e6, 1e6, allow_subnormal=False)),
)


@given(layers)
def test_scores_average_one_or_are_all_zero(activations: np.ndarray) -> None:
    found = dormancy_scores(torch.from_numpy(activations))
    if activations.any():
        assert found.mean() == pytest.approx(1.0, abs=1e-12)
    else:
        assert not found.any()


@given(layers)
def test_scores_equal_the_reference(activations: np.ndarray) -> None:
    assert dormancy_scores(torch.from_numpy(activations)) == pytest.approx(
        reference(activations), rel=1e-12, abs=1e-300
    )


@given(layers, st.integers(-300, 300))
def test_a_power_of_two_changes_no_bit(activations: np.ndarray, exponent: int) -> None:
    scaled = activations * 2.0**exponent
    lossless = np.array_equal(scaled * 2.0**-exponent, activations) and np.isfinite(scaled).all()
    means = np.abs(activations).mean(axis=0)
    if lossless and np.array_equal(np.abs(scaled).mean(axis=0), means * 2.0**exponent):
        assert np.array_equal(normalised_scores(means), normalised_scores(means * 2.0**exponent))


@given(layers, st.randoms())
def test_scores_follow_a_permutation_of_neurons(activations: np.ndarray, random: object) -> None:
    order = np.random.default_rng(random.randrange(2**32)).permutation(activations.shape[1])  # type: ignore[attr-defined]
    found = dormancy_scores(torch.from_numpy(activations))
    permuted = dormancy_scores(torch.from_numpy(activations[:, order].copy()))
    assert permuted == pytest.approx(found[order], rel=1e-12)
    assert np.array_equal(permuted == 0, found[order] == 0)


@given(layers, st.floats(0, 3), st.floats(0, 3))
def test_the_dormant_set_grows_with_tau(activations: np.ndarray, one: float, other: float) -> None:
    found = dormancy_scores(torch.from_numpy(activations))
    low, high = sorted((one, other))
    assert not np.any((found <= low) & ~(found <= high))


@given(layers, layers)
def test_more_samples_never_add_silent_neurons(activations: np.ndarray, more: np.ndarray) -> None:
    width = min(activations.shape[1], more.shape[1])
    few = dormancy_scores(torch.from_numpy(activations[:, :width].copy())) == 0
    many = dormancy_scores(torch.from_numpy(np.concatenate([activations[:, :width], more[:, :width]]))) == 0
    assert not np.any(many & ~few)


def test_a_channel_is_one_neuron() -> None:
    activations = torch.rand(3, 5, 4, 4) * torch.arange(5.0).view(1, 5, 1, 1)
    assert dormancy_scores(activations) == pytest.approx(reference(activations.double().numpy()), rel=1e-6)
    assert dormancy_scores(activations)[0] == 0.0


def test_a_constant_layer_has_no_dormant_neuron() -> None:
    assert np.array_equal(dormancy_scores(torch.full((4, 6), 2.5)), np.ones(6))


def test_a_neuron_that_is_not_finite_is_neither_dormant_nor_alive() -> None:
    found = normalised_scores(np.array([np.nan, 1.0, np.inf, 3.0, 0.0]))
    assert np.isnan(found[[0, 2]]).all()
    assert found[[1, 3, 4]] == pytest.approx([0.75, 2.25, 0.0])


def test_half_precision_does_not_overflow() -> None:
    assert dormancy_scores(torch.full((4096, 2), 60000.0, dtype=torch.float16)) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("shape", [(3,), (0, 4)])
def test_no_batch_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="batch, neurons"):
        dormancy_scores(torch.zeros(shape))
