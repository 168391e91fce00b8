"""Costs against torch's own counter, and against sums on paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dormancy.graph import call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.networks import NatureNetwork
from dormancy.pruning import cost_of
from tests.zoo import ZOO

COUNTED = [name for name in ZOO if name not in ("lstm", "transformer-block")]  # torch counts their own kernels, too


@pytest.mark.parametrize("name", COUNTED)
def test_operations_are_those_that_torch_counts(name: str) -> None:
    model, inputs = ZOO[name]()
    rows = len(tensors_in(inputs)[0])
    with undisturbed(model), FlopCounterMode(display=False) as counter:
        call_model(model, inputs)
    assert cost_of(model, inputs).flops == counter.get_total_flops() // rows


def test_the_nature_network() -> None:
    cost = cost_of(NatureNetwork(6), torch.zeros(2, 4, 84, 84, dtype=torch.uint8))
    convolutions = 20 * 20 * 32 * 4 * 64 + 9 * 9 * 64 * 32 * 16 + 7 * 7 * 64 * 64 * 9
    assert cost.flops == 2 * (convolutions + 3136 * 512 + 512 * 6)
    assert cost.parameters == 32 * 257 + 64 * 513 + 64 * 577 + 512 * 3137 + 6 * 513
    assert cost.bytes == 4 * cost.parameters
    assert cost.zeros == 32 + 64 + 64 + 512 + 6  # its biases


def test_shared_parameters_count_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    assert cost_of(model, torch.zeros(1, 3)).parameters == 9
