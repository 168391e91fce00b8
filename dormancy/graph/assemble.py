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
from dormancy.errors import NetworkError, UsageError
from dormancy.graph.custom_activations import operation_keys, with_activations
from dormancy.graph.flow import Arrival, Carried, push
from dormancy.graph.neurons import NeuronGraph, NeuronLayer, Producer, Reader
from dormancy.graph.ops import Kind, tensors_in
from dormancy.graph.trace import Operation, Place, Trace, Value, counted_calls, record
from dormancy.graph.weights import ParameterIndex, WeightUse

__all__ = ["assemble", "trace_neurons"]

_GATES = frozenset({"sigmoid", "hardsigmoid"})
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
    value: Value
    level: int = 0
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
        if self.operation.cell is not None:
            return True
        if self.operation.built_in in _GATES and self.readers and all(each.carried.gates for each in self.readers):
            return False  # a gate is not a neuron
        read = self.operation.built_in is not None or any(not each.carried.mixed for each in self.readers)
        return bool(self.upstream) and bool(self.readers) and read

    @property
    def raw(self) -> list[_Made]:
        """What weights make of it with no other activation in between."""
        return [each for each in self.producers if not each.carried.crossed]

    @property
    def place(self) -> Place:
        """Where its values are computed."""
        module, name, number = self.operation.place
        return (module, name, self.level if self.operation.cell is not None else number)


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
    tensor = site.value.tensor
    if site.operation.cell is not None:
        return tensor.dim() - 1
    for made in site.producers:
        labels = made.carried.labels
        if labels is not None and len(varying := _varying_dims(labels.expand(tensor.shape))) == 1:
            return varying[0]
    convolved = any(operation.name == "convolution" for operation, _ in site.upstream)
    return 1 if tensor.dim() == 4 or (tensor.dim() == 3 and convolved) else tensor.dim() - 1


def _has_no_rows(operation: Operation) -> bool:
    return any(value.tensor.numel() == 0 for value in operation.outputs)


def _is_labelled(made: _Made) -> bool:
    return made.carried.labels is not None


