"""From a recorded pass to the `NeuronGraph`: which nonlinearities are layers, who feeds them, who reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.arrays import IntArray
from dormancy.errors import UsageError
from dormancy.graph.custom_activations import operation_keys, with_activations
from dormancy.graph.flow import Arrival, Carried, push
from dormancy.graph.neurons import NeuronGraph, NeuronLayer, Producer, Reader
from dormancy.graph.ops import Kind
from dormancy.graph.trace import Operation, Trace, counted_calls, record
from dormancy.graph.weights import ParameterIndex, WeightUse

__all__ = ["assemble", "trace_neurons"]

_ATTENTION = ("softmax", "attention", "bmm", "mm", "matmul")


@final
@dataclass(frozen=True, eq=False)
class _Made:
    """What one product with weights carries to one root of an activation."""

    use: WeightUse
    carried: Carried
    root: int


@final
@dataclass(eq=False)
class _Site:
    """A nonlinearity on its way to becoming a layer."""

    operation: Operation
    call: int
    counted: str | None
    producers: list[_Made] = field(default_factory=list)
    upstream: list[tuple[Operation, Carried]] = field(default_factory=list)
    readers: list[Arrival] = field(default_factory=list)
    siblings: list[Arrival] = field(default_factory=list)
    is_result: bool = False
    feeds_result: bool = False

    @property
    def is_layer(self) -> bool:
        """An activation between weights.

        One that no weight reads is an output squash. One that is only read as a statistic, mixed with others, as the
        squares behind a norm are, is a layer only if it is a nonlinearity by itself.
        """
        read = self.operation.built_in is not None or any(not each.carried.mixed for each in self.readers)
        return bool(self.upstream) and bool(self.readers) and read

    @property
    def raw(self) -> list[_Made]:
        """What weights make of it with no other activation in between."""
        return [each for each in self.producers if not each.carried.crossed]


def _varying_dims(labels: Tensor) -> list[int]:
    return [dim for dim in range(labels.dim()) if not torch.equal(labels, labels.narrow(dim, 0, 1).expand_as(labels))]


def _channel_labels(size: torch.Size, dim: int) -> Tensor:
    """Number the channels of a tensor 1..C along `dim`."""
    shape = [1] * len(size)
    shape[dim] = size[dim]
    return torch.arange(1, size[dim] + 1, dtype=torch.float64).view(shape).expand(size).clone()


def _one_column_each(labels: Tensor, dim: int, neurons: int) -> IntArray | None:
    """Read off the neuron of every position along `dim`, -1 for data from elsewhere.

    None when it differs between rows or places; zeros of padding (label 0) do not count as a difference.
    """
    places = labels.movedim(dim, 0).flatten(1)
    columns = places.amax(dim=1)
    if not ((places == columns[:, None]) | (places == 0)).all():
        return None
    columns[columns > neurons] = 0
    return columns.long().numpy() - 1


def _neuron_dim(site: _Site) -> int:
    """Find the dimension that counts neurons: the one along which the producing rows differ, where that is known."""
    tensor = site.operation.outputs[0].tensor
    for made in site.producers:
        labels = made.carried.labels
        if labels is not None and len(varying := _varying_dims(labels.expand(tensor.shape))) == 1:
            return varying[0]
    convolved = any(operation.name == "convolution" for operation, _ in site.upstream)
    return 1 if tensor.dim() == 4 or (tensor.dim() == 3 and convolved) else tensor.dim() - 1


def _split_groups(use: WeightUse, columns: IntArray, fan_in: int) -> Iterable[Reader]:
    """Give one `Reader` a group; positions of the weight outside the range that was used read nothing."""
    outputs = (use.outputs[1] - use.outputs[0]) // use.groups
    for group, part in enumerate(np.split(columns, use.groups)):
        if (part >= 0).any():
            spread = np.full(fan_in, -1, dtype=np.int64)
            spread[use.inputs[0] : use.inputs[1]] = part
            first = use.outputs[0] + group * outputs
            yield Reader(use.weight, use.inputs_dim, spread, (first, first + outputs))


@final
class _Assembly:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.index = ParameterIndex(trace.parameters)
        self.keys = operation_keys(trace.operations)
        self.sites = {
            operation.index: _Site(operation, call, counted)
            for operation, (counted, call) in counted_calls(trace.operations)
            if operation.kind is Kind.ACTIVATION and operation.varying
        }
        weights = [operation for operation in trace.operations if operation.kind is Kind.WEIGHT and operation.varying]
        self.uses = {operation.index: self.index.use(operation) for operation in weights}
        self.located = [use for use in self.uses.values() if use is not None]
        self.journeys: dict[int, tuple[list[Arrival], dict[int, Carried]]] = {}
        for operation in weights:
            self._follow_weight(operation)
        for site in self.sites.values():
            self._follow_site(site)

    def _follow_weight(self, operation: Operation) -> None:
        """Find the nonlinearities that this product feeds."""
        use, origin = self.uses[operation.index], operation.outputs[0]
        dim = 1 if operation.name == "convolution" else origin.tensor.dim() - 1
        arrivals, states = push(self.trace, origin, _channel_labels(origin.tensor.shape, dim), operation.index)
        if use is not None and use.bias is None:
            use = replace(use, bias=self._added_bias(states, operation))
        self.journeys[operation.index] = arrivals, states
        siblings = [arrival for arrival in arrivals if not arrival.carried.crossed]
        feeds_result = any(number in states and not states[number].crossed for number in self.trace.results)
        for site in self.sites.values():
            reached = [(root.number, states[root.number]) for root in site.operation.roots if root.number in states]
            if reached:
                site.siblings += siblings
                site.feeds_result |= feeds_result
                if site.operation.roots == site.operation.outputs[:1]:  # named by the user, and its own beginning
                    reached = [(root, replace(carried, crossed=carried.crossed - 1)) for root, carried in reached]
                site.upstream += [(operation, carried) for _, carried in reached]
                if use is not None:
                    site.producers += [_Made(use, carried, root) for root, carried in reached]

    def _added_bias(self, states: dict[int, Carried], product: Operation) -> str | None:
        """Find a parameter that is added to the product, one element a row: its bias by another way."""
        for operation in self.trace.operations[product.index + 1 :]:
            if operation.name != "add" or not any(value.number in states for value in operation.inputs):
                continue
            state = states.get(operation.outputs[0].number)
            for value in operation.inputs:
                name = self.index.whole(value)
                if name is None or state is None or state.labels is None or state.crossed:
                    continue
                numbers = torch.arange(1, value.tensor.numel() + 1, dtype=torch.float64).view(value.tensor.shape)
                if torch.equal(numbers.expand_as(state.labels), state.labels):
                    return name
        return None

    def _follow_site(self, site: _Site) -> None:
        """Find the weights that read this nonlinearity, and whether it is itself a result."""
        value = site.operation.outputs[0]
        labels = _channel_labels(value.tensor.shape, _neuron_dim(site))
        arrivals, states = push(self.trace, value, labels, site.operation.index)
        site.readers = [arrival for arrival in arrivals if arrival.operation.kind is Kind.WEIGHT]
        site.is_result = any(number in states for number in self.trace.results)

    def layers(self) -> Iterable[NeuronLayer]:
        names: Counter[str] = Counter()
        layers = [site for site in self.sites.values() if site.is_layer]
        feeders = Counter(
            weight
            for site in layers
            for weight in {made.use.weight for made in site.producers if made.carried.labels is not None}
        )
        for site in layers:
            name = self._name(site)
            names[name] += 1
            numbered = name if names[name] == 1 else f"{name}#{names[name]}"
            yield self._layer(site, numbered, feeders, self._is_penultimate(site, layers))

    def _name(self, site: _Site) -> str:
        clean = [made.use for made in site.raw if made.carried.labels is not None]
        if clean:
            return "+".join(dict.fromkeys(use.weight.removesuffix(".weight") for use in clean))
        module = site.operation.module
        return f"{module}.{site.operation.activation}" if module else f"{site.operation.activation}{site.call}"

    def unplaced(self) -> Iterator[str]:
        """Name the weights whose outputs pass something that is not affine, but no activation, before other weights."""
        for number, (arrivals, states) in self.journeys.items():
            sites = [self.sites.get(each.operation.index) for each in arrivals]
            if any(site is not None and site.is_layer for site in sites):
                continue
            for arrival in arrivals:
                culprit = self._culprit(number, arrival, states) if arrival.operation.kind is Kind.WEIGHT else None
                if culprit is not None:
                    use, key = self.uses[number], self.keys.get(culprit.index, culprit.name)
                    weight = use.weight if use is not None else self.trace.operations[number].module
                    yield (
                        f"'{weight}': its outputs are no layer, for nothing is known about '{key}' behind it; if that "
                        f"is the activation, name it: --activation-at {key}={culprit.name}, activations="
                        f"{{{key!r}: {culprit.name!r}}}"
                    )
                    break

    def _culprit(self, start: int, arrival: Arrival, states: Mapping[int, Carried]) -> Operation | None:
        """Find the last operation on the way from a product to a weight that is neither affine nor a norm."""
        for operation in reversed(self.trace.operations[start + 1 : arrival.operation.index]):
            if operation.stale or not any(value.number in states for value in operation.inputs):
                continue
            if any(word in operation.name for word in _ATTENTION):
                return None
            pooled = operation.kind is Kind.MOVE and ("max" in operation.name)
            if pooled or operation.kind in (Kind.UNKNOWN, Kind.ACTIVATION):
                return operation
        return None

    def _is_penultimate(self, site: _Site, layers: list[_Site]) -> bool:
        """Whether no weight that reads this layer feeds another one."""
        feeding = {operation.index for other in layers for operation, _ in other.upstream}
        return not any(arrival.operation.index in feeding for arrival in site.readers)

    def _layer(self, site: _Site, name: str, feeders: Counter[str], penultimate: bool) -> NeuronLayer:
        dim = _neuron_dim(site)
        size = site.operation.outputs[0].tensor.shape[dim]
        producers, producer_obstacle = self._producers(site, dim, size)
        readers, reader_obstacle = self._readers(site, size)
        result = "its values are an output of the network" if site.is_result else None
        obstacle = producer_obstacle or reader_obstacle or result or self._elsewhere(site)
        caveats = self._caveats(site, producers, feeders)
        return NeuronLayer(
            name=name,
            size=size,
            activation=str(site.operation.activation),
            producers=producers,
            readers=readers,
            obstacle=obstacle,
            caveat="; ".join(caveats) or None,
            call=site.call,
            dim=dim,
            penultimate=penultimate,
            counted=site.counted,
        )

    def _producers(self, site: _Site, dim: int, size: int) -> tuple[tuple[Producer, ...], str | None]:
        """Map neurons to weight rows, or tell why that cannot be done."""
        found: list[Producer] = []
        located = {made.use.operation.index for made in site.producers}
        for operation, carried in site.upstream:
            if operation.index not in located:
                return (), f"the weights of '{operation.name}' in '{operation.module}' are not plain parameters"
            if carried.labels is None:
                return (), carried.reason
        several = len(site.operation.roots) > 1
        for root in site.operation.roots:
            mine = [made for made in (site.raw if several else site.producers) if made.root == root.number]
            times_made = np.zeros(size, dtype=np.int64)
            for made in mine:
                use = made.use
                assert made.carried.labels is not None
                labels = made.carried.labels.expand(site.operation.outputs[0].tensor.shape)
                rows = _one_column_each(labels, dim, use.outputs[1] - use.outputs[0])
                if rows is None:
                    return (), f"its neurons are not rows of '{use.weight}'"
                if (times := sum(use.shares_rows_with(other) for other in self.located)) > 1:
                    return (), f"its weights '{use.weight}' are used {times} times in one forward pass"
                times_made += rows >= 0
                rows = np.where(rows < 0, -1, rows + use.outputs[0])
                found.append(Producer(use.weight, use.bias, rows, use.outputs_dim))
            if several and not mine:
                return (), f"it also depends on values that no weight makes, at '{site.operation.name}'"
            if (times_made != 1).any():
                return (), "its neurons are not each made by one row of weights"
        return tuple(found), None

    def _elsewhere(self, site: _Site) -> str | None:
        """Tell where else the producing weights act, past the nonlinearity: new rows would act there too."""
        if site.feeds_result:
            return "what goes into its nonlinearity is also an output of the network"
        for arrival in site.siblings:
            other = self.sites.get(arrival.operation.index)
            if other is not site and (other is None or not other.is_layer or arrival.carried.labels is None):
                where = arrival.carried.reason or f"at '{arrival.operation.name}' in '{arrival.operation.module}'"
                return f"what goes into its nonlinearity is also used elsewhere: {where}"
        return None

    def _readers(self, site: _Site, size: int) -> tuple[tuple[Reader, ...], str | None]:
        """Map neurons to weight columns, or tell why that cannot be done."""
        found: list[Reader] = []
        for arrival in site.readers:
            use = self.uses.get(arrival.operation.index)
            if use is None:
                return (), f"the weights that read it at '{arrival.operation.name}' are not plain parameters"
            if arrival.carried.labels is None:
                return (), arrival.carried.reason
            columns = _one_column_each(arrival.carried.labels, use.channel_dim, size)
            if columns is None:
                return (), f"'{use.weight}' reads its positions, not its neurons"
            if (times := sum(use.shares_columns_with(other) for other in self.located)) > 1:
                return (), f"'{use.weight}' reads it and is used {times} times in one forward pass"
            found.extend(_split_groups(use, columns, self.trace.parameters[use.weight].shape[use.inputs_dim]))
        return tuple(found), None

    def _caveats(self, site: _Site, producers: tuple[Producer, ...], feeders: Counter[str]) -> list[str]:
        caveats = {f"{text} before its nonlinearity" for made in site.producers for text in made.carried.caveats}
        caveats |= {f"{text} behind its nonlinearity" for arrival in site.readers for text in arrival.carried.caveats}
        for arrival in site.readers:
            if arrival.carried.shifted:
                caveats.add(f"a silent neuron still sends a constant through '{arrival.carried.shifted}'")
        for producer in producers:
            if producer.is_shared:
                caveats.add(f"rows of '{producer.weight}' feed several of its neurons each")
            if feeders[producer.weight] > 1:
                caveats.add(f"rows of '{producer.weight}' also feed another layer of neurons")
        return sorted(caveats)


def assemble(trace: Trace) -> NeuronGraph:
    """Build the graph of a recorded pass."""
    assembly = _Assembly(trace)
    return NeuronGraph(tuple(assembly.layers()), tuple(assembly.unplaced()))


def trace_neurons(model: nn.Module, inputs: Any, activations: Mapping[str, str] | None = None) -> NeuronGraph:
    """Trace one forward pass of `model` on `inputs` and return its neuron layers with exact column maps.

    `inputs` is what the network takes: a tensor of shape (batch, ...) with at least one row, a tuple of tensors, or a
    mapping of keyword arguments. One or two rows are enough. The network is left as it was, to the bit.

    `activations` names nonlinearities that the network writes out, ``{"net.mul": "glu"}``: a module whose output they
    are, or an operation in a module ("mul" in the outermost one, "mul#2" the second). ``x * sigmoid(x)`` and its like
    need no name. Raises `NetworkError` when the network does not take the inputs, `UsageError` for an unknown key.
    """
    graph = assemble(with_activations(record(model, inputs), activations or {}))
    for key, name in (activations or {}).items():
        if all(layer.activation != name for layer in graph):
            raise UsageError(f"{key}={name}: no layer; what {key!r} gives is not fed by weights, or none read it")
    return graph
