"""What the recycling tests share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.graph import NeuronGraph, NeuronLayer, call_model, trace_neurons, undisturbed
from dormancy.graph.ops import tensors_in


def outputs(model: nn.Module, inputs: Any) -> list[Tensor]:
    with undisturbed(model):
        return [tensor.clone() for tensor in tensors_in(call_model(model, inputs))]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def copies(model: nn.Module) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in model.named_parameters()}


@torch.no_grad()
def silence(model: nn.Module, layer: NeuronLayer, neurons: np.ndarray[Any, Any]) -> None:
    """Give neurons incoming weights of 0, so that 0 goes into their nonlinearity."""
    parameters = dict(model.named_parameters())
    for producer in layer.producers:
        rows = torch.from_numpy(producer.rows[neurons])
        parameters[producer.weight].index_fill_(producer.dim, rows, 0.0)
        if producer.bias is not None:
            parameters[producer.bias].index_fill_(parameters[producer.bias].dim() - 1, rows, 0.0)


def silence_some(model: nn.Module, graph: NeuronGraph, every: int = 3) -> dict[str, np.ndarray[Any, Any]]:
    """Silence every third neuron of each layer whose rows are known."""
    silenced = {layer.name: np.arange(0, layer.size, every) for layer in graph if layer.producers}
    for name, neurons in silenced.items():
        silence(model, graph[name], neurons)
    return silenced


def mlp(
    bias: bool = True, sizes: tuple[int, ...] = (5, 12, 9, 3), activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out, bias=bias), activation()]
    return nn.Sequential(*layers[:-1])


def silenced_mlp(bias: bool = True) -> tuple[nn.Sequential, Tensor]:
    """Layers "0" (neurons 0, 3, 6, 9 silent) and "2" (0, 3, 6 silent)."""
    torch.manual_seed(4)
    model, inputs = mlp(bias), torch.randn(64, 5)
    silence_some(model, trace_neurons(model, inputs))
    return model, inputs
