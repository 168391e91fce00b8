"""What recyclers compare neurons by, measured on one batch in one forward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.graph import NeuronGraph, NeuronLayer
from dormancy.metrics import FloatArray
from dormancy.metrics.dormant import normalised_scores
from dormancy.probing.capture import collect
from dormancy.probing.collectors import AbsoluteMeans

__all__ = [
    "BatchDeviations",
    "Inputs",
    "Score",
    "absolute_means",
    "contributions",
    "deviations",
    "eagerly",
    "given",
    "incoming_sizes",
    "normalised",
    "outgoing_sizes",
]

Score: TypeAlias = Literal["dormant", "constant"]
"""Which neurons are looked for: those near zero, or those that never change (the authors' ``sub_mean_score``)."""
Inputs: TypeAlias = Any
"""What the network takes: a tensor (batch, ...), a tuple of tensors, or a mapping of keyword arguments."""


def given(observations: Inputs | Callable[[], Inputs], device: torch.device) -> Inputs:
    """Return the observations themselves, from a function where one is given, as tensors on the network's device."""
    inputs = observations() if callable(observations) else observations
    if isinstance(inputs, Mapping):
        return {name: _tensor(each, device) for name, each in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(_tensor(each, device) for each in inputs)
    return _tensor(inputs, device)


def _tensor(values: Any, device: torch.device) -> Tensor:
    """Accept a tensor or an array; a read-only array is copied, since a tensor cannot be read-only."""
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()
    return torch.as_tensor(values, device=device)


@contextmanager
def eagerly() -> Iterator[None]:
    """Run compiled networks operation by operation, so that their neurons can be seen; nothing is recompiled."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and loading the compiler takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@final
class BatchDeviations:
    """Mean absolute deviation of every neuron from its own mean, over rows and positions: mean_x |h_i - mean_x h_i|.

    float64 of shape (neurons,) by layer. Of one batch, whose values are all at hand when its mean is: one forward pass
    gives masks for all layers, where a whole sample takes two (`Deviations`). It is 0 for a neuron
    that is constant rather than silent.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Tensor]] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Take in the batch; a layer that runs several times is given several times."""
        self._rows.setdefault(layer.name, []).append(values.detach().movedim(layer.dim, 0).flatten(1).double())

    def result(self) -> Mapping[str, FloatArray]:
        """Return the deviations by layer."""
        joined = {name: torch.cat(rows, dim=1) for name, rows in self._rows.items()}
        return {name: (rows - rows.mean(1, keepdim=True)).abs().mean(1).cpu().numpy() for name, rows in joined.items()}


def absolute_means(model: nn.Module, graph: NeuronGraph, inputs: Inputs) -> Mapping[str, FloatArray]:
    """Measure mean_x |h_i(x)| of every neuron: float64 of shape (neurons,) by layer."""
    means = AbsoluteMeans()
    with eagerly():
        collect(model, graph, [inputs], [means])
    return means.result()


def deviations(model: nn.Module, graph: NeuronGraph, inputs: Inputs) -> Mapping[str, FloatArray]:
    """Measure mean_x |h_i - mean_x h_i| of every neuron: float64 of shape (neurons,) by layer."""
    found = BatchDeviations()
    with eagerly():
        collect(model, graph, [inputs], [found])
    return found.result()


def normalised(sizes: FloatArray, epsilon: float = 0.0) -> FloatArray:
    """Divide by the layer's mean (Eq. 1): see `normalised_scores`.

    With an `epsilon` it is added to the denominator, as other implementations do (1e-9); scores are then smaller in
    layers of tiny activations, and not 0 but 0/epsilon in silent ones.

    >>> normalised(np.array([0.0, 1.0, 3.0])).tolist()
    [0.0, 0.75, 2.25]
    """
    if epsilon == 0.0:
        return normalised_scores(sizes)
    finite = np.isfinite(sizes)
    scale = sizes[finite].mean() if finite.any() else 0.0
    return np.where(finite, sizes, np.nan) / (scale + epsilon)


def _sums_along(weight: Tensor, dim: int) -> FloatArray:
    """Sum |w| over all dimensions but one, in float64."""
    return np.asarray(weight.detach().movedim(dim, 0).flatten(1).abs().sum(1, dtype=torch.float64).cpu().numpy())


def outgoing_sizes(layer: NeuronLayer, parameters: Mapping[str, Tensor]) -> FloatArray:
    """Return Σ|w_out| of every neuron, over all weights that read it: float64 of shape (neurons,)."""
    total = np.zeros(layer.size)
    for reader in layer.readers:
        weight = parameters[reader.weight]
        start, stop = reader.block
        sums = _sums_along(weight.narrow(1 - reader.dim, start, stop - start), reader.dim)
        read = reader.columns >= 0
        np.add.at(total, reader.columns[read], sums[read])
    return total


def incoming_sizes(layer: NeuronLayer, parameters: Mapping[str, Tensor]) -> FloatArray:
    """Return Σ|w_in| of every neuron, biases left out: float64 of shape (neurons,)."""
    total = np.zeros(layer.size)
    for producer in layer.producers:
        held = producer.rows >= 0
        total[held] += _sums_along(parameters[producer.weight], producer.dim)[producer.rows[held]]
    return total


def contributions(layer: NeuronLayer, deviation: FloatArray, parameters: Mapping[str, Tensor]) -> FloatArray:
    """Return mean|a - mean a| · Σ|w_out| / Σ|w_in|, the utility of continual backprop (Appendix C.4); not normalised.

    A neuron without incoming weights (all 0) contributes a constant at best: its utility is 0.
    """
    incoming = incoming_sizes(layer, parameters)
    utility = deviation * outgoing_sizes(layer, parameters)
    return np.divide(utility, incoming, out=np.zeros_like(utility), where=incoming > 0)
