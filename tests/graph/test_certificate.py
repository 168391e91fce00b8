"""The certificate: zeroing the mapped columns of the readers is zeroing the neurons, bit for bit, or it is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from dormancy.graph import NeuronGraph, NeuronLayer, call_model, trace_neurons, undisturbed
from dormancy.graph.ops import place_name, tensors_in
from dormancy.graph.trace import CallFrames, DispatchMode
from tests.zoo import REFUSED, ZOO


class Silence(DispatchMode):
    """Sets some neurons of one layer to zero while the network runs: the independent way to do it."""

    def __init__(self, model: nn.Module, layer: NeuronLayer, neurons: torch.Tensor) -> None:
        super().__init__()
        self.layer, self.neurons = layer, neurons
        self.frames = CallFrames(model, lambda *_: None)

    def __torch_dispatch__(self, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = overload(*args, **(kwargs or {}))
        if not self.frames.recurrent and self.frames.place(place_name(overload, args)) in self.layer.places:
            result.index_fill_(self.layer.dim, self.neurons, 0.0)
        return result


def silenced_outputs(model: nn.Module, inputs: Any, layer: NeuronLayer, neurons: torch.Tensor) -> list[torch.Tensor]:
    silence = Silence(model, layer, neurons)
    with undisturbed(model), silence.frames, silence:
        return tensors_in(call_model(model, inputs))


def cut_outputs(model: nn.Module, inputs: Any, layer: NeuronLayer, neurons: torch.Tensor) -> list[torch.Tensor]:
    cut = copy.deepcopy(model)
    parameters = dict(cut.named_parameters())
    with undisturbed(cut):
        for reader in layer.readers:
            weight = parameters[reader.weight].narrow(1 - reader.dim, *span(reader.block))
            weight.index_fill_(reader.dim, torch.from_numpy(reader.columns_of(neurons.numpy())), 0.0)
        return tensors_in(call_model(cut, inputs))


def moves_behind(layer: NeuronLayer) -> bool:
    """Whether the caveat says that silence is not the same as absence."""
    return "behind" in (layer.caveat or "") or "sends a constant" in (layer.caveat or "")


def span(block: tuple[int, int]) -> tuple[int, int]:
    return block[0], block[1] - block[0]


def graph_of(name: str) -> tuple[nn.Module, Any, NeuronGraph]:
    torch.manual_seed(sum(map(ord, name)))
    model, inputs = ZOO[name]()
    return model, inputs, trace_neurons(model, inputs)


@pytest.mark.parametrize("name", ZOO)
def test_zeroed_columns_are_zeroed_neurons(name: str) -> None:
    model, inputs, graph = graph_of(name)
    moved, certified = 0.0, False
    for layer in graph:
        if layer.obstacle or moves_behind(layer):
            continue
        certified = True
        neurons = torch.randperm(layer.size)[: max(1, layer.size // 2)].sort().values
        with undisturbed(model):
            before = tensors_in(call_model(model, inputs))
        cut, silenced = cut_outputs(model, inputs, layer, neurons), silenced_outputs(model, inputs, layer, neurons)
        assert all(torch.equal(a, b) for a, b in zip(cut, silenced, strict=True)), layer.name
        moved += sum(float((a - b).abs().max()) for a, b in zip(cut, before, strict=True))
    assert moved > 0 or not certified


@pytest.mark.parametrize("name", ["batch-norm-behind", "layer-norm-behind", "constant-behind"])
def test_a_caveat_is_not_raised_in_vain(name: str) -> None:
    model, inputs, graph = graph_of(name)
    layer = graph.layers[0]
    neurons = torch.tensor([0, 1])
    cut, silenced = cut_outputs(model, inputs, layer, neurons), silenced_outputs(model, inputs, layer, neurons)
    assert layer.caveat
    assert not torch.allclose(cut[0], silenced[0])


@pytest.mark.parametrize("name", ZOO)
def test_layers_that_cannot_be_rewritten_say_why(name: str) -> None:
    _, _, graph = graph_of(name)
    obstacles = {layer.name: layer.obstacle for layer in graph if layer.obstacle}
    matched = {
        layer: next((word for key, word in REFUSED[name].items() if layer.startswith(key)), None) for layer in obstacles
    }
    assert all(word is not None and word in str(obstacles[layer]) for layer, word in matched.items()), obstacles
    assert len(obstacles) == len(REFUSED[name])


def test_the_zoo_is_large_enough() -> None:
    certified = sum(not refused for refused in REFUSED.values())
    assert certified >= 20
    assert len(ZOO) - certified >= 5
