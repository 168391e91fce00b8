"""Gradients of a loss with respect to neurons and to weights, one observation's loss at a time.

The loss of a batch is a *sum* over its rows, so what reaches a neuron on one row is the gradient of that row's own
loss, and no statistic depends on how rows are split into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from dormancy.errors import NetworkError
from dormancy.graph import NeuronGraph, NeuronLayer, call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.probing.capture import Capture

__all__ = [
    "GAMMA",
    "GradientSizes",
    "Loss",
    "Transitions",
    "gradient_sizes",
    "output_energy",
    "row_gradient_products",
    "td_loss",
]

Floats = NDArray[np.float64]
GAMMA = 0.99


@final
@dataclass(frozen=True, eq=False)
class Transitions:
    """What happened after a batch of observations. `actions` are whole numbers; the others are in the network's dtype.

    All of shape (rows,), save for `next_inputs`, which are what the network takes.
    """

    next_inputs: Any
    actions: Tensor
    rewards: Tensor
    terminations: Tensor


Loss: TypeAlias = Callable[[Any, Any, Transitions | None], Tensor]
"""From a network's outputs, its outputs on the next observations (or None), and the transitions to a sum over rows."""


def td_loss(values: Tensor, next_values: Tensor, transitions: Transitions) -> Tensor:
    """Return Σ Huber(Q(s, a) - r - γ (1 - end) max_a' Q(s', a')), γ = .99 (Mnih et al. 2015).

    `values` and `next_values` are (rows, actions). The target uses the same network, without a gradient: a checkpoint
    holds no target network, and the two agree right after a synchronisation. Rewards are taken as they are stored.

    >>> one = Transitions(None, torch.tensor([1]), torch.tensor([1.0]), torch.tensor([1.0]))
    >>> td_loss(torch.tensor([[0.0, 0.5]]), torch.zeros(1, 2), one)
    tensor(0.1250)
    """
    chosen = values.gather(1, transitions.actions.view(-1, 1)).squeeze(1)
    future = next_values.detach().amax(1) * (1 - transitions.terminations)
    return F.huber_loss(chosen, transitions.rewards + GAMMA * future, reduction="sum")


def output_energy(outputs: Any) -> Tensor:
    """Return ½ Σ f², over all floating outputs of all rows: the stated surrogate where there is no loss to take.

    It is the squared error towards outputs of zero, so every output pulls in proportion to its size.

    >>> output_energy((torch.tensor([[3.0]]), torch.tensor([[4.0]])))
    tensor(12.5000)
    """
    floating = [each for each in tensors_in(outputs) if each.is_floating_point()]
    return torch.stack([0.5 * each.square().sum() for each in floating]).sum()


@final
@dataclass(frozen=True, eq=False)
class GradientSizes:
    """E|∂L/∂h| and E|h · ∂L/∂h| over rows and positions of one layer's neurons: float64 of shape (neurons,)."""

    gradient: Floats
    product: Floats


@final
class _Keep:
    """Keeps every layer's values: autograd adds its record to these very tensors when the operation returns."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}
        self.copies: dict[str, list[Tensor]] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Keep them, and a copy, since a later operation may write over them."""
        self.values.setdefault(layer.name, []).append(values)
        self.copies.setdefault(layer.name, []).append(values.detach().clone())

    def result(self) -> None:
        """Nothing is summed up here."""


def _watched(inputs: Any) -> Any:
    """Ask for gradients of the observations themselves: then they reach all neurons, in a frozen network too.

    The copy is no leaf, so a network may write over its input as ever.
    """
    return tree_map(lambda leaf: leaf.detach().requires_grad_().clone() if _is_floating(leaf) else leaf, inputs)


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _next_outputs(model: nn.Module, transitions: Transitions | None) -> Any:
    if transitions is None:
        return None
    with torch.no_grad():
        return call_model(model, transitions.next_inputs)


def _sums(layer: NeuronLayer, values: Tensor, gradient: Tensor | None) -> Tensor:
    """Return Σ|g| and Σ|h g| by neuron, (2, neurons), divided by the number of positions."""
    if gradient is None:  # the loss does not depend on this layer
        return torch.zeros(2, layer.size, dtype=torch.float64, device=values.device)
    positions = values.numel() // layer.size
    others = [axis for axis in range(values.dim()) if axis != layer.dim]
    wide = gradient.double()
    both = (wide.abs().sum(others), (wide * values).abs().sum(others))
    return torch.stack(both) / (positions / values.shape[0])


