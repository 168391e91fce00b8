"""From chosen neurons to a `PrunePlan`: what can be pruned exactly, what can be cut down to size, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final, get_args

import numpy as np
import torch
from torch import nn

from dormancy.arrays import BoolArray
from dormancy.edits.edit import Edit
from dormancy.errors import NetworkError, RewriteRefused, UsageError
from dormancy.graph import IntArray, NeuronGraph, Reader, call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.pruning.anatomy import Anatomy, dissect
from dormancy.pruning.apply import prune
from dormancy.pruning.plan import Cut, LayerPruning, Mode, PrunePlan

__all__ = ["PrunePlanner", "plan_pruning"]

TOLERANCE = 1e-4
"""Of the largest output: what a trial of a narrower network may differ by. Other summation orders give about 1e-6."""


def plan_pruning(
    model: nn.Module,
    inputs: Any,
    neurons: Mapping[str, BoolArray],
    mode: Mode = "mask",
    *,
    allow_inexact: bool = False,
) -> PrunePlan:
    """Plan to prune neurons of a network; nothing is changed. See `PrunePlanner`.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> plan = plan_pruning(model, torch.rand(4, 2), {"0": np.array([True, False, False])}, "remove")
    >>> prune(model, plan)
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=1, bias=True)
    )
    """
    return PrunePlanner(model, inputs).plan(neurons, mode, allow_inexact=allow_inexact)


@final
class PrunePlanner:
    """Plans the pruning of one network, whose neurons are traced on `inputs` (a few rows are enough).

    `inputs` is what the network takes: a tensor (batch, ...), a tuple of tensors, or a mapping of keyword arguments.
    Raises `NetworkError` when the network does not take them.
    """

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        inner = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        self.model: nn.Module = inner
        self.inputs = inputs
        self.anatomy: Anatomy = dissect(inner, inputs)
        self._shapes = {name: parameter.shape for name, parameter in inner.named_parameters()}

    @property
    def graph(self) -> NeuronGraph:
        """The neurons of the network."""
        return self.anatomy.graph

    def plan(self, neurons: Mapping[str, BoolArray], mode: Mode = "mask", *, allow_inexact: bool = False) -> PrunePlan:
        """Plan to prune the chosen neurons: booleans of shape (size,) by layer name; other layers are left alone.

        A layer whose neurons cannot be told apart is refused, and so is one where even a silent neuron moves the
        outputs, unless `allow_inexact`; the plan says why. In mode "remove", a layer that cannot be made narrower is
        masked instead, and the plan says why: both modes give the same function. Narrower layers are tried out on the
        planner's inputs, and masked where the network does not take them or gives other outputs.

        Raises `UsageError` for an unknown layer or mode, and `RewriteRefused` when all neurons of a layer are chosen:
        its readers would see a constant.
        """
        if mode not in get_args(Mode):
            raise UsageError(f"mode must be mask or remove, not {mode!r}")
        self._check(neurons)
        layers = [self._layer(name, neurons, mode, allow_inexact) for name in (layer.name for layer in self.graph)]
        masked = self._assembled("mask", layers)
        if mode == "mask":
            return masked
        return self._tried(layers, masked)

    def _check(self, neurons: Mapping[str, BoolArray]) -> None:
        for name, mask in neurons.items():
            layer = self.graph[name]
            if mask.shape != (layer.size,):
                raise UsageError(f"layer {name!r} has {layer.size} neurons; {mask.shape} were given")

    def _layer(self, name: str, neurons: Mapping[str, BoolArray], mode: Mode, allow_inexact: bool) -> LayerPruning:
        layer, mask = self.graph[name], neurons.get(name)
        chosen = np.flatnonzero(mask) if mask is not None else np.empty(0, dtype=np.int64)
        none = np.empty(0, dtype=np.int64)
        if layer.obstacle is not None:
            return LayerPruning(name, layer.size, none, chosen.size, refused=layer.obstacle)
        found = self.anatomy.layers[name]
        if found.inexact is not None and not allow_inexact:
            return LayerPruning(name, layer.size, none, chosen.size, refused=found.inexact, inexact=found.inexact)
        if chosen.size == layer.size:
            raise RewriteRefused(
                f"all {layer.size} neurons of layer {name!r} are to be pruned, which would leave a constant: take a "
                "smaller tau, leave the layer out with --layers, or keep its best neuron with --keep-one"
            )
        fixed = found.fixed if mode == "remove" and chosen.size else None
        return LayerPruning(name, layer.size, chosen, chosen.size, None, fixed, found.inexact)

    def _assembled(self, mode: Mode, layers: Iterable[LayerPruning]) -> PrunePlan:
        """Put the writes together: cuts for what becomes narrower, zeroed columns for all else."""
        found = tuple(layers)
        active = [layer for layer in found if layer.pruned]
        narrowed = [layer for layer in active if mode == "remove" and layer.unnarrowed is None]
        cuts = self._cuts(narrowed)
        edits = tuple(edit for layer in active if layer not in narrowed for edit in self._edits(layer))
        return PrunePlan(mode, found, edits, cuts)

    def _edits(self, layer: LayerPruning) -> Iterator[Edit]:
        for reader in self.graph[layer.name].readers:
            columns = reader.columns_of(layer.neurons)
            if columns.size:
                yield Edit(reader.weight, reader.dim, columns, 0.0, "outgoing", self._block(reader))

    def _block(self, reader: Reader) -> tuple[int, int] | None:
        """Return the reader's range of outputs, or None where it is all of them."""
        whole = (0, self._shapes[reader.weight][1 - reader.dim])
        return None if reader.block == whole else reader.block

    def _cuts(self, layers: Iterable[LayerPruning]) -> tuple[Cut, ...]:
        """Collect the cuts of all layers; what several of them cut along one dimension becomes one cut."""
        found: dict[tuple[str, int], IntArray] = {}
        for layer in layers:
            for part in self.anatomy.layers[layer.name].slices:
                place, positions = (part.tensor, part.dim), part.positions_of(layer.neurons)
                found[place] = np.union1d(found[place], positions) if place in found else positions
        return tuple(Cut(tensor, dim, index) for (tensor, dim), index in found.items() if index.size)

    def _tried(self, layers: list[LayerPruning], masked: PrunePlan) -> PrunePlan:
        """Try the narrower network out; where it fails, find the layers that are to blame and only mask them."""
        plan = self._assembled("remove", layers)
        if not plan.cuts or self._trouble(plan, masked) is None:
            return plan
        judged = [self._judged(layer) for layer in layers]
        plan = self._assembled("remove", judged)
        trouble = self._trouble(plan, masked)
        if trouble is not None:  # each layer alone was fine
            return self._assembled("remove", [_only_masked(layer, trouble) for layer in judged])
        return plan

    def _judged(self, layer: LayerPruning) -> LayerPruning:
        if not layer.pruned or layer.unnarrowed is not None:
            return layer
        trouble = self._trouble(self._assembled("remove", [layer]), self._assembled("mask", [layer]))
        return layer if trouble is None else _only_masked(layer, trouble)

    def _trouble(self, plan: PrunePlan, masked: PrunePlan) -> str | None:
        """Run the narrower and the masked network on the inputs; tell what went wrong, if anything did."""
        wanted = self._outputs(masked)
        try:
            given = self._outputs(plan)
        except (NetworkError, AttributeError, KeyError, AssertionError) as error:
            reason = str(error).partition(": ")[2] or str(error)
            return f"the network does not run when the layer is narrower: {reason}"
        if [each.shape for each in given] != [each.shape for each in wanted]:
            return "the network's outputs change shape when the layer is narrower"
        return None if _close(given, wanted) else "the network gives other outputs when the layer is narrower"

    def _outputs(self, plan: PrunePlan) -> list[torch.Tensor]:
        pruned = prune(self.model, plan)
        with undisturbed(pruned):
            return tensors_in(call_model(pruned, self.inputs))


def _only_masked(layer: LayerPruning, reason: str) -> LayerPruning:
    unnarrowed = layer.unnarrowed or (reason if layer.pruned else None)
    return LayerPruning(layer.name, layer.size, layer.neurons, layer.chosen, layer.refused, unnarrowed, layer.inexact)


def _close(given: list[torch.Tensor], wanted: list[torch.Tensor]) -> bool:
    for one, other in zip(given, wanted, strict=True):
        if not other.is_floating_point():
            if not torch.equal(one, other):
                return False
            continue
        allowed = max(TOLERANCE, 64 * torch.finfo(other.dtype).eps) * other.abs().max().double().item()
        if not bool(((one - other).abs().double() <= allowed).all()):
            return False
    return True