def _rows(producers: list[Producer]) -> list[tuple[str, int, bytes]]:
    return [(each.weight, each.dim, each.rows.tobytes()) for each in producers]


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
        self.used = {self.index.name_of(value.tensor) for operation in trace.operations for value in operation.inputs}
        cells_called = {operation.place[0] for operation in trace.operations if operation.cell is not None}
        self.used |= {name for name in trace.parameters if name.rpartition(".")[0] in cells_called}
        self.sites = {
            operation.index: _Site(operation, call, counted, operation.outputs[0])
            for operation, (counted, call) in counted_calls(trace.operations)
            if operation.kind is Kind.ACTIVATION and operation.varying
        }
        weights = [operation for operation in trace.operations if operation.kind is Kind.WEIGHT and operation.varying]
        self.uses = {operation.index: self._uses(operation) for operation in weights}
        cells = [operation for operation in trace.operations if operation.cell is not None and operation.varying]
        self.states = [
            _Site(operation, 0, "state", operation.outputs[level], level)
            for operation in cells
            for level in range(len(operation.cell.states))  # type: ignore[union-attr]
        ]
        self.uses |= {operation.index: list(self._read_by_cell(operation)) for operation in cells}
        self.located = [use for uses in self.uses.values() for use in uses]
        self.journeys: dict[int, tuple[list[Arrival], dict[int, Carried]]] = {}
        for operation in weights:
            self._follow_weight(operation)
        for site in (*self.sites.values(), *self.states):
            self._follow_site(site)
        self.order = sorted(
            (site for site in (*self.sites.values(), *self.states) if site.is_layer),
            key=lambda site: (site.operation.index, site.level),
        )
        self.groups = self._grouped()
        for group in self.groups:
            if len(group) > 1:
                self._follow_together(group)
        self.reached = {id(site): self._reached_from(site) for site in self.order}

    def _follow_together(self, group: list[_Site]) -> None:
        """Follow all calls of one layer at once: where values are stacked or summed, they are one neuron's."""
        labels = {site.value.number: _channel_labels(site.value.tensor.shape, _neuron_dim(site)) for site in group}
        first = group[0]
        arrivals, _ = push(self.trace, first.value, labels[first.value.number], first.operation.index, labels)
        for site in group:
            site.readers = []
        first.readers = [each for each in arrivals if each.operation.kind is not Kind.ACTIVATION]

    def _uses(self, operation: Operation) -> list[WeightUse]:
        use = self.index.use(operation)
        return [] if use is None else [use]

    def _read_by_cell(self, operation: Operation) -> Iterator[WeightUse]:
        """Describe what a recurrent module does with its data: a product with the weights of its first level."""
        assert operation.cell is not None
        for weight in operation.cell.weights:
            if weight in self.trace.parameters:
                rows, columns = self.trace.parameters[weight].shape
                yield WeightUse(operation, operation.inputs[0], weight, None, 0, (0, rows), 1, (0, columns), -1, 1)

    def _grouped(self) -> list[list[_Site]]:
        """Put the calls of one layer together: the nth activation behind each use of the same weight is the same."""
        home = {id(site): [site] for site in self.order}

        def unite(first: _Site, second: _Site) -> None:
            one, other = home[id(first)], home[id(second)]
            if (
                one is not other
                and first.value.tensor.shape[_neuron_dim(first)] == second.value.tensor.shape[_neuron_dim(second)]
            ):
                one += other
                for site in other:
                    home[id(site)] = one

        fed: dict[tuple[str, tuple[int, int]], dict[int, list[_Site]]] = {}
        for site in self.order:
            for use in {made.use.operation.index: made.use for made in site.raw}.values():
                fed.setdefault((use.weight, use.outputs), {}).setdefault(use.operation.index, []).append(site)
            if site.operation.cell is not None:
                key = (f"{site.operation.place[0]}\n{site.level}", (0, 0))
                fed.setdefault(key, {})[site.operation.index] = [site]
        for calls in fed.values():
            first, *others = calls.values()
            for other in others:
                for one, two in zip(first, other, strict=False):
                    unite(one, two)
                first = first if len(first) >= len(other) else other
        groups = {id(group): group for group in home.values()}
        for group in groups.values():
            group.sort(key=lambda site: (site.operation.index, site.level))
        return sorted(groups.values(), key=lambda group: (group[0].operation.index, group[0].level))

    def _reached_from(self, site: _Site) -> frozenset[int]:
        """Number the operations that depend on a layer's values, through whatever lies in between."""
        values, found = {site.value.number}, set[int]()
        for operation in self.trace.operations[site.operation.index :]:
            if operation.index != site.operation.index and any(each.number in values for each in operation.inputs):
                found.add(operation.index)
                values |= {each.number for each in operation.outputs}
        return frozenset(found)

    def _follow_weight(self, operation: Operation) -> None:
        """Find the nonlinearities that this product feeds."""
        use, origin = next(iter(self.uses[operation.index]), None), operation.outputs[0]
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
        labels = _channel_labels(site.value.tensor.shape, _neuron_dim(site))
        arrivals, states = push(self.trace, site.value, labels, site.operation.index)
        site.readers = [each for each in arrivals if each.operation.kind is not Kind.ACTIVATION]
        site.is_result = any(number in states for number in self.trace.results)

    def layers(self) -> Iterable[NeuronLayer]:
        names: Counter[str] = Counter()
        feeders = Counter(
            weight
            for group in self.groups
            for weight in {made.use.weight for site in group for made in site.producers if _is_labelled(made)}
        )
        for group in self.groups:
            name = self._name(next((site for site in group if any(map(_is_labelled, site.raw))), group[0]))
            names[name] += 1
            numbered = name if names[name] == 1 else f"{name}#{names[name]}"
            yield self._layer(group, numbered, feeders)

    def _name(self, site: _Site) -> str:
        clean = [made.use for made in site.raw if made.carried.labels is not None]
        if clean:
            return "+".join(dict.fromkeys(use.weight.removesuffix(".weight") for use in clean))
        module, cell = site.operation.module, site.operation.cell
        if cell is not None:
            level = f".l{site.level}" if len(cell.states) > 1 else ""
            return (site.operation.place[0] or cell.name) + level
        return f"{module}.{site.operation.activation}" if module else f"{site.operation.activation}{site.call}"

    def unfollowed(self) -> Iterator[str]:
        """Name the products with batched weights: the members of an ensemble are not told apart."""
        seen: set[str] = set()
        for operation in self.trace.operations:
            if operation.varying and operation.name in ("bmm", "baddbmm"):
                fixed = [value for value in operation.inputs if value.number not in self.trace.varying]
                weights = [self.index.name_of(value.tensor) or "" for value in fixed if value.tensor.dim() == 3]
                if weights and (key := self.keys[operation.index]) not in seen:
                    seen.add(key)
                    name = next(filter(None, weights), "")
                    what = f"'{name}'" if name else "a batched weight"
                    yield (
                        f"{what} at '{key}' multiplies a batch of matrices, as in an ensemble with weights (members, "
                        "inputs, outputs): its units are not scored, pruned or recycled; scan each member as a network"
                    )

    def unplaced(self) -> Iterator[str]:
        """Name the weights whose outputs pass something that is not affine, but no activation, before other weights."""
        for number, (arrivals, states) in self.journeys.items():
            sites = [self.sites.get(each.operation.index) for each in arrivals]
            if any(site is not None and site.is_layer for site in sites):
                continue
            for arrival in arrivals:
                culprit = self._culprit(number, arrival, states) if arrival.operation.kind is Kind.WEIGHT else None
                if culprit is not None:
                    use, key = next(iter(self.uses[number]), None), self.keys.get(culprit.index, culprit.name)
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

    def _is_penultimate(self, group: list[_Site]) -> bool:
        """Whether no other layer depends on this one: it is the last hidden one before the outputs."""
        others = {site.operation.index for other in self.groups if other is not group for site in other}
        levels = {(site.operation.index, site.level) for other in self.groups if other is not group for site in other}
        inner = any((site.operation.index, site.level + 1) in levels for site in group)
        return not inner and not any(others & self.reached[id(site)] for site in group)

    def _read_at(self, group: list[_Site]) -> tuple[list[Arrival], list[Place]]:
        """Find where the first weight behind a penultimate layer reads it, in each of its calls."""
        mine = {site.operation.index for site in group}
        behind = [
            arrival
            for site in group
            for arrival in site.readers
            if arrival.operation.kind is Kind.WEIGHT and not self._leads_to(arrival.operation.index, mine)
        ]
        names = [[use.weight for use in self.uses.get(arrival.operation.index, ())] for arrival in behind]
        found = [arrival for arrival, name in zip(behind, names, strict=True) if name == names[0]]
        return found, [arrival.operation.place for arrival in found]

    def _leads_to(self, start: int, ends: set[int]) -> bool:
        values = {value.number for value in self.trace.operations[start].outputs}
        for operation in self.trace.operations[start + 1 :]:
            if any(value.number in values for value in operation.inputs):
                if operation.index in ends:
                    return True
                values |= {value.number for value in operation.outputs}
        return False

    def _layer(self, group: list[_Site], name: str, feeders: Counter[str]) -> NeuronLayer:
        site = group[0]
        dim = _neuron_dim(site)
        size = site.value.tensor.shape[dim]
        producers, obstacle = self._producers(group, dim, size)
        readers, reader_obstacle = self._readers(group, size)
        obstacle = self._recurrence(group) or obstacle or reader_obstacle or self._untraced(producers, readers)
        if any(each.is_result for each in group):
            obstacle = obstacle or "its values are an output of the network"
        obstacle = obstacle or next((reason for each in group if (reason := self._elsewhere(each, group))), None)
        caveats = {text for each in group for text in self._caveats(each, producers, feeders)}
        penultimate = self._is_penultimate(group)
        arrivals, places = self._read_at(group) if penultimate else ([], [])
        columns = None
        if arrivals and (uses := self.uses.get(arrivals[0].operation.index)) and arrivals[0].carried.labels is not None:
            columns = _one_column_each(arrivals[0].carried.labels, uses[0].channel_dim, size)
        return NeuronLayer(
            name=name,
            size=size,
            activation=site.operation.cell.name if site.operation.cell is not None else str(site.operation.activation),
            producers=producers,
            readers=readers,
            obstacle=obstacle,
            caveat="; ".join(sorted(caveats)) or None,
            call=site.call,
            dim=dim,
            penultimate=penultimate,
            counted=site.counted,
            places=tuple(dict.fromkeys(each.place for each in group)),
            read_at=tuple(dict.fromkeys(places)),
            read_columns=columns,
            is_inner_state=site.operation.cell is not None and site.level < len(site.operation.cell.states) - 1,
        )

    def _untraced(self, producers: tuple[Producer, ...], readers: tuple[Reader, ...]) -> str | None:
        """Name a parameter beside the weights that has their shape and was not used: a path of training alone."""
        weights = [each.weight for each in producers] + [each.weight for each in readers]
        for weight in dict.fromkeys(weights):
            home, parameter = weight.rpartition(".")[0], self.trace.parameters[weight]
            for name, other in self.trace.parameters.items():
                if name.rpartition(".")[0] == home and other.shape == parameter.shape and name not in self.used:
                    return f"'{name}' beside its weights is not used in evaluation mode, and may change it in training"
        return None

    def _recurrence(self, group: list[_Site]) -> str | None:
        if group[0].operation.cell is not None:
            return "it is the state of a recurrent module, which feeds itself at the next step"
        indices = {site.operation.index for site in group}
        if any(indices & self.reached[id(site)] for site in group):
            return "it is a recurrent state: its values feed the same layer at the next step"
        return None

    def _producers(self, group: list[_Site], dim: int, size: int) -> tuple[tuple[Producer, ...], str | None]:
        """Map neurons to weight rows, the same in each call, or tell why that cannot be done."""
        if group[0].operation.cell is not None:
            return (), None
        calls = {made.use.operation.index for site in group for made in site.producers}
        found: list[list[Producer]] = []
        for site in group:
            producers, obstacle = self._producers_of(site, dim, size, calls)
            if obstacle is not None:
                return (), obstacle
            found.append(producers)
        if any(_rows(each) != _rows(found[0]) for each in found):
            return (), "its neurons are not the same rows of weights in each call"
        return tuple(found[0]), None

    def _producers_of(self, site: _Site, dim: int, size: int, calls: set[int]) -> tuple[list[Producer], str | None]:
        found: list[Producer] = []
        located = {made.use.operation.index for made in site.producers}
        own = [made.use for made in site.raw]
        for operation, carried in site.upstream:
            if operation.index not in located:
                return [], f"the weights of '{operation.name}' in '{operation.module}' are not plain parameters"
            if carried.labels is None:
                return [], carried.reason
        several = len(site.operation.roots) > 1
        for root in site.operation.roots:
            mine = [made for made in (site.raw if several else site.producers) if made.root == root.number]
            times_made = np.zeros(size, dtype=np.int64)
            for made in mine:
                use = made.use
                assert made.carried.labels is not None
                labels = made.carried.labels.expand(site.value.tensor.shape)
                rows = _one_column_each(labels, dim, use.outputs[1] - use.outputs[0])
                if rows is None:
                    return [], f"its neurons are not rows of '{use.weight}'"
                sharing = [other for other in self.located if use.shares_rows_with(other)]
                here = {each.operation.index for each in own if use.shares_rows_with(each)}
                if len(here) > 1 or any(other.operation.index not in calls for other in sharing):
                    return [], f"its weights '{use.weight}' are used {len(sharing)} times in one forward pass"
                times_made += rows >= 0
                rows = np.where(rows < 0, -1, rows + use.outputs[0])
                found.append(Producer(use.weight, use.bias, rows, use.outputs_dim))
            if several and not mine:
                return [], f"it also depends on values that no weight makes, at '{site.operation.name}'"
            if (times_made != 1).any():
                return [], "its neurons are not each made by one row of weights"
        return found, None

    def _elsewhere(self, site: _Site, group: list[_Site]) -> str | None:
        """Tell where else the producing weights act, past the nonlinearity: new rows would act there too."""
        if site.feeds_result:
            return "what goes into its nonlinearity is also an output of the network"
        for arrival in site.siblings:
            other = self.sites.get(arrival.operation.index)
            if other not in group and (other is None or not other.is_layer or arrival.carried.labels is None):
                where = arrival.carried.reason or f"at '{arrival.operation.name}' in '{arrival.operation.module}'"
                return f"what goes into its nonlinearity is also used elsewhere: {where}"
        return None

    def _readers(self, group: list[_Site], size: int) -> tuple[tuple[Reader, ...], str | None]:
        """Map neurons to weight columns, or tell why that cannot be done."""
        found: dict[tuple[str, int, bytes, tuple[int, int]], Reader] = {}
        maps: dict[tuple[int, str], set[bytes]] = {}
        for site in group:
            for arrival in site.readers:
                uses = self.uses.get(arrival.operation.index)
                if not uses:
                    return (), f"the weights that read it at '{arrival.operation.name}' are not plain parameters"
                if arrival.carried.labels is None:
                    return (), arrival.carried.reason
                for use in uses:
                    columns = _one_column_each(arrival.carried.labels, use.channel_dim, size)
                    if columns is None:
                        return (), f"'{use.weight}' reads its positions, not its neurons"
                    maps.setdefault((arrival.operation.index, use.weight), set()).add(columns.tobytes())
                    for each in _split_groups(use, columns, self.trace.parameters[use.weight].shape[use.inputs_dim]):
                        found[each.weight, each.dim, each.columns.tobytes(), each.block] = each
        for number, weight in maps:
            for use in (each for each in self.uses[number] if each.weight == weight):
                sharing = [other for other in self.located if use.shares_columns_with(other)]
                if any(maps.get((each.operation.index, each.weight)) != maps[number, weight] for each in sharing):
                    return (), f"'{weight}' reads it and is used {len(sharing)} times in one forward pass"
        return tuple(found.values()), None

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
    return NeuronGraph(tuple(assembly.layers()), (*assembly.unplaced(), *assembly.unfollowed()))


