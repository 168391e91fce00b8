"""Where neurons go: labels pushed through a recorded pass.

The channels of one origin (a nonlinearity, or a product with weights) are numbered 1..C. Tensors of these numbers are
pushed through the very operations that the network ran, flatten order, pooling and concatenation included; 0 stands for
a zero of padding, C+1 for data from elsewhere. Two tensors of random keys travel along: wherever an operation mixes
neurons, keys and numbers stop agreeing, so a wrong map cannot pass for a right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from dormancy.graph.behaviour import replay
from dormancy.graph.ops import Kind, aten, kind_of, weight_arguments
from dormancy.graph.trace import Operation, Trace, Value

__all__ = ["Arrival", "Carried", "push"]

_JOINING = (aten.cat, aten.stack)
_KEY_SEEDS = (11, 13)


@final
@dataclass(frozen=True, eq=False)
class Carried:
    """What a value holds of the origin: a label for each element, or the reason why nobody can say.

    `labels` has the shape of the value (float64, see above); None when `reason` tells why they were lost.
    `caveats` are the ways in which neurons of the origin already touched one another. `shifted` names the operation
    after which a silent neuron no longer sends zero. `crossed` counts the activations on the way; `mixed` tells that
    labels were lost because values left their positions, not because something else was added to them.
    """

    labels: Tensor | None
    reason: str | None = None
    caveats: frozenset[str] = frozenset()
    shifted: str | None = None
    crossed: int = 0
    mixed: bool = False
    gates: bool = False


@final
@dataclass(frozen=True, eq=False)
class Arrival:
    """The origin's values reached this operation."""

    operation: Operation
    value: Value
    carried: Carried


