"""A network that TorchScript traced is the network it was traced from: the same neurons, the same columns."""

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.graph import trace_neurons


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_layers_and_columns_are_those_of_the_network_itself() -> None:
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 6), nn.ReLU())
    network, observations = nn.Sequential(*layers, nn.Linear(6, 2)), torch.randn(7, 3, 8, 8)
    traced = torch.jit.trace(network, observations)  # type: ignore[no-untyped-call]
    plain, found = trace_neurons(network, observations), trace_neurons(traced, observations)
    assert [(layer.name, layer.size, layer.obstacle) for layer in found] == [
        ("0", 4, None),
        ("2", 5, None),
        ("5", 6, None),
    ]
    for one, other in zip(plain, found, strict=True):
        assert [reader.weight for reader in one.readers] == [reader.weight for reader in other.readers]
        for expected, columns in zip(one.readers, other.readers, strict=True):
            np.testing.assert_array_equal(expected.columns, columns.columns)
