"""Find nonlinearities by what operations do, whatever they are called.

Between a weight and the weights that read it lies a region of operations that work element by element: every value
keeps its position. If anything in a region is not affine, the last such value before the readers is the layer's
activation: ``F.relu(x) ** 2``, a GELU that is typed out, ``torch.where``, a product of two weights.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, final

import torch

from dormancy.graph.behaviour import bends, evaluate, keeps_positions
from dormancy.graph.names import name_of_function
from dormancy.graph.ops import Kind
from dormancy.graph.trace import Operation, Trace, Value

__all__ = ["Site", "find_sites", "with_probed_kinds"]

ELEMENTWISE = (Kind.ACTIVATION, Kind.POINTWISE)
_GATES = frozenset({"sigmoid", "hardsigmoid"})
_Cores: TypeAlias = "frozenset[int]"


@final
@dataclass(frozen=True, eq=False)
class Site:
    """The last value of a region that is not affine: the output of operation `index`.

    `roots` are the values that the region begins with; element by element, the activation is a function of them.
    """

    index: int
    name: str
    roots: tuple[Value, ...]


def with_probed_kinds(trace: Trace) -> Trace:
    """Return the trace with unknown operations that turn out to work element by element marked as such."""
    operations = tuple(
        replace(operation, kind=Kind.POINTWISE)
        if operation.kind is Kind.UNKNOWN and operation.varying and keeps_positions(operation, trace.varying)
        else operation
        for operation in trace.operations
    )
    return replace(trace, operations=operations)


@final
@dataclass(eq=False)
class _Node:
    """What is known of one value: `bent` is relative to the roots, `activated` to the last weights before them.

    `origins` are the products with weights (by operation) that the value depends on, with no other weight in between.
    """

    maker: Operation | None
    inputs: tuple[Value, ...] = ()
    roots: dict[int, Value] = field(default_factory=dict)
    bent: bool = False
    activated: bool = False
    origins: frozenset[int] = frozenset()
    cores: _Cores = frozenset()


class _Regions:
    """One walk over the operations in order; every value gets a `_Node`."""

    def __init__(self, trace: Trace, parameters: frozenset[int]) -> None:
        self.trace = trace
        self.parameters = parameters
        self.nodes: dict[int, _Node] = {}
        self.consumers: defaultdict[int, list[Operation]] = defaultdict(list)
        for operation in trace.operations:
            if operation.varying:
                for value in dict.fromkeys(operation.inputs):
                    self.consumers[value.number].append(operation)
        for operation in trace.operations:
            if operation.varying:
                self._visit(operation)

    def node(self, value: Value) -> _Node:
        """Return what is known of a value; one that nothing made is an input of the network."""
        return self.nodes.setdefault(value.number, _Node(None, roots={value.number: value}))

    def exits(self, number: int) -> bool:
        """Whether something else than an element-by-element operation takes this value in, or nothing does."""
        consumers = self.consumers.get(number, ())
        return number in self.trace.results or any(each.kind not in ELEMENTWISE for each in consumers)

    def _visit(self, operation: Operation) -> None:
        inputs = tuple(dict.fromkeys(value for value in operation.inputs if value.number in self.trace.varying))
        if operation.kind in ELEMENTWISE and not operation.stale:
            made = self._elementwise(operation, inputs)
            for value in operation.outputs:
                self.nodes[value.number] = replace(made, roots=made.roots or {value.number: value})
            return
        nodes = [self.node(value) for value in inputs]
        weight = operation.kind is Kind.WEIGHT
        origins = frozenset({operation.index}) if weight else frozenset().union(*(each.origins for each in nodes))
        activated = not weight and any(each.activated or each.bent for each in nodes)
        for value in operation.outputs:
            self.nodes[value.number] = _Node(
                operation, inputs, {value.number: value}, activated=activated, origins=origins
            )

    def _elementwise(self, operation: Operation, inputs: tuple[Value, ...]) -> _Node:
        carriers = self._carriers(operation, inputs)
        nodes = [self.node(value) for value in carriers]
        roots = {number: root for each in nodes for number, root in each.roots.items()}
        made = _Node(
            operation,
            inputs,
            roots,
            bent=any(each.bent for each in nodes),
            activated=any(each.activated for each in nodes),
            origins=frozenset().union(*(each.origins for each in nodes)),
        )
        cores = frozenset().union(*(each.cores for each in nodes))
        joined = any(one.origins & other.origins for i, one in enumerate(nodes) for other in nodes[:i])
        if carriers == inputs and bends(operation, inputs):
            if len(nodes) < 2 or joined or self._is_unit(carriers, nodes):
                made.bent, made.cores = True, frozenset({operation.index})
            else:
                made.bent, made.cores = True, self._without_gates(carriers, nodes)
        elif joined and made.bent:
            made.cores = frozenset({operation.index})
        elif self._gates_a_state(operation, carriers, nodes):
            made.bent, made.cores = False, frozenset()
        else:
            made.cores = cores
            if len(nodes) > 1 and not joined:  # a sum of different branches, as in a residual stream: a new beginning
                made.roots, made.activated = {}, made.activated or made.bent
                made.bent = False
        return made

    @staticmethod
    def _carriers(operation: Operation, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        """Leave out factors that are one number a row, such as a router's share or a norm: they only scale."""
        shape = operation.outputs[0].tensor.shape
        if len(inputs) < 2 or len(shape) < 2:
            return inputs
        dim = 1 if len(shape) == 4 else len(shape) - 1
        place = dim - len(shape)

        def is_whole(value: Value) -> bool:
            return value.tensor.dim() >= -place and value.tensor.shape[place] == shape[place]

        return tuple(value for value in inputs if is_whole(value)) or inputs

    def _is_gate(self, node: _Node) -> bool:
        makers = [self.trace.operations[index] for index in node.cores]
        return bool(makers) and all(maker.built_in in _GATES for maker in makers)

    def _is_unit(self, values: tuple[Value, ...], nodes: list[_Node]) -> bool:
        """Whether a product (or maximum) of different weights makes new units, as in gated linear units and maxout.

        It does where one of the factors was not an activation before. A gate within 0..1 makes a unit of what it
        multiplies unless that is read by other weights, too (a recurrent state, the features of a squeeze-excitation).
        """
        made = [bool(each.origins) for each in nodes]
        raw = [not (each.bent or each.activated) for each in nodes]
        if any(r for r, m in zip(raw, made, strict=True) if m):
            return all(made) or all(raw)
        gates = [self._is_gate(each) for each in nodes]
        others = [value for value, gate in zip(values, gates, strict=True) if not gate]
        whole = all(self.node(value).origins and not self._is_read(value) for value in others)
        return any(gates) and whole

    def _is_read(self, value: Value) -> bool:
        """Whether a weight reads this value, moved or not."""
        seen, ahead = set[int](), [value.number]
        while ahead:
            number = ahead.pop()
            for consumer in self.consumers.get(number, ()):
                if consumer.kind is Kind.WEIGHT:
                    return True
                if consumer.kind in (Kind.MOVE, Kind.NORM) and consumer.index not in seen:
                    seen.add(consumer.index)
                    ahead += [output.number for output in consumer.outputs]
        return False

    def _without_gates(self, values: tuple[Value, ...], nodes: list[_Node]) -> _Cores:
        """Two activations multiply and stay what they are; a gate is not a layer of neurons."""
        kept = [each.cores for each in nodes if not self._is_gate(each)]
        return frozenset().union(*(kept or [each.cores for each in nodes]))

    def _gates_a_state(self, operation: Operation, carriers: tuple[Value, ...], nodes: list[_Node]) -> bool:
        """Whether a gate multiplies a state that depends on no input yet: the zeros that a recurrence begins with."""
        if operation.name != "mul" or len(nodes) != 1 or not self._is_gate(nodes[0]):
            return False
        shape = carriers[0].tensor.shape
        return any(
            value.tensor.shape == shape and value.number not in self.parameters and value.tensor.dim() > 1
            for value in operation.inputs
            if value.number not in self.trace.varying
        )

    def end(self, core: int, exit_node: _Node) -> int:
        """Return the operation at which an activation ends: `core`, or constants behind it that belong to it.

        ``2 * sigmoid(2 * x) - 1`` is tanh, and ``log(1 + exp(x)) - log(2)`` is 0 at rest: a shift by constants belongs
        to a function that is not 0 at 0. Behind one that is, as ReLU, it is a scale and shift of the layer.
        """
        tail: list[Operation] = []
        node = exit_node
        while node.maker is not None and node.maker.index != core:
            tail.append(node.maker)
            node = self.node(node.inputs[0])
        constant = list(itertools.takewhile(self._takes_constants, reversed(tail)))
        operation = self.trace.operations[core]
        roots = self.nodes[operation.outputs[0].number].roots
        if not constant or len(roots) != 1:
            return core
        root = next(iter(roots.values()))
        try:
            rest = evaluate(self._between(operation, roots), root, torch.zeros_like(root.tensor), operation)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return core
        return core if bool((rest == 0).all()) else constant[-1].index

    def _takes_constants(self, operation: Operation) -> bool:
        others = [value for value in operation.inputs if value.number not in self.trace.varying]
        return all(value.tensor.dim() == 0 and value.number not in self.parameters for value in others)

    def site(self, index: int, name: str | None = None) -> Site:
        """Describe one operation as the activation of its region."""
        operation = self.trace.operations[index]
        node = self.nodes[operation.outputs[0].number]
        if operation.kind not in ELEMENTWISE or operation.stale:  # the user may name any operation
            return Site(index, name or operation.name, operation.outputs[:1])
        roots = node.roots
        found = name or name_of_function(self.trace, operation, self._between(operation, roots), tuple(roots.values()))
        return Site(index, found, tuple(roots.values()))

    def _between(self, last: Operation, roots: Mapping[int, Value]) -> list[Operation]:
        """List the operations of a region that lead from its roots to `last`, in order."""
        found, ahead = {last.index: last}, [last]
        while ahead:
            for value in ahead.pop().inputs:
                node = self.nodes.get(value.number)
                maker = node.maker if node is not None and value.number not in roots else None
                if maker is not None and maker.index not in found:
                    found[maker.index] = maker
                    ahead.append(maker)
        return [found[index] for index in sorted(found)]


def find_sites(trace: Trace, named: Mapping[int, str]) -> dict[int, Site]:
    """Find the activations of a pass by the number of their operation; `named` are operations that the user names."""
    parameters = {id(value) for value in trace.parameters.values()}
    storages = {tensor.untyped_storage().data_ptr() for tensor in trace.parameters.values()}
    numbers = frozenset(
        value.number
        for operation in trace.operations
        for value in operation.inputs
        if id(value.tensor) in parameters or value.tensor.untyped_storage().data_ptr() in storages
    )
    regions = _Regions(trace, numbers)
    ends: defaultdict[int, set[int]] = defaultdict(set)
    for number, node in list(regions.nodes.items()):
        if node.cores and regions.exits(number):
            for core in node.cores:
                ends[core].add(regions.end(core, node) if len(node.cores) == 1 else core)
    chosen = {next(iter(found)) if len(found) == 1 else core for core, found in ends.items()}
    floating = {index for index in chosen if trace.operations[index].outputs[0].tensor.is_floating_point()}
    sites = {index: regions.site(index, named.get(index)) for index in floating | set(named)}
    return {index: sites[index] for index in sorted(sites)}
