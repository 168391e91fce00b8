"""Everything in a network that has a number for each neuron of a layer, and why a layer cannot be cut down to size.

The graph names the weights that make a neuron and those that read it. Between them a network may carry more: scales and
running statistics of a batch normalisation, slopes of a PReLU, gains. They are found in the same traced pass, by the
labels of the neurons that meet them, whatever the module is called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.graph import IntArray, NeuronGraph, NeuronLayer, Producer
from dormancy.graph.assemble import assemble
from dormancy.graph.custom_activations import with_activations
from dormancy.graph.flow import Arrival, Carried, push
from dormancy.graph.ops import Kind
from dormancy.graph.trace import Operation, Trace, Value, counted_calls, record
from dormancy.graph.weights import ParameterIndex, WeightUse
from dormancy.pruning.coupled_parameters import Slice, owners_of

__all__ = ["Anatomy", "LayerAnatomy", "dissect"]


@final
@dataclass(frozen=True, eq=False)
class LayerAnatomy:
    """One layer, and what pruning has to know besides its graph.

    `slices` are all parameters and buffers with a number for each neuron: rows, biases, companions, columns. `inexact`
    says why a neuron without readers is not the same as a silent neuron: zeroing its columns moves the outputs even
    where it is 0. `fixed` says why the layer cannot be made narrower. Both are sentences without a full stop.
    """

    layer: NeuronLayer
    slices: tuple[Slice, ...]
    inexact: str | None
    fixed: str | None


@final
@dataclass(frozen=True, eq=False)
class Anatomy:
    """The neuron graph of a network, and the anatomy of every layer that may be rewritten."""

    graph: NeuronGraph
    layers: Mapping[str, LayerAnatomy]


def dissect(model: nn.Module, inputs: Any) -> Anatomy:
    """Trace one forward pass of `model` on `inputs`, which are as for `dormancy.graph.trace_neurons`.

    The network is left as it was. Raises `NetworkError` when the network does not take the inputs.
    """
    trace = with_activations(record(model, inputs), {})
    graph = assemble(trace)
    dissection = _Dissection(model, trace, graph)
    return Anatomy(graph, {layer.name: dissection.layer(layer) for layer in graph if layer.rewritable})


def _labels(value: Value, dim: int) -> Tensor:
    """Number the positions of a value along `dim` 1..C, in its shape."""
    shape = [1] * value.tensor.dim()
    shape[dim] = value.tensor.shape[dim]
    return torch.arange(1, shape[dim] + 1, dtype=torch.float64).view(shape).expand(value.tensor.shape).clone()


def _spread(positions: IntArray, length: int) -> IntArray:
    """Invert positions: entry p is the i with ``positions[i] == p``, or -1."""
    owners = np.full(length, -1, dtype=np.int64)
    held = np.flatnonzero(positions >= 0)
    owners[positions[held]] = held
    return owners


@final
class _Dissection:
    """Looks at one recorded pass from every layer in turn."""

    def __init__(self, model: nn.Module, trace: Trace, graph: NeuronGraph) -> None:
        self.trace = trace
        self.tensors: dict[str, Tensor] = {**trace.parameters, **dict(model.named_buffers())}
        self.index = ParameterIndex(self.tensors)
        self.sites = {number: operation for operation, number in counted_calls(trace.operations)}
        uses = (self.index.use(operation) for operation in trace.operations if operation.kind is Kind.WEIGHT)
        self.uses = [use for use in uses if use is not None]
        self.feeding = Counter(producer.weight for layer in graph for producer in layer.producers)
        self.seen = {self.index.name_of(value.tensor) for op in trace.operations for value in op.inputs}
        names = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        self.registered = Counter(id(tensor) for _, tensor in names)
        self.objects = dict(names)

    def layer(self, layer: NeuronLayer) -> LayerAnatomy:
        """Follow one layer from its weights to its readers."""
        site = self.sites[layer.counted, layer.call]
        arrivals, states = push(self.trace, site.outputs[0], _labels(site.outputs[0], layer.dim), site.index)
        slices, problems, before = self._weights(layer), list(self._narrow_parts(layer)), frozenset[str]()
        for producer in layer.producers:
            found, told, joint = self._ahead(layer, producer, site)
            slices, problems, before = [*slices, *found], [*problems, *told], before | joint
        found, told = self._companions(states, site.index, np.arange(layer.size))
        slices += found
        calls = [each for each in self.trace.operations if each.place in layer.places and each.index != site.index]
        for call in calls:
            arrivals = [
                *arrivals,
                *push(self.trace, call.outputs[0], _labels(call.outputs[0], layer.dim), call.index)[0],
            ]
        joint_behind = _joint(arrivals)
        joint_ahead = (f"{text} before its nonlinearity" for text in sorted(before))
        again = [f"it is computed {len(calls) + 1} times in one forward pass"] if calls else []
        problems += [*again, *told, *joint_ahead, *joint_behind, *self._siblings(slices)]
        inexact = next(iter([*joint_behind, *_shifts(arrivals)]), None)
        return LayerAnatomy(layer, tuple(_once(slices)), inexact, next(iter(problems), None))

    def _weights(self, layer: NeuronLayer) -> list[Slice]:
        """Give the slices that the graph knows: rows, their biases, columns."""
        found = []
        for producer in layer.producers:
            rows = _spread(producer.rows, self.tensors[producer.weight].shape[producer.dim])
            found.append(Slice(producer.weight, producer.dim, rows))
            if producer.bias is not None and rows.size in self.tensors[producer.bias].shape:
                bias = self.tensors[producer.bias].shape
                found.append(Slice(producer.bias, tuple(bias).index(rows.size), rows))
        return [*found, *(Slice(reader.weight, reader.dim, reader.columns) for reader in layer.readers)]

    def _narrow_parts(self, layer: NeuronLayer) -> Iterator[str]:
        """Tell which weights of a layer do not belong to it alone, so that they cannot shrink with it."""
        for producer in layer.producers:
            if np.unique(producer.rows[producer.rows >= 0]).size < self.tensors[producer.weight].shape[producer.dim]:
                yield f"its weights are a part of the fused parameter '{producer.weight}'"
            if producer.is_shared:
                yield f"rows of '{producer.weight}' feed several of its neurons each"
            if self.feeding[producer.weight] > 1:
                yield f"rows of '{producer.weight}' also feed another layer of neurons"
            if any(use.groups > 1 for use in self.uses if use.weight == producer.weight):
                yield f"it is made by the grouped convolution '{producer.weight}'"
        for reader in layer.readers:
            if reader.block != (0, self.tensors[reader.weight].shape[1 - reader.dim]):
                yield f"it is read by a group or part of '{reader.weight}'"

    def _ahead(
        self, layer: NeuronLayer, producer: Producer, site: Operation
    ) -> tuple[list[Slice], list[str], frozenset[str]]:
        """Follow one product to the nonlinearity: (companions, problems, ways in which neurons were normalised)."""
        use = self._use_of(producer)
        value = use.operation.outputs[0]
        labels = _labels(value, 1 if use.operation.name == "convolution" else value.tensor.dim() - 1)
        _, states = push(self.trace, value, labels, use.operation.index)
        before = {number: state for number, state in states.items() if not state.crossed}
        rows = _spread(producer.rows, self.tensors[producer.weight].shape[producer.dim])[slice(*use.outputs)]
        found, told = self._companions(before, use.operation.index, rows)
        joint = (before[each.number].caveats for each in site.inputs if each.number in before)
        return found, told, frozenset[str]().union(*joint)

    def _use_of(self, producer: Producer) -> WeightUse:
        """Find the product that made these rows; a weight that is used twice would have been an obstacle."""
        row = producer.rows[producer.rows >= 0][0]
        mine = (use for use in self.uses if use.weight == producer.weight)
        return next(use for use in mine if use.outputs[0] <= row < use.outputs[1])

    def _companions(
        self, states: Mapping[int, Carried], after: int, neurons: IntArray
    ) -> tuple[list[Slice], list[str]]:
        """Find the tensors that meet labelled values element by element; label l stands for ``neurons[l - 1]``."""
        found: list[Slice] = []
        problems: list[str] = []
        for operation in self.trace.operations[after + 1 :]:
            met = next((states[value.number] for value in operation.inputs if value.number in states), None)
            if met is None or met.labels is None or operation.kind in (Kind.WEIGHT, Kind.MOVE):
                continue
            for value in operation.inputs:
                name = None if value.number in states else self.index.name_of(value.tensor)
                if name is not None:
                    meeting = owners_of(operation, value, self.tensors[name], met.labels, neurons)
                    problems += [f"'{name}' {meeting}"] if isinstance(meeting, str) else []
                    found += [Slice(name, *meeting)] if isinstance(meeting, tuple) else []
        return found, problems

    def _siblings(self, slices: Iterable[Slice]) -> Iterator[str]:
        """Tell of tensors under other names, and of those beside a slice that the traced pass did not use."""
        for each in slices:
            if self.registered[id(self.objects[each.tensor])] > 1:
                yield f"'{each.tensor}' is shared with another module"
            home = each.tensor.rpartition(".")[0]
            for name, tensor in self.tensors.items():
                if name.rpartition(".")[0] == home and tensor.dim() and name not in self.seen:
                    yield f"'{name}' beside its weights was not used in the traced pass, and may belong to its neurons"


def _at_readers(arrivals: Iterable[Arrival]) -> list[Carried]:
    return [arrival.carried for arrival in arrivals if arrival.operation.kind is Kind.WEIGHT]


def _joint(arrivals: Iterable[Arrival]) -> list[str]:
    """Tell how neurons touch one another between the nonlinearity and its readers."""
    return sorted({f"{text} behind its nonlinearity" for each in _at_readers(arrivals) for text in each.caveats})


def _shifts(arrivals: Iterable[Arrival]) -> list[str]:
    """Tell where zero becomes something else between the nonlinearity and its readers."""
    shifted = {each.shifted for each in _at_readers(arrivals) if each.shifted}
    return [f"a silent neuron still sends a constant through '{name}'" for name in sorted(shifted)]


def _once(slices: Iterable[Slice]) -> Iterator[Slice]:
    """Drop a slice that was found twice: a bias that is added apart from its product, a weight with two readers."""
    seen: set[tuple[str, int, bytes]] = set()
    for each in slices:
        place = (each.tensor, each.dim, each.owners.tobytes())
        if place not in seen:
            seen.add(place)
            yield each
