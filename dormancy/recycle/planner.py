"""From chosen neurons to a `RecyclePlan`: which rows are drawn anew, which columns zeroed, and which must not be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final, get_args

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.arrays import BoolArray
from dormancy.edits.edit import Edit
from dormancy.errors import UsageError
from dormancy.graph import IntArray, NeuronGraph, NeuronLayer, Producer, Reader
from dormancy.recycle.initializers import Drawer
from dormancy.recycle.plan import LayerPlan, RecyclePlan

__all__ = ["Incoming", "Outgoing", "Planner", "Rewrite"]

Incoming: TypeAlias = Literal["random", "scaled"]
Outgoing: TypeAlias = Literal["zero", "random", "keep"]
_Place: TypeAlias = tuple[Any, ...]
_Neuron: TypeAlias = tuple[str, int]


@final
@dataclass(frozen=True)
class Rewrite:
    """What happens to the weights of a recycled neuron.

    Incoming weights are drawn anew ("random"), and with "scaled" each neuron's are then stretched to the mean Euclidean
    norm of the layer's live neurons. Outgoing weights become 0 ("zero"), are drawn anew ("random", which changes the
    output) or stay ("keep"). The bias gets its initial value. Sokar et al. 2023, Algorithm 1 and Appendix C.2.
    """

    incoming: Incoming = "random"
    outgoing: Outgoing = "zero"

    def __post_init__(self) -> None:
        if self.incoming not in get_args(Incoming):
            raise UsageError(f"incoming must be one of {', '.join(get_args(Incoming))}, not {self.incoming!r}")
        if self.outgoing not in get_args(Outgoing):
            raise UsageError(f"outgoing must be one of {', '.join(get_args(Outgoing))}, not {self.outgoing!r}")


def _slices(graph: NeuronGraph) -> Iterator[tuple[_Place, str, IntArray, IntArray]]:
    """Give every weight slice of every layer: (place, layer, positions in the slice, neuron of each position)."""
    for layer in graph:
        for producer in layer.producers:
            held = np.flatnonzero(producer.rows >= 0)
            yield (producer.weight, producer.dim, None), layer.name, producer.rows[held], held
        for reader in layer.readers:
            read = np.flatnonzero(reader.columns >= 0)
            yield (reader.weight, reader.dim, reader.block), layer.name, read, reader.columns[read]


def _find_ties(graph: NeuronGraph) -> list[frozenset[_Neuron]]:
    """Find the neurons that share a row or a column with another neuron: layers that are called twice, for one.

    Such neurons can only be recycled together. One neuron may own many columns (a flattened channel): that ties nobody.
    """
    users: defaultdict[_Place, list[tuple[str, IntArray, IntArray]]] = defaultdict(list)
    for place, name, positions, neurons in _slices(graph):
        users[place].append((name, positions, neurons))
    ties: list[frozenset[_Neuron]] = []
    for slices in users.values():
        positions = np.concatenate([positions for _, positions, _ in slices])
        if np.unique(positions).size == positions.size:
            continue
        owners: defaultdict[int, set[_Neuron]] = defaultdict(set)
        for name, at, neurons in slices:
            for position, neuron in zip(at.tolist(), neurons.tolist(), strict=True):
                owners[position].add((name, neuron))
        ties += [frozenset(tied) for tied in owners.values() if len(tied) > 1]
    return ties


def _rows_of(producer: Producer, neurons: IntArray) -> IntArray:
    rows = producer.rows[neurons]
    return np.unique(rows[rows >= 0])


@final
class Planner:
    """Plans the recycling of one network, whose neurons `graph` describes and whose fresh values `drawer` draws.

    A layer is refused when its graph has an obstacle, when one of its weights is frozen (``requires_grad=False``:
    frozen weights are never edited, and half a neuron is not recycled either), or when nobody knows its initialiser.
    """

    def __init__(self, graph: NeuronGraph, model: nn.Module, drawer: Drawer) -> None:
        self.graph = graph
        self._parameters: dict[str, Tensor] = dict(model.named_parameters())
        self._drawer = drawer
        self._ties = _find_ties(graph)
        self.refusals = {layer.name: reason for layer in graph if (reason := self._refusal(layer)) is not None}

    def _refusal(self, layer: NeuronLayer) -> str | None:
        if layer.obstacle is not None:
            return layer.obstacle
        if not layer.producers or not layer.readers:
            return "its weights are not known"
        drawn = [name for producer in layer.producers for name in (producer.weight, producer.bias) if name is not None]
        for name in (*drawn, *(reader.weight for reader in layer.readers)):
            if name not in self._parameters:
                return f"its weights '{name}' are not a parameter of the network"
            if not self._parameters[name].requires_grad:
                return f"its weights '{name}' are frozen (requires_grad=False)"
        return next((reason for name in drawn if (reason := self._drawer.refusal(name)) is not None), None)

    def plan(self, chosen: Mapping[str, BoolArray], rewrite: Rewrite, seed: int) -> RecyclePlan:
        """Plan to recycle the chosen neurons: booleans of shape (size,) by layer name; other layers are left alone.

        Equal arguments and equal weights give equal plans. Raises `UsageError` for an unknown layer.
        """
        neurons, tied = self._admitted(chosen)
        refusals = self.refusals
        layers = tuple(
            LayerPlan(each.name, each.size, neurons[each.name], refusals.get(each.name), each.caveat, tied[each.name])
            for each in self.graph
        )
        active = [(layer, neurons[layer.name]) for layer in self.graph if neurons[layer.name].size]
        drawn = self._drawn(active, rewrite)
        fresh = self._drawer.draw(drawn, seed) if drawn else {}
        edits = [edit for layer, index in active for edit in self._incoming(layer, index, rewrite, fresh)]
        edits += [edit for layer, index in active for edit in self._outgoing(layer, index, rewrite, fresh)]
        return RecyclePlan(layers, tuple(_once(edits)), {name: self._drawer.source(name) for name in drawn})

    def _admitted(self, chosen: Mapping[str, BoolArray]) -> tuple[dict[str, IntArray], dict[str, int]]:
        """Drop refused layers, and neurons that share a weight with one that is not chosen."""
        masks = {layer.name: np.zeros(layer.size, dtype=np.bool_) for layer in self.graph}
        for name, mask in chosen.items():
            layer = self.graph[name]
            if mask.shape != (layer.size,):
                raise UsageError(f"layer {name!r} has {layer.size} neurons; {mask.shape} were given")
            if name not in self.refusals:
                masks[name] = mask.copy()
        before = {name: int(mask.sum()) for name, mask in masks.items()}
        changed = True
        while changed:
            changed = False
            for group in self._ties:
                members = [bool(masks[name][neuron]) for name, neuron in group]
                if any(members) and not all(members):
                    changed = True
                    for name, neuron in group:
                        masks[name][neuron] = False
        tied = {name: before[name] - int(mask.sum()) for name, mask in masks.items()}
        return {name: np.flatnonzero(mask) for name, mask in masks.items()}, tied

    @staticmethod
    def _drawn(active: Iterable[tuple[NeuronLayer, IntArray]], rewrite: Rewrite) -> list[str]:
        """Name the parameters that fresh values are needed of, in the order of the forward pass."""
        names: list[str | None] = []
        for layer, _ in active:
            names += [name for producer in layer.producers for name in (producer.weight, producer.bias)]
            names += [reader.weight for reader in layer.readers if rewrite.outgoing == "random"]
        return list(dict.fromkeys(name for name in names if name is not None))

    def _incoming(
        self, layer: NeuronLayer, neurons: IntArray, rewrite: Rewrite, fresh: Mapping[str, Tensor]
    ) -> Iterator[Edit]:
        for producer in layer.producers:
            rows = _rows_of(producer, neurons)
            index = torch.as_tensor(rows)
            values = fresh[producer.weight].index_select(producer.dim, index)
            if rewrite.incoming == "scaled":
                values = self._stretched(values, producer, rows)
            yield Edit(producer.weight, producer.dim, rows, values, "incoming")
            if producer.bias is not None:
                dim = fresh[producer.bias].dim() - 1
                yield Edit(producer.bias, dim, rows, fresh[producer.bias].index_select(dim, index), "bias")

    def _stretched(self, values: Tensor, producer: Producer, rows: IntArray) -> Tensor:
        """Give every fresh row the mean norm of the rows that stay; as drawn where none stays."""
        live = np.setdiff1d(producer.rows[producer.rows >= 0], rows)
        if not live.size:
            return values
        weight = self._parameters[producer.weight].detach()
        kept = weight.index_select(producer.dim, torch.as_tensor(live, device=weight.device)).cpu()
        norm = kept.movedim(producer.dim, 0).flatten(1).norm(dim=1).mean()
        own = values.movedim(producer.dim, 0).flatten(1).norm(dim=1)
        scale = torch.where(own > 0, norm / own, torch.ones_like(own))
        shape = [1] * values.dim()
        shape[producer.dim] = -1
        return values * scale.view(shape)

    def _outgoing(
        self, layer: NeuronLayer, neurons: IntArray, rewrite: Rewrite, fresh: Mapping[str, Tensor]
    ) -> Iterator[Edit]:
        if rewrite.outgoing == "keep":
            return
        for reader in layer.readers:
            columns = reader.columns_of(neurons)
            edit = Edit(reader.weight, reader.dim, columns, 0.0, "outgoing", self._block(reader))
            if rewrite.outgoing == "random":
                values = edit.within(fresh[reader.weight]).index_select(reader.dim, torch.as_tensor(columns))
                edit = Edit(reader.weight, reader.dim, columns, values, "outgoing", edit.block)
            if columns.size:
                yield edit

    def _block(self, reader: Reader) -> tuple[int, int] | None:
        """Return the reader's range of outputs, or None where it is all of them."""
        whole = (0, self._parameters[reader.weight].shape[1 - reader.dim])
        return None if reader.block == whole else reader.block


def _once(edits: Iterable[Edit]) -> Iterator[Edit]:
    """Drop an edit that was already listed: layers with shared weights ask for it twice."""
    seen: set[_Place] = set()
    for edit in edits:
        place = (edit.parameter, edit.dim, edit.index.tobytes(), edit.role, edit.block)
        if place not in seen:
            seen.add(place)
            yield edit
