"""Which part of which parameter a recorded product used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor

from dormancy.arrays import IntArray
from dormancy.graph.ops import WeightArguments, weight_arguments
from dormancy.graph.trace import Operation, Value

__all__ = ["ParameterIndex", "WeightUse"]


@final
@dataclass(frozen=True)
class WeightUse:
    """A product with a named parameter: which half-open range of which dimension counts outputs, and which inputs."""

    operation: Operation
    data: Value
    weight: str
    bias: str | None
    outputs_dim: int
    outputs: tuple[int, int]
    inputs_dim: int
    inputs: tuple[int, int]
    channel_dim: int
    groups: int

    def shares_rows_with(self, other: WeightUse) -> bool:
        """Whether rewriting what makes these outputs would change what the other product makes."""
        return self.weight == other.weight and _overlap(self.outputs, other.outputs)

    def shares_columns_with(self, other: WeightUse) -> bool:
        """Whether rewriting what reads these inputs would change what the other product reads."""
        return self.shares_rows_with(other) and _overlap(self.inputs, other.inputs)


def _overlap(first: tuple[int, int], second: tuple[int, int]) -> bool:
    return max(first[0], second[0]) < min(first[1], second[1])


def _span(parameter: Tensor) -> int:
    """How many elements of storage a parameter reaches over."""
    return 1 + sum((size - 1) * stride for size, stride in zip(parameter.size(), parameter.stride(), strict=True))


def _run(positions: IntArray) -> tuple[int, int] | None:
    """Return the half-open range that these positions count through one by one, or None."""
    start = int(positions[0])
    return (start, start + positions.size) if np.array_equal(positions, start + np.arange(positions.size)) else None


def _unravel(walk: IntArray, parameter: Tensor) -> list[IntArray]:
    """Turn offsets into a parameter's storage into one index array a dimension."""
    positions = [np.zeros_like(walk)] * parameter.dim()
    for axis in sorted(range(parameter.dim()), key=parameter.stride, reverse=True):
        if parameter.shape[axis] > 1:
            positions[axis], walk = np.divmod(walk, parameter.stride(axis))
    return positions


@final
class ParameterIndex:
    """Finds the parameter behind a tensor by its storage, views and transposes included; shared ones count once."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = parameters
        self._by_storage: dict[int, list[str]] = {}
        for name, parameter in parameters.items():
            self._by_storage.setdefault(parameter.untyped_storage().data_ptr(), []).append(name)

    def name_of(self, tensor: Tensor) -> str | None:
        """Name the parameter that this tensor is a view of, or None."""
        for name in self._by_storage.get(tensor.untyped_storage().data_ptr(), []):
            offset = tensor.storage_offset() - self._parameters[name].storage_offset()
            if 0 <= offset < max(1, _span(self._parameters[name])):
                return name
        return None

    def whole(self, leaf: object) -> str | None:
        """Name the parameter when this argument is all of it, unpermuted."""
        if not isinstance(leaf, Value):
            return None
        name = self.name_of(leaf.tensor)
        same = name is not None and self._parameters[name].shape == leaf.tensor.shape
        return name if same else None

    def use(self, operation: Operation) -> WeightUse | None:
        """Describe a product with weights; None when the weight is not (a plain part of) a parameter."""
        arguments = weight_arguments(operation.overload.overloadpacket, operation.arguments)
        if arguments is None or not isinstance(arguments.weight, Value):
            return None
        name = self.name_of(arguments.weight.tensor)
        if name is None:
            return None
        return self._located(operation, arguments, name)

    def _located(self, operation: Operation, arguments: WeightArguments, name: str) -> WeightUse | None:
        parameter, view = self._parameters[name], arguments.weight.tensor
        outputs = self._along(parameter, view, arguments.outputs_dim)
        inputs = self._along(parameter, view, arguments.inputs_dim)
        if outputs is None or inputs is None or outputs[0] == inputs[0]:
            return None
        return WeightUse(
            operation,
            arguments.data,
            name,
            self.whole(arguments.bias),
            *outputs,
            *inputs,
            arguments.channel_dim,
            arguments.groups,
        )

    @staticmethod
    def _along(parameter: Tensor, view: Tensor, dim: int) -> tuple[int, tuple[int, int]] | None:
        """Tell which dimension of the parameter, and which range of it, one dimension of the view walks along."""
        offset = view.storage_offset() - parameter.storage_offset()
        walk = int(offset) + np.arange(view.shape[dim], dtype=np.int64) * view.stride(dim)
        positions = _unravel(walk, parameter)
        moving = [axis for axis, along in enumerate(positions) if np.unique(along).size > 1]
        if walk.size == 1:
            candidates = (1 - dim, dim) if view.dim() == 2 else (dim,)  # a dense weight is usually seen transposed
            moving = [axis for axis in candidates if parameter.shape[axis] == 1][:1]
        if len(moving) != 1:
            return None
        bounds = _run(np.asarray(positions[moving[0]], dtype=np.int64))
        return None if bounds is None else (moving[0], bounds)
