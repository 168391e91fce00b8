"""Streamed statistics of maps with positions, of values that are not finite, and of values that must not be touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dormancy.graph import NeuronLayer
from dormancy.hashed_random import poisson_weights
from dormancy.probing.bootstrap import REPLICATES, SUBSETS, Plan, Resamples
from dormancy.probing.collectors import Deviations, FeatureNorms, Moments, Regions


def layer(size: int, activation: str = "tanh") -> NeuronLayer:
    return NeuronLayer("l", size, activation, (), (), None, None, 0, 1, True)


def fed(collector: Any, values: Tensor, of: NeuronLayer, size: int) -> Any:
    for batch in values.split(size):
        before = batch.clone()
        if isinstance(collector, Resamples):
            collector.begin(len(batch))
        collector.add(of, batch)
        assert np.array_equal(batch, before, equal_nan=True)  # the network goes on with these very values
    return collector.result()["l"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 4, 50])
def test_a_channel_is_one_neuron(dtype: torch.dtype, size: int) -> None:
    torch.manual_seed(0)
    values = (torch.randn(11, 3, 4, 5, dtype=dtype) + torch.tensor([0.0, 5.0, -2.0]).view(1, 3, 1, 1)).tanh()
    flat = values.double().numpy().transpose(1, 0, 2, 3).reshape(3, -1)
    spread = fed(Moments(), values, layer(3), size)
    assert spread.mean == pytest.approx(flat.mean(1), rel=1e-12)
    assert spread.std == pytest.approx(flat.std(1), rel=1e-9)
    deviations = fed(Deviations({"l": spread}), values, layer(3), size)
    assert deviations == pytest.approx(np.abs(flat - flat.mean(1, keepdims=True)).mean(1), rel=1e-9)
    counts = fed(Regions(), values, layer(3), size)
    assert counts.total == flat.shape[1]
    assert counts.saturated.tolist() == (np.abs(values.numpy()) > 0.99).sum((0, 2, 3)).tolist()
    assert counts.positive.tolist() == (flat > 0).sum(1).tolist()
    norms = np.linalg.norm(values.double().numpy().reshape(11, -1), axis=1)
    assert fed(FeatureNorms(), values, layer(3), size) == pytest.approx(norms.mean(), rel=1e-6)


def test_a_constant_neuron_deviates_by_exactly_nothing() -> None:
    values = torch.full((1000, 2), 0.1)
    spread = fed(Moments(), values, layer(2), 7)
    assert spread.std.tolist() == [0.0, 0.0]
    assert fed(Deviations({"l": spread}), values, layer(2), 13).tolist() == [0.0, 0.0]


def test_values_that_are_not_finite_stay_with_their_neuron() -> None:
    values = torch.ones(5, 3)
    values[2, 1] = torch.inf
    values[3, 2] = torch.nan
    counts = fed(Regions(), values, layer(3, "relu"), 2)
    assert counts.nonfinite.tolist() == [0, 1, 1]
    assert np.isfinite(fed(Moments(), values, layer(3), 2).std).tolist() == [True, False, False]


@pytest.mark.parametrize("size", [1, 9, 80])
def test_resamples_are_weighted_means_whatever_the_batches(size: int) -> None:
    torch.manual_seed(1)
    values = torch.randn(80, 3, 2, 2).relu()
    found = fed(Resamples(Plan(80, None)), values, layer(3, "relu"), size)
    sizes = values.double().abs().mean((2, 3)).numpy()
    weights = poisson_weights(np.arange(80), REPLICATES)
    assert found.replicates == pytest.approx((weights.T @ sizes) / weights.sum(0)[:, None], rel=1e-6)
    assert found.sizes == (32, 64)
    assert found.subsets.shape == (2, SUBSETS, 3)
    spread = found.subsets.std(axis=1).mean(axis=1)
    assert spread[0] > spread[1] > 0
