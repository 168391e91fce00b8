"""Two samples, one network: the four sets against a network built to have one neuron in each."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import InputError
from dormancy.io import Source
from dormancy.networks import MLPNetwork
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.sample_comparison import compare_samples
from dormancy.scanning.scanner import scan


def network() -> nn.Module:
    """Neuron 0 never fires, 1 on positive, 2 on negative inputs, 3 always."""
    model = MLPNetwork(1, 2, hidden=(4,))
    with torch.no_grad():
        model.get_parameter("fc1.weight").copy_(torch.tensor([[0.0], [1.0], [-1.0], [0.0]]))
        model.get_parameter("fc1.bias").copy_(torch.tensor([-1.0, 0.0, 0.0, 1.0]))
    return model


def scans() -> tuple[DormancyScan, DormancyScan]:
    model = network()
    positive = np.random.default_rng(0).uniform(0.5, 1, (40, 1)).astype(np.float32)
    return scan(model, positive, 0), scan(model, -positive, 0)


def test_every_neuron_is_in_the_set_it_was_built_for() -> None:
    layer = compare_samples(*scans()).layers[0]
    found = [each.tolist().index(True) for each in (layer.both, layer.first_only, layer.second_only, layer.neither)]
    assert found == [0, 2, 1, 3]


def test_counts_and_coefficients() -> None:
    document = compare_samples(*scans()).to_dict()
    row = document["network"]
    assert [row[key] for key in ("both", "first_only", "second_only", "neither", "nonfinite")] == [1, 1, 1, 1, 0]
    assert (row["overlap"], row["chance"], row["jaccard"]) == (0.5, 0.5, pytest.approx(1 / 3))
    assert json.dumps(document, allow_nan=False)
    assert list(compare_samples(*scans()).to_frame().index) == ["fc1", "network"]


def test_a_neuron_that_diverged_on_one_sample_is_in_no_set() -> None:
    one, other = scans()
    scores = other.layers[0].scores.copy()
    scores[0] = np.nan
    broken = replace(other, layers=(replace(other.layers[0], scores=scores),))
    layer = compare_samples(one, broken).layers[0]
    assert not any(each[0] for each in (layer.both, layer.first_only, layer.second_only, layer.neither))
    assert layer.to_dict()["nonfinite"] == 1


def test_different_networks_are_refused() -> None:
    one, other = scans()
    with pytest.raises(InputError, match="different layers"):
        compare_samples(one, scan(MLPNetwork(1, 2, hidden=(5,)), np.ones((4, 1), np.float32)))
    sources = [replace(each, checkpoint=Source(f"{n}.pt", "native", n)) for n, each in (("a", one), ("b", other))]
    with pytest.raises(InputError, match=r"a\.pt and b\.pt are different checkpoints"):
        compare_samples(*sources)


def test_a_comparison_is_json_and_a_frame() -> None:
    compared = compare_samples(*scans())
    assert json.loads(compared.to_json()) == compared.to_dict()
    assert compared.to_frame().loc["network", "both"] == 1
