"""At tau = 0 recycling changes nothing on the scored batch, to the bit, on any network; else the report says why."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dormancy.graph import trace_neurons
from dormancy.recycle import ReDo
from tests.recycle.helpers import copies, outputs, same, silence_some
from tests.zoo import REFUSED, ZOO

CAVEATS = ("before its nonlinearity", "behind its nonlinearity", "sends a constant")


def moves_live_neurons(caveat: str | None) -> bool:
    """Whether the graph warns that a silent neuron is not an absent one, or that its rows take part in a norm."""
    return any(word in (caveat or "") for word in CAVEATS)


def built(name: str) -> tuple[nn.Module, Any]:
    torch.manual_seed(sum(map(ord, name)))
    return ZOO[name]()


@pytest.mark.parametrize("name", ZOO)
def test_outputs_on_the_scored_batch_are_unchanged_to_the_bit(name: str) -> None:
    model, inputs = built(name)
    graph = trace_neurons(model, inputs)
    exact = [layer.name for layer in graph if layer.rewritable and not moves_live_neurons(layer.caveat)]
    silence_some(model, graph)
    before, weights = outputs(model, inputs), copies(model)
    redo = ReDo(model, tau=0.0, period=1, layers=exact, fresh=lambda: ZOO[name]()[0])
    report = redo.step(inputs)
    assert report is not None
    assert same(before, outputs(model, inputs))
    for layer in exact:
        assert report.plan[layer].neurons.size + report.plan[layer].tied > 0, layer
    changed = any(not torch.equal(weights[key], each) for key, each in copies(model).items())
    assert changed == (report.recycled > 0)
    assert changed or not exact


@pytest.mark.parametrize("name", [name for name in ZOO if REFUSED[name]])
def test_refused_layers_are_left_alone_and_say_why(name: str) -> None:
    model, inputs = built(name)
    silence_some(model, trace_neurons(model, inputs))
    before = copies(model)
    redo = ReDo(model, tau=1e9, period=1, fresh=lambda: ZOO[name]()[0])
    plan = redo.plan(inputs)
    refused = {layer.name for layer in redo.graph if layer.obstacle}
    assert refused
    assert refused == set(plan.refused)
    assert all(plan[layer].neurons.size == 0 for layer in refused)
    assert same(list(before.values()), list(copies(model).values()))


@pytest.mark.parametrize("name", ["layer-norm-behind", "layer-norm-before", "constant-behind", "batch-norm-behind"])
def test_a_caveat_is_reported_with_what_was_recycled(name: str) -> None:
    model, inputs = built(name)
    graph = trace_neurons(model, inputs)
    silence_some(model, graph)
    before = outputs(model, inputs)
    report = ReDo(model, tau=0.5, period=1).step(inputs)
    assert report is not None
    assert report.plan.caveats
    assert not same(before, outputs(model, inputs))


def test_the_zoo_covers_fifteen_architectures_without_caveats() -> None:
    exact = 0
    for name in ZOO:
        model, inputs = built(name)
        graph = trace_neurons(model, inputs)
        exact += any(layer.rewritable and not moves_live_neurons(layer.caveat) for layer in graph)
    assert exact >= 15


ACTIVATIONS = st.sampled_from([F.relu, torch.tanh, F.gelu, F.silu, F.elu, F.leaky_relu])


class RandomMLP(nn.Module):
    """Dense layers of random widths, with a skip of the input to a random layer by concatenation."""

    def __init__(self, widths: list[int], skip: int, bias: bool, activation: Any) -> None:
        super().__init__()
        self.skip, self.activation = skip, activation
        sizes = [4, *widths, 2]
        extra = [4 if index == skip else 0 for index in range(len(sizes) - 1)]
        pairs = zip(sizes, sizes[1:], extra, strict=False)
        self.layers = nn.ModuleList(nn.Linear(fan_in + more, fan_out, bias) for fan_in, fan_out, more in pairs)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs
        for index, layer in enumerate(self.layers):
            hidden = torch.cat([inputs, hidden], dim=1) if index == self.skip else hidden
            hidden = layer(hidden)
            hidden = self.activation(hidden) if index < len(self.layers) - 1 else hidden
        return hidden


class RandomConv(nn.Module):
    """Convolutions with random channels, groups, padding and pooling, and a flatten in either order of dimensions."""

    def __init__(self, channels: list[int], groups: int, pool: bool, hwc: bool, bias: bool, activation: Any) -> None:
        super().__init__()
        self.pool, self.hwc, self.activation = pool, hwc, activation
        sizes = [3, *(groups * each for each in channels)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(fan_in, fan_out, 3, padding=1, groups=groups if index else 1, bias=bias)
            for index, (fan_in, fan_out) in enumerate(pairwise(sizes))
        )
        self.head = nn.Linear(sizes[-1] * (4 if pool else 16), 2)

    def forward(self, inputs: Tensor) -> Tensor:
        for convolution in self.convolutions:
            inputs = self.activation(convolution(inputs))
        inputs = F.max_pool2d(inputs, 2) if self.pool else inputs
        order = inputs.permute(0, 2, 3, 1) if self.hwc else inputs
        outputs: Tensor = self.head(order.flatten(1))
        return outputs


def assert_exact(model: nn.Module, inputs: Tensor, every: int) -> None:
    silenced = silence_some(model, trace_neurons(model, inputs), every)
    before = outputs(model, inputs)
    report = ReDo(model, tau=0.0, period=1).step(inputs)
    assert report is not None
    assert not report.plan.refused
    assert all(np.isin(neurons, report.plan[layer].neurons).all() for layer, neurons in silenced.items())
    assert same(before, outputs(model, inputs))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 9), st.booleans(), ACTIVATIONS, st.data())
def test_any_dense_network(widths: list[int], skip: int, bias: bool, activation: Any, data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    model = RandomMLP(widths, skip % (len(widths) + 1), bias, activation)
    assert_exact(model, torch.randn(6, 4), data.draw(st.integers(1, 4)))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    ACTIVATIONS,
    st.data(),
)
def test_any_convolutional_network(
    channels: list[int], groups: int, pool: bool, hwc: bool, bias: bool, activation: Any, data: st.DataObject
) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    model = RandomConv(channels, groups, pool, hwc, bias, activation)
    assert_exact(model, torch.randn(4, 3, 4, 4), data.draw(st.integers(1, 4)))


def test_the_second_forward_pass_on_other_inputs_may_differ() -> None:
    """A silent unit may speak elsewhere: only the scored batch is promised."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[0].bias.zero_()
    scored, unseen = torch.tensor([[1.0], [2.0]]), torch.tensor([[-1.0]])
    before = outputs(model, scored), outputs(model, unseen)
    report = ReDo(model, tau=0.0, period=1).step(scored)
    assert report is not None
    assert report.plan["0"].neurons.tolist() == [1]
    assert same(before[0], outputs(model, scored))
    assert not same(before[1], outputs(model, unseen))


def test_an_infinite_fresh_activation_is_not_multiplied_away() -> None:
    """Zeros are assigned, never multiplied: an infinite weight behind a dead neuron is gone afterwards."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    inputs = torch.randn(8, 2)
    silence_some(model, trace_neurons(model, inputs))
    with torch.no_grad():
        model[4].weight[:, 0] = float("inf")
    report = ReDo(model, tau=0.0, period=1, layers=["2"]).step(inputs)
    assert report is not None
    assert model[4].weight[0, 0] == 0
    assert torch.isfinite(model(inputs)).all()
