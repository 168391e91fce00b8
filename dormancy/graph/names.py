"""Name a nonlinearity by the function that it computes; names are for display and for what is known of a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from dormancy.graph.behaviour import bends, evaluate
from dormancy.graph.trace import Operation, Trace, Value

__all__ = ["name_of_function"]

_FUNCTIONS: Mapping[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "relu": (F.relu,),
    "gelu": (F.gelu, lambda x: F.gelu(x, approximate="tanh")),
    "silu": (F.silu,),
    "swish": (lambda x: F.silu(1.702 * x),),
    "mish": (F.mish,),
    "elu": (F.elu,),
    "tanh": (torch.tanh,),
    "sigmoid": (torch.sigmoid,),
    "softplus": (F.softplus,),
    "relu6": (F.relu6,),
    "hardswish": (F.hardswish,),
    "hardsigmoid": (F.hardsigmoid,),
    "leaky_relu": (F.leaky_relu, lambda x: F.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.1)),
    "selu": (F.selu,),
    "softsign": (F.softsign,),
    "relu squared": (lambda x: F.relu(x).square(),),
    "symlog": (lambda x: x.sign() * x.abs().log1p(),),
    "abs": (torch.abs,),
    "square": (torch.square,),
}
_NEVER_NEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hardsigmoid", "softplus"})
_Entry: TypeAlias = "tuple[Value, list[Operation]]"


def name_of_function(trace: Trace, last: Operation, between: Sequence[Operation], roots: Sequence[Value]) -> str:
    """Name what `last` computes of `roots` through the operations `between` (`last` included, in order).

    A function of one value is compared with the known ones, up to a positive factor. Otherwise the names of the
    operations that are not affine are joined.
    """
    varying = trace.varying
    bending = [
        each for each in between if bends(each, [value for value in each.inputs if value.number in varying])
    ] or [last]
    if len(bending) == 1 and last.built_in is not None:
        return last.built_in
    for entry in _entries(trace, between, bending) if len(roots) == 1 else ():
        known = _recognised(entry, last)
        if known is not None:
            return known
    names = dict.fromkeys(each.built_in or each.name for each in (*bending, last))
    return " then ".join(names)


def _entries(trace: Trace, between: Sequence[Operation], bending: Sequence[Operation]) -> Iterator[_Entry]:
    """Find the values that everything not affine begins with, the last one first, and the operations behind each."""
    makers = {output.number: each for each in between for output in each.outputs}
    bent: set[int] = set()
    entries: dict[int, Value] = {}
    marks = {each.index for each in bending}
    for each in between:
        inputs = [value for value in each.inputs if value.number in trace.varying]
        if each.index in marks or any(value.number in bent for value in inputs):
            entries |= {value.number: value for value in inputs if value.number not in bent}
            bent |= {output.number for output in each.outputs}
    ways = [_way(makers, trace, value) for value in entries.values()]
    for start in ways[0] if ways else ():
        if all(any(start.number == value.number for value in way) for way in ways):
            reached, behind = {start.number}, []
            for each in between:
                if any(value.number in reached for value in each.inputs):
                    reached |= {output.number for output in each.outputs}
                    behind.append(each)
            yield start, behind


def _way(makers: Mapping[int, Operation], trace: Trace, value: Value) -> list[Value]:
    """Walk back while each value is made of one other."""
    found = [value]
    while (maker := makers.get(found[-1].number)) is not None:
        before = [each for each in maker.inputs if each.number in trace.varying]
        if len(set(before)) != 1 or before[0].tensor.shape != found[-1].tensor.shape:
            break
        found.append(before[0])
    return found


def _recognised(entry: _Entry, last: Operation) -> str | None:
    """Compare the function of `entry` with the known ones, on a grid from -6 to 6."""
    start, operations = entry
    if not start.tensor.is_floating_point() or start.tensor.numel() == 0:
        return None
    grid = torch.linspace(-6, 6, 241, dtype=torch.float32)
    pieces = []
    try:
        for piece in grid.split(start.tensor.numel()):
            filled = piece.repeat(-(-start.tensor.numel() // piece.numel()))[: start.tensor.numel()]
            found = evaluate(operations, start, filled.view(start.tensor.shape).to(start.tensor.device), last)
            if found.shape != start.tensor.shape:
                return None
            pieces.append(found.flatten()[: piece.numel()].double().cpu())
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    return _matching(grid.double(), torch.cat(pieces))


def _matching(grid: Tensor, values: Tensor) -> str | None:
    if not bool(values.isfinite().all()):
        return None
    for name, functions in _FUNCTIONS.items():
        for function in functions:
            wanted = function(grid)
            place = int(wanted.abs().argmax())
            factor = float(values[place] / wanted[place])
            if factor > 0 and torch.allclose(values, factor * wanted, rtol=1e-4, atol=1e-5 * factor):
                negative = name in _NEVER_NEGATIVE and bool((values < 0).any())
                return None if negative else name
    return None
