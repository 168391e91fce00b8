"""What a network costs: numbers to keep, bytes to store, operations to run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

from torch import nn

from dormancy.graph.ops import Kind, tensors_in, weight_arguments
from dormancy.graph.trace import Operation, Value, record

__all__ = ["Cost", "cost_of"]


@final
@dataclass(frozen=True)
class Cost:
    """Numbers in parameters (`zeros` of them exactly 0), their bytes, and operations for one observation.

    `flops` counts a multiplication and an addition as two, in products with weights only.
    """

    parameters: int
    zeros: int
    bytes: int
    flops: int

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return asdict(self)


def cost_of(model: nn.Module, inputs: Any) -> Cost:
    """Count what `model` costs; `inputs` are as for `dormancy.graph.trace_neurons`. Shared parameters count once.

    >>> import torch
    >>> cost_of(nn.Linear(3, 2), torch.zeros(5, 3))
    Cost(parameters=8, zeros=0, bytes=32, flops=12)
    """
    parameters = list(model.parameters())
    rows = len(tensors_in(inputs)[0])
    trace = record(model, inputs)
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        zeros=sum(int((parameter == 0).sum()) for parameter in parameters),
        bytes=sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        flops=sum(_flops(operation) for operation in trace.operations) // rows,
    )


def _flops(operation: Operation) -> int:
    if operation.kind is not Kind.WEIGHT:
        return 0
    found = weight_arguments(operation.overload.overloadpacket, operation.arguments)
    if found is None or not isinstance(found.weight, Value) or not isinstance(found.data, Value):
        return 0
    weight = found.weight.tensor
    transposed = operation.name == "convolution" and found.outputs_dim == 1
    positions = found.data.tensor if transposed else operation.outputs[0].tensor
    return 2 * positions.numel() * weight.numel() // weight.shape[0 if transposed else found.outputs_dim]
