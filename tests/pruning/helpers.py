"""What the pruning tests share: networks with neurons that are silent by construction, and outputs to compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dormancy.edits.scores import absolute_means
from dormancy.graph import NeuronGraph, NeuronLayer, call_model, trace_neurons, undisturbed
from dormancy.graph.ops import tensors_in
from tests.zoo import ZOO

Mask = NDArray[np.bool_]


def outputs(model: nn.Module, inputs: Any) -> list[Tensor]:
    with undisturbed(model):
        return [tensor.clone() for tensor in tensors_in(call_model(model, inputs))]


def relative(given: list[Tensor], wanted: list[Tensor]) -> float:
    """Return the largest difference as a share of the largest output."""
    return max(
        float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))
        for one, other in zip(given, wanted, strict=True)
    )


def every(layer: NeuronLayer, step: int = 3) -> Mask:
    """Choose every third neuron, and none of a layer with one."""
    return (np.arange(layer.size) % step == 0) & (layer.size > 1)


@torch.no_grad()
def silence(model: nn.Module, layer: NeuronLayer, neurons: Mask) -> None:
    """Make neurons silent: where their nonlinearity is 0 below 0 by a very negative bias, elsewhere by weights of 0."""
    parameters = dict(model.named_parameters())
    for producer in layer.producers:
        rows = torch.from_numpy(producer.rows[neurons])
        if layer.activation == "relu" and producer.bias is not None:
            bias = parameters[producer.bias]
            bias.index_fill_(bias.dim() - 1, rows, -1e4)
        else:
            parameters[producer.weight].index_fill_(producer.dim, rows, 0.0)
            if producer.bias is not None:
                parameters[producer.bias].index_fill_(0, rows, 0.0)
    for module in model.modules():  # a normalisation ahead of the nonlinearity would undo all that
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm) and module.bias.numel() == layer.size:
            module.bias[torch.from_numpy(neurons)] = -1e4


def silenced(name: str) -> tuple[nn.Module, Any, NeuronGraph]:
    """Build an architecture of the zoo with every third neuron of each layer silent."""
    torch.manual_seed(sum(map(ord, name)))
    model, inputs = ZOO[name]()
    graph = trace_neurons(model, inputs)
    for layer in graph:
        silence(model, layer, every(layer))
    return model, inputs, graph


def silent_neurons(model: nn.Module, graph: NeuronGraph, inputs: Any) -> dict[str, Mask]:
    """Find by measurement the neurons that are exactly 0 on the inputs; a layer is never given whole."""
    found = {}
    for name, means in absolute_means(model, graph, inputs).items():
        silent = np.asarray(means == 0.0)
        if silent.all():
            silent[0] = False
        found[name] = silent
    return found
