"""What an operation does, found out by calling it again on other numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from dormancy.graph.ops import Kind, aten
from dormancy.graph.trace import Operation, Value

__all__ = ["bends", "evaluate", "keeps_positions", "replay"]

_VIEWING = (aten.view, aten._unsafe_view, aten._reshape_alias)
_LINEAR = frozenset({"add", "sub", "rsub", "neg", "clone", "_to_copy", "detach", "alias", "contiguous", "lift_fresh"})
_SCALES = (0.1, 1.0, 10.0, 100.0)


def replay(operation: Operation, substitute: Callable[[Value], Any]) -> list[Tensor]:
    """Run the operation again with some of its tensors replaced."""
    arguments, keywords = tree_map(
        lambda leaf: substitute(leaf) if isinstance(leaf, Value) else leaf,
        (operation.arguments, dict(operation.keywords)),
    )
    # Substitutes need not lie in memory as the recorded tensor did, so a view is taken as the reshape it stands for.
    viewing = operation.overload.overloadpacket in _VIEWING
    result = aten.reshape(*arguments[:2]) if viewing else operation.overload(*arguments, **keywords)
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def evaluate(operations: Sequence[Operation], start: Value, values: Tensor, last: Operation) -> Tensor:
    """Return the output of `last` when `values` stand for `start` and the `operations` between are run in order."""
    computed: dict[int, Tensor] = {start.number: values}

    def substitute(leaf: Value) -> Any:
        return _wide(computed.get(leaf.number, leaf.tensor))

    for each in operations:
        outputs = replay(each, substitute)
        computed |= {value.number: output for value, output in zip(each.outputs, outputs, strict=False)}
        if each.index == last.index:
            break
    return computed[last.outputs[0].number]


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor.clone()


def _draw(like: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Draw numbers of both signs in the shape and on the device of a tensor, in at least float32."""
    wide = torch.promote_types(like.dtype, torch.float32)
    return (torch.randn(like.shape, generator=generator, dtype=torch.float64) * scale).to(like.device, wide)


def _first_output(operation: Operation, at: Mapping[int, Tensor]) -> Tensor:
    return replay(operation, lambda leaf: _wide(at.get(leaf.number, leaf.tensor)))[0]


def bends(operation: Operation, inputs: Sequence[Value]) -> bool:
    """Whether an element-by-element operation is not affine in `inputs`, all taken together.

    f(a) + f(b) = f(a + b) + f(0) holds for affine functions alone; the usual f(2x) - 2 f(x) + f(0) would let ReLU pass.
    """
    if operation.built_in is not None:
        return True
    leaves = [leaf for leaf in tree_leaves((operation.arguments, dict(operation.keywords))) if isinstance(leaf, Value)]
    once = sum(leaf in inputs for leaf in leaves) == 1
    if operation.name in _LINEAR or (operation.kind is Kind.POINTWISE and "batch_norm" in operation.name):
        return False
    if (once and operation.name == "mul") or (once and operation.name == "div" and operation.arguments[0] in inputs):
        return operation.keywords.get("rounding_mode") is not None
    if any(not value.tensor.is_floating_point() for value in (*inputs, operation.outputs[0])):
        return True
    generator = torch.Generator().manual_seed(17)
    for scale in _SCALES * 2:
        first = {value.number: _draw(value.tensor, scale, generator) for value in inputs}
        second = {value.number: _draw(value.tensor, scale, generator) for value in inputs}
        points = (
            first,
            second,
            {number: each + second[number] for number, each in first.items()},
            {number: torch.zeros_like(each) for number, each in first.items()},
        )
        try:
            one, other, both, zero = (_first_output(operation, at) for at in points)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return True
        gap = (one + other - both - zero).abs()
        size = one.abs() + other.abs() + both.abs() + zero.abs()
        if not bool((gap <= 1e-4 * size + 1e-30).all()):
            return True
    return False


def keeps_positions(operation: Operation, varying: Collection[int]) -> bool:
    """Whether an operation works element by element: with some positions changed, none of the others moves."""
    output = next(iter(operation.outputs), None)
    values = [value for value in dict.fromkeys(operation.inputs) if value.number in varying]
    if operation.stale or output is None or output.tensor.numel() < 2 or not values:
        return False
    shape = output.tensor.shape
    if any(value.tensor.shape != shape or value.tensor.is_complex() for value in values):
        return False
    generator = torch.Generator().manual_seed(19)

    def drawn(value: Value) -> Tensor:
        if value.tensor.is_floating_point():
            return _draw(value.tensor, 1.0, generator).to(value.tensor.dtype)
        if value.tensor.dtype is torch.bool:
            return (torch.rand(shape, generator=generator) < 0.5).to(value.tensor.device)
        return value.tensor.clone()

    def run(at: dict[int, Tensor]) -> Tensor:
        return replay(operation, lambda leaf: at[leaf.number].clone() if leaf.number in at else leaf.tensor.clone())[0]

    moved = False
    try:
        for _ in range(4):
            before = {value.number: drawn(value) for value in values}
            chosen = (torch.rand(shape, generator=generator) < 0.5).to(output.tensor.device)
            after = {value.number: torch.where(chosen, drawn(value), before[value.number]) for value in values}
            first, again, second = run(before), run(before), run(after)
            if first.shape != shape or not torch.equal(first, again):
                return False
            changed = first != second
            moved |= bool(changed.any())
            if bool((changed & ~chosen).any()):
                return False
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    return moved
