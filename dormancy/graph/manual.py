"""Nonlinearities that are written out: recognised where that is certain, and otherwise named by the user.

``x * sigmoid(x)`` is SiLU, and its neurons are the products, not the sigmoids. Any product of a value with a function
of that very value is a nonlinearity of it, element by element, whatever the function: that much is certain from the
recorded pass. Where the two factors come from different weights (a gated linear unit) only the user knows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from dormancy.errors import UsageError
from dormancy.graph.ops import Kind
from dormancy.graph.trace import Operation, Trace, Value
from dormancy.registry import nearest

__all__ = ["operation_keys", "with_activations"]

Names: TypeAlias = "dict[int, str]"
_KNOWN = {("sigmoid",): "silu", ("softplus", "tanh"): "mish"}


def with_activations(trace: Trace, named: Mapping[str, str]) -> Trace:
    """Return the trace with its written-out nonlinearities as such; `named` are those of the user.

    A key of `named` is a module ("net.act": what it returns) or an operation in a module ("net.mul", "mul#2" for the
    second one of that name; without a number: each), a value the name of the activation. Nonlinearities that serve
    nothing but such a one are layers no longer. Raises `UsageError` for a key that names nothing in the pass.
    """
    found = _recognised(trace)
    for key, name in named.items():
        found |= dict.fromkeys(_meant(trace, key), name)
    if not found:
        return trace
    inner = {index for product in found for index in _serving(trace, product)} - set(found)
    return replace(trace, operations=tuple(_reclassified(operation, found, inner) for operation in trace.operations))


def _reclassified(operation: Operation, found: Names, inner: set[int]) -> Operation:
    if operation.index in found:
        return replace(operation, kind=Kind.ACTIVATION, named=found[operation.index])
    return replace(operation, kind=Kind.POINTWISE) if operation.index in inner else operation


def operation_keys(operations: Sequence[Operation]) -> Names:
    """Name each operation that depends on the inputs: its module, its name, and #n from the second such one on."""
    counts: Counter[str] = Counter()
    keys: Names = {}
    for operation in operations:
        if operation.varying and not operation.stale:
            base = f"{operation.module}.{operation.name}" if operation.module else operation.name
            counts[base] += 1
            keys[operation.index] = base if counts[base] == 1 else f"{base}#{counts[base]}"
    return keys


def _meant(trace: Trace, key: str) -> list[int]:
    """Return the operations that a key names."""
    keys = operation_keys(trace.operations)
    returned = [
        operation.index
        for operation in trace.operations
        if key and any(key in trace.returned.get(value.number, ()) for value in operation.outputs)
    ]
    wanted = key.removesuffix("#1")
    exact = "#" in key
    named = [index for index, each in keys.items() if (each if exact else each.partition("#")[0]) == wanted]
    if not named and not returned:
        known = sorted({*keys.values(), *(name for names in trace.returned.values() for name in names if name)})
        raise UsageError(
            f"no module or operation {key!r} in a forward pass{nearest(key, known)}; name a module, or an operation in "
            "one such as 'net.mul'"
        )
    return named or returned


def _consumers(trace: Trace) -> dict[int, list[int]]:
    found: defaultdict[int, list[int]] = defaultdict(list)
    for operation in trace.operations:
        for value in operation.inputs:
            found[value.number].append(operation.index)
    return found


def _serving(trace: Trace, product: int) -> set[int]:
    """Find the nonlinearities whose values go into one operation and nowhere else, weights not passed."""
    consumers, inside, found = _consumers(trace), {product}, set[int]()
    for operation in reversed(trace.operations[:product]):
        outputs = [value.number for value in operation.outputs]
        users = [index for number in outputs for index in consumers.get(number, ())]
        elementwise = operation.kind in (Kind.ACTIVATION, Kind.POINTWISE)
        if elementwise and users and set(users) <= inside and not trace.results.intersection(outputs):
            inside.add(operation.index)
            if operation.kind is Kind.ACTIVATION:
                found.add(operation.index)
    return found


def _recognised(trace: Trace) -> Names:
    """Find products of a value with a nonlinear function of that value."""
    makers = {value.number: operation for operation in trace.operations for value in operation.outputs}
    found: Names = {}
    for operation in trace.operations:
        factors = {value.number: value for value in operation.inputs if value.number in trace.varying}
        if operation.name != "mul" or operation.kind is not Kind.POINTWISE or len(factors) != 2:
            continue
        first, second = factors.values()
        name = _self_gated(trace, makers, first, second) or _self_gated(trace, makers, second, first)
        if name and _serving(trace, operation.index):
            found[operation.index] = name
    return found


def _self_gated(trace: Trace, makers: Mapping[int, Operation], plain: Value, gate: Value) -> str | None:
    """Name the nonlinearity that is `plain` times `gate`; None unless the gate is a function of the other factor."""
    straight, bent = _ancestry(trace, makers, plain), _ancestry(trace, makers, gate)
    if any(operation.kind is Kind.ACTIVATION for operation in straight.values() if operation):
        return None
    common = next((number for number in bent if number in straight), None)
    if common is None:
        return None
    way = list(bent.values())[: list(bent).index(common)]
    names = tuple(
        str(operation.activation) for operation in way[::-1] if operation and operation.kind is Kind.ACTIVATION
    )
    if not names:
        return None
    direct = len(way) == len(names) and common == plain.number
    return _KNOWN.get(names, f"gated {names[-1]}") if direct else _scaled(names)


def _scaled(names: tuple[str, ...]) -> str:
    return "swish" if names == ("sigmoid",) else f"gated {names[-1]}"


def _ancestry(trace: Trace, makers: Mapping[int, Operation], value: Value) -> dict[int, Operation | None]:
    """Walk back while each value is an element-by-element function of one other: value to the operation behind it."""
    found: dict[int, Operation | None] = {}
    while True:
        maker = makers.get(value.number)
        found[value.number] = maker if maker and maker.kind in (Kind.ACTIVATION, Kind.POINTWISE) else None
        before = [each for each in maker.inputs if each.number in trace.varying] if maker else []
        if found[value.number] is None or len(before) != 1 or before[0].tensor.shape != value.tensor.shape:
            return found
        value = before[0]
