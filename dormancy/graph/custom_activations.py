"""Mark the activations of a recorded pass: those that `dormancy.graph.regions` finds, and those that the user names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from dormancy.errors import UsageError
from dormancy.graph.ops import Kind
from dormancy.graph.regions import Site, find_sites, with_probed_kinds
from dormancy.graph.trace import Operation, Trace
from dormancy.registry import nearest

__all__ = ["operation_keys", "with_activations"]

Names: TypeAlias = "dict[int, str]"


def with_activations(trace: Trace, named: Mapping[str, str]) -> Trace:
    """Return the trace with its activations marked as such, whatever wrote them; `named` are those of the user.

    A key of `named` is a module ("net.act": what it returns) or an operation in a module ("net.mul", "mul#2" for the
    second one of that name; without a number: each), a value the name of the activation. Activations that serve nothing
    but such a one are layers no longer. Raises `UsageError` for a key that names nothing in the pass.
    """
    trace = with_probed_kinds(trace)
    chosen: Names = {}
    for key, name in named.items():
        chosen |= dict.fromkeys(_meant(trace, key), name)
    sites = find_sites(trace, chosen)
    inner = {index for each in chosen for index in _serving(trace, each)} - set(chosen)
    sites = {index: site for index, site in sites.items() if index not in inner}
    return replace(trace, operations=tuple(_marked(operation, sites) for operation in trace.operations))


def _marked(operation: Operation, sites: Mapping[int, Site]) -> Operation:
    site = sites.get(operation.index)
    if site is not None:
        return replace(operation, kind=Kind.ACTIVATION, named=site.name, roots=site.roots)
    return replace(operation, kind=Kind.POINTWISE) if operation.kind is Kind.ACTIVATION else operation


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


def _serving(trace: Trace, last: int) -> set[int]:
    """Find the operations whose values go into one operation and nowhere else, weights not passed."""
    consumers, inside = _consumers(trace), {last}
    for operation in reversed(trace.operations[:last]):
        outputs = [value.number for value in operation.outputs]
        users = [index for number in outputs for index in consumers.get(number, ())]
        elementwise = operation.kind in (Kind.ACTIVATION, Kind.POINTWISE, Kind.MOVE)
        if elementwise and users and set(users) <= inside and not trace.results.intersection(outputs):
            inside.add(operation.index)
    return inside