def _one_batch(
    model: nn.Module, graph: NeuronGraph, inputs: Any, transitions: Transitions | None, loss: Loss
) -> dict[str, Tensor]:
    keep = _Keep()
    capture = Capture(model, graph, [keep])
    with capture:
        outputs = call_model(model, _watched(inputs))
    capture.finish()
    total = loss(outputs, _next_outputs(model, transitions), transitions)
    calls = [(name, place) for name, values in keep.values.items() for place in range(len(values))]
    reached = [(name, place) for name, place in calls if keep.values[name][place].requires_grad]
    if not reached or not total.requires_grad:
        raise NetworkError("no gradient reaches the neurons: the network's outputs do not depend on them smoothly")
    wanted = [keep.values[name][place] for name, place in reached]
    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    found = dict(zip(reached, gradients, strict=True))
    sums: dict[str, Tensor] = {}
    for layer in graph:
        copies = keep.copies[layer.name]
        parts = [_sums(layer, copy, found.get((layer.name, place))) for place, copy in enumerate(copies)]
        mean = torch.stack(parts).mean(0)  # over the calls of one layer, as over positions
        sums[layer.name] = mean * float("nan") if layer.is_inner_state else mean
    return sums


def gradient_sizes(
    model: nn.Module, graph: NeuronGraph, batches: Iterable[tuple[Any, Transitions | None]], loss: Loss
) -> Mapping[str, GradientSizes]:
    """Run one forward and one backward pass over `batches` and sum up what reaches every neuron, by layer.

    The network is left as it was; no gradient of any parameter is touched. Memory: one batch and its gradients.
    Raises `NetworkError` when the outputs do not depend on the neurons.
    """
    sums: dict[str, Tensor] = {}
    rows = 0
    with undisturbed(model), torch.enable_grad():
        for inputs, transitions in batches:
            for name, both in _one_batch(model, graph, inputs, transitions, loss).items():
                sums[name] = sums[name] + both if name in sums else both
            rows += len(tensors_in(inputs)[0])
    means = {name: (both / rows).cpu().numpy() for name, both in sums.items()}
    return {name: GradientSizes(both[0], both[1]) for name, both in means.items()}


def row_gradient_products(
    model: nn.Module, rows: Sequence[tuple[Any, Transitions | None]], loss: Loss
) -> NDArray[np.float64]:
    """Return G with G_ij = <g_i, g_j>, g_i = ∂L_i/∂θ of one row each: float64 of shape (rows, rows).

    Works on detached copies of the parameters, so that frozen networks have gradients too. Memory: one gradient a row.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.is_floating_point()]
    known = dict(model.named_parameters())
    gradients = []
    with undisturbed(model), torch.enable_grad():
        weights = {name: known[name].detach().clone().requires_grad_() for name in names}
        for inputs, transitions in rows:
            outputs = _functional(model, weights, inputs)
            total = loss(outputs, _next_outputs(model, transitions), transitions)
            parts = torch.autograd.grad(total, list(weights.values()), allow_unused=True, materialize_grads=True)
            gradients.append(torch.cat([part.flatten() for part in parts]))
    return _products(gradients)


def _functional(model: nn.Module, weights: Mapping[str, Tensor], inputs: Any) -> Any:
    positional, named = ((), inputs) if isinstance(inputs, Mapping) else ((inputs,), {})
    return torch.func.functional_call(model, dict(weights), positional, dict(named))


def _products(gradients: Sequence[Tensor]) -> NDArray[np.float64]:
    """Multiply in float64, a piece of the parameters at a time: a copy of everything in float64 would be large."""
    pieces = zip(*(gradient.split(1 << 20) for gradient in gradients), strict=True)
    total = torch.zeros(len(gradients), len(gradients), dtype=torch.float64)
    for piece in pieces:
        matrix = torch.stack(piece).double()
        total += (matrix @ matrix.T).cpu()
    return total.numpy()