def _keys(labels: Tensor, foreign: int, seed: int) -> Tensor:
    """Replace every label by a random number of its own; 0 stays 0."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(foreign + 1, generator=generator, dtype=torch.float64)
    table[0] = 0.0
    return table[labels.long()]


def _moved(operation: Operation, carried: Mapping[int, Carried], foreign: int) -> list[Tensor | None]:
    """Push labels through an operation that moves elements; None where keys show that neurons were mixed."""

    def substitute(transform: Callable[[Tensor], Tensor]) -> Callable[[Value], Any]:
        def value(leaf: Value) -> Any:
            state = carried.get(leaf.number)
            if state is not None and state.labels is not None:
                return transform(state.labels)
            if operation.overload.overloadpacket in _JOINING:
                return transform(torch.full(leaf.tensor.shape, float(foreign), dtype=torch.float64))
            return leaf.tensor.cpu()

        return value

    moved = replay(operation, substitute(lambda labels: labels.clone()))
    results: list[Tensor | None] = [*moved]
    for seed in _KEY_SEEDS:
        checks = replay(operation, substitute(partial(_keys, foreign=foreign, seed=seed)))
        for index, (labels, check) in enumerate(zip(moved, checks, strict=True)):
            rounded = labels.round()
            if not labels.is_floating_point() or not _agree(labels, rounded, check, foreign, seed):
                results[index] = None
    return [None if labels is None else labels.round() for labels in results]


def _agree(labels: Tensor, rounded: Tensor, check: Tensor, foreign: int, seed: int) -> bool:
    """Whether labels are whole numbers and the keys that came along are the keys of these labels."""
    if rounded.numel() == 0 or rounded.min() < 0 or rounded.max() > foreign:
        return False
    whole = torch.allclose(labels, rounded, rtol=0, atol=1e-6)
    return whole and torch.allclose(_keys(rounded, foreign, seed), check, rtol=0, atol=1e-9)


def _sends_zero(operation: Operation, carried: Mapping[int, Carried], labels: Tensor, foreign: int) -> bool:
    """Whether zero in gives zero out, at every element that belongs to the origin."""

    def substitute(leaf: Value) -> Tensor:
        return torch.zeros_like(leaf.tensor) if leaf.number in carried else leaf.tensor.clone()

    result = replay(operation, substitute)[0]
    return bool((result.cpu()[(labels > 0) & (labels < foreign)] == 0).all())


@final
class _Push:
    """One origin's journey; `states` maps a value's number to what it carries."""

    def __init__(self, trace: Trace, origins: Mapping[int, Tensor]) -> None:
        self.trace = trace
        self.origins = origins
        self.foreign = max(int(labels.max()) for labels in origins.values()) + 1
        self.states: dict[int, Carried] = {number: Carried(labels) for number, labels in origins.items()}

    def arrivals(self, after: int) -> Iterator[Arrival]:
        """Walk the operations behind the origin; yield where it meets a nonlinearity or a weight."""
        for operation in self.trace.operations[after + 1 :]:
            carried = {
                value.number: self.states[value.number] for value in operation.inputs if value.number in self.states
            }
            if not carried:
                continue
            if operation.kind in (Kind.WEIGHT, Kind.RECURRENT):
                yield from self._at_weight(operation, carried)
                continue
            if operation.name in ("bmm", "baddbmm") and any(
                value.tensor.dim() == 3 and value.number not in self.trace.varying for value in operation.inputs
            ):  # batched weights, as in an ensemble
                yield from (Arrival(operation, value, self.states[value.number]) for value in self._met(operation))
                continue
            self._step(operation, carried)
            if operation.kind is Kind.ACTIVATION:
                yield self._at_activation(operation, carried)

    def _met(self, operation: Operation) -> list[Value]:
        return [value for value in dict.fromkeys(operation.inputs) if value.number in self.states]

    def _at_activation(self, operation: Operation, carried: Mapping[int, Carried]) -> Arrival:
        """Meet a nonlinearity; one that is written out may have lost the labels among its operands."""
        value = next(value for value in operation.inputs if value.number in carried)
        state, behind = carried[value.number], self.states[operation.outputs[0].number]
        if behind.labels is None:
            state = replace(state, labels=None, reason=behind.reason)
        return Arrival(operation, value, state)

    def _at_weight(self, operation: Operation, carried: Mapping[int, Carried]) -> Iterator[Arrival]:
        data: Any = None
        if operation.cell is not None:
            data = operation.inputs[0]
        else:
            uses = weight_arguments(operation.overload.overloadpacket, operation.arguments)
            data = None if uses is None else uses.data
        for value in dict.fromkeys(operation.inputs):
            if value.number in carried:
                state = carried[value.number]
                if value != data:
                    state = replace(state, labels=None, reason=f"it is not the data but a weight at '{operation.name}'")
                yield Arrival(operation, value, state)

    def _step(self, operation: Operation, carried: Mapping[int, Carried]) -> None:
        caveats = frozenset().union(*(state.caveats for state in carried.values()))
        shifted = next((state.shifted for state in carried.values() if state.shifted), None)
        crossed = max(state.crossed for state in carried.values())
        gates = any(state.gates for state in carried.values()) or self._is_gate(operation, carried)
        base = Carried(None, None, caveats, shifted, crossed + (operation.kind is Kind.ACTIVATION), gates=gates)
        kind = operation.kind
        if kind is Kind.ACTIVATION and operation.roots == operation.outputs[:1]:
            kind = kind_of(operation.overload, operation.arguments)  # named by the user, such as a maximum over rows
        lost = next((state for state in carried.values() if state.labels is None), None)
        if lost is not None:
            mixed = any(state.mixed for state in carried.values()) or self._sums_up(operation, carried)
            after = [replace(base, reason=lost.reason, mixed=mixed)] * len(operation.outputs)
        elif kind is Kind.MOVE:
            after = self._through_move(operation, carried, base)
        elif kind is Kind.NORM:
            after = self._through_norm(operation, carried, base)
        elif kind in (Kind.POINTWISE, Kind.ACTIVATION):
            after = [self._through_pointwise(operation, carried, base)] * len(operation.outputs)
        else:
            reason, mixed = f"nothing is known about operation '{operation.name}'", self._sums_up(operation, carried)
            after = [replace(base, reason=reason, mixed=mixed)] * len(operation.outputs)
        for value, state in zip(operation.outputs, after, strict=True):
            if value.number not in self.origins:
                self.states[value.number] = state

    def _is_gate(self, operation: Operation, carried: Mapping[int, Carried]) -> bool:
        """Whether this multiplies with something else that has a number for each of the values."""
        if operation.name != "mul" or not operation.outputs:
            return False
        shape = operation.outputs[0].tensor.shape
        others = [value.tensor for value in operation.inputs if value.number not in carried]
        kept = [parameter.untyped_storage().data_ptr() for parameter in self.trace.parameters.values()]
        return len(shape) > 1 and any(
            each.shape == shape and each.untyped_storage().data_ptr() not in kept for each in others
        )

    def _sums_up(self, operation: Operation, carried: Mapping[int, Carried]) -> bool:
        """Whether an operation makes one number of all neurons, as the mean of a norm does."""
        before = max((value.tensor.numel() for value in operation.inputs if value.number in carried), default=0)
        shapes = [value.tensor.shape for value in operation.outputs]
        return all(shape.numel() < before and self.foreign - 1 not in shape for shape in shapes)

    def _through_move(self, operation: Operation, carried: Mapping[int, Carried], base: Carried) -> list[Carried]:
        reason, statistic = f"neurons are mixed at '{operation.name}'", self._sums_up(operation, carried)
        mixed = replace(base, reason=reason, mixed=statistic)
        moved = _moved(operation, carried, self.foreign)
        return [mixed if labels is None else replace(base, labels=labels) for labels in moved]

    @staticmethod
    def _through_norm(operation: Operation, carried: Mapping[int, Carried], base: Carried) -> list[Carried]:
        label = {"native_layer_norm": "LayerNorm", "native_group_norm": "GroupNorm"}.get(operation.name, "RMSNorm")
        state = next(iter(carried.values()))
        caveats = base.caveats | {f"normalised together by {label}"}
        lost = replace(base, reason=f"a statistic of '{operation.name}' mixes neurons", mixed=True)
        return [replace(base, labels=state.labels, caveats=caveats)] + [lost] * (len(operation.outputs) - 1)

    def _through_pointwise(self, operation: Operation, carried: Mapping[int, Carried], base: Carried) -> Carried:
        foreign = [value for value in operation.inputs if value.number not in carried]
        if any(value.number in self.trace.varying for value in foreign):
            verb = {"add": "added to", "sub": "added to", "mul": "multiplied with"}.get(operation.name, "combined with")
            return replace(base, reason=f"its output is {verb} another branch at '{operation.name}'")
        shape = operation.outputs[0].tensor.shape
        spread = [state.labels.expand(shape) for state in carried.values() if state.labels is not None]
        if any(not torch.equal(spread[0], other) for other in spread[1:]):
            return replace(base, reason=f"neurons are mixed at '{operation.name}'")
        shifted = base.shifted
        if shifted is None and not _sends_zero(operation, carried, spread[0], self.foreign):
            shifted = operation.name
        return replace(base, labels=spread[0], shifted=shifted)


def push(
    trace: Trace, origin: Value, labels: Tensor, after: int, others: Mapping[int, Tensor] | None = None
) -> tuple[list[Arrival], dict[int, Carried]]:
    """Follow one origin from operation number `after` on.

    `labels` has the shape of the origin's tensor (float64, 1..C). `others` are the labels of further values that hold
    the same neurons, by the number of the value: the other calls of one layer. Returns every meeting with an activation
    or a weight, and what every value of the pass carries of the origin.
    """
    journey = _Push(trace, {origin.number: labels} | dict(others or {}))
    return list(journey.arrivals(after)), journey.states