def trace_neurons(model: nn.Module, inputs: Any, activations: Mapping[str, str] | None = None) -> NeuronGraph:
    """Trace one forward pass of `model` on `inputs` and return its neuron layers with exact column maps.

    `inputs` is what the network takes: a tensor of shape (batch, ...) with at least one row, a tuple of tensors, or a
    mapping of keyword arguments. One or two rows are enough. The network is left as it was, to the bit.

    `activations` names nonlinearities that the network writes out, ``{"net.mul": "glu"}``: a module whose output they
    are, or an operation in a module ("mul" in the outermost one, "mul#2" the second). ``x * sigmoid(x)`` and its like
    need no name. Raises `NetworkError` when the network does not take the inputs, `UsageError` for an unknown key.
    """
    trace = record(model, inputs)
    empty = next((each for each in trace.operations if each.kind is Kind.WEIGHT and _has_no_rows(each)), None)
    if empty is not None:
        raise NetworkError(
            f"'{empty.module}' got no rows of the {len(tensors_in(inputs)[0])} that the network was traced with: its "
            "path depends on its inputs, as in top-k experts, and such layers are not scored; scan each expert alone"
        )
    graph = assemble(with_activations(trace, activations or {}))
    for key, name in (activations or {}).items():
        if all(layer.activation != name for layer in graph):
            raise UsageError(f"{key}={name}: no layer; what {key!r} gives is not fed by weights, or none read it")
    return graph
