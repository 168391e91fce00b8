"""What each tensor operation does to neurons: the one table the tracing rests on.

An operation that is not in this table is `Kind.UNKNOWN`: whatever it reads can be scored but not rewritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias, final

import torch
from torch import Tensor

__all__ = [
    "Kind",
    "Packet",
    "WeightArguments",
    "activation_name",
    "kind_of",
    "operation_name",
    "place_name",
    "weight_arguments",
]

Packet: TypeAlias = Any  # torch._ops.OpOverloadPacket, which has no public type

aten = torch.ops.aten


class Kind(Enum):
    """The roles an operation can play."""

    ACTIVATION = auto()
    """A nonlinearity, element by element: its values are neurons."""
    WEIGHT = auto()
    """A product with weights: it ends one layer and begins the next."""
    MOVE = auto()
    """Elements are moved, pooled or joined, and keep their identity."""
    POINTWISE = auto()
    """Element by element, not a nonlinearity: scale, shift, sign, cast."""
    RECURRENT = auto()
    """A call of a recurrent module, noted as one operation: its states are neurons."""
    NORM = auto()
    """Neurons are normalised together."""
    UNKNOWN = auto()
    """Nothing is known; nothing is guessed."""


def _packets(names: str) -> frozenset[Packet]:
    """Look up operations by name; those that this version of torch lacks are left out."""
    return frozenset(getattr(aten, name) for name in names.split() if hasattr(aten, name))


_NONLINEARITIES = {
    getattr(aten, operation): name
    for name, operations in {
        "relu": "relu relu_",
        "leaky_relu": "leaky_relu leaky_relu_",
        "prelu": "_prelu_kernel",
        "elu": "elu elu_",
        "gelu": "gelu gelu_",
        "silu": "silu silu_",
        "mish": "mish mish_",
        "tanh": "tanh tanh_",
        "sigmoid": "sigmoid sigmoid_",
        "softplus": "softplus",
        "hardtanh": "hardtanh hardtanh_",
        "hardswish": "hardswish hardswish_",
        "hardsigmoid": "hardsigmoid hardsigmoid_",
        "threshold": "threshold threshold_",
    }.items()
    for operation in operations.split()
    if hasattr(aten, operation)
}
_CLAMPS = _packets("clamp clamp_ clamp_min clamp_min_")
_MOVES = _packets(
    "view _unsafe_view reshape permute transpose t squeeze unsqueeze expand select slice split split_with_sizes chunk"
    " unbind unflatten flatten narrow cat stack flip roll index_select constant_pad_nd reflection_pad2d"
    " replication_pad2d max_pool1d max_pool2d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d"
    " _adaptive_avg_pool2d adaptive_avg_pool1d adaptive_max_pool2d mean amax pixel_shuffle pixel_unshuffle"
    " upsample_nearest2d _reshape_alias"
)
_COPIES = _packets("clone _to_copy detach alias contiguous lift_fresh")
_CONVOLUTIONS = _packets("convolution _convolution")  # traced programs call the second
_NORMS = _packets("native_layer_norm native_group_norm _fused_rms_norm")
_PER_CHANNEL = _packets(
    "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm"
    " _batch_norm_with_update batch_norm"
)


def _is_clamp_at_zero(packet: Packet, arguments: Sequence[Any]) -> bool:
    """Whether this is ``clamp(min=0)``: a ReLU by another name."""
    if packet not in _CLAMPS:
        return False
    low = arguments[1] if len(arguments) > 1 else None
    high = arguments[2] if len(arguments) > 2 else None
    return isinstance(low, int | float) and low == 0 and high is None


def activation_name(packet: Packet, arguments: Sequence[Any]) -> str | None:
    """Return the name of a nonlinearity ("relu"), or None when the operation is not one."""
    if _is_clamp_at_zero(packet, arguments):
        return "relu"
    name = _NONLINEARITIES.get(packet)
    if name == "hardtanh" and len(arguments) > 1 and arguments[1] == 0:
        return "relu6" if arguments[2] == 6 else "hardtanh"
    return name


@final
@dataclass(frozen=True)
class WeightArguments:
    """Where a product with weights has its operands, and which dimension of the weight is which.

    `outputs_dim` and `inputs_dim` are dimensions of the weight as the operation sees it; `channel_dim` is the dimension
    of the result that counts outputs, and of the input that counts inputs.
    """

    data: Any
    weight: Any
    bias: Any
    outputs_dim: int
    inputs_dim: int
    channel_dim: int
    groups: int = 1


def weight_arguments(packet: Packet, arguments: Sequence[Any]) -> WeightArguments | None:
    """Name the operands of a product with weights, or return None for any other operation."""
    if packet is aten.addmm:
        return WeightArguments(arguments[1], arguments[2], arguments[0], 1, 0, -1)
    if packet is aten.mm:
        return WeightArguments(arguments[0], arguments[1], None, 1, 0, -1)
    if packet is aten.linear:
        return WeightArguments(arguments[0], arguments[1], arguments[2] if len(arguments) > 2 else None, 0, 1, -1)
    if packet in _CONVOLUTIONS:
        data, weight, bias, _, _, _, transposed, _, groups, *_ = arguments
        if transposed and groups > 1:
            return None
        outputs, inputs = (1, 0) if transposed else (0, 1)
        return WeightArguments(data, weight, bias, outputs, inputs, 1, groups)
    return None


def _kind_of_packet(packet: Packet, pointwise: bool) -> Kind:
    if packet in _MOVES:
        return Kind.MOVE
    if packet in _NORMS:
        return Kind.NORM
    if pointwise or packet in _COPIES or packet in _PER_CHANNEL:
        return Kind.POINTWISE
    return Kind.UNKNOWN


def kind_of(overload: Any, arguments: Sequence[Any]) -> Kind:
    """Classify one call of a torch operator (an ``OpOverload``) by what it does to neurons."""
    packet = overload.overloadpacket
    if activation_name(packet, arguments) is not None:
        return Kind.ACTIVATION
    if weight_arguments(packet, arguments) is not None:
        return Kind.WEIGHT
    return _kind_of_packet(packet, torch.Tag.pointwise in overload.tags)


def operation_name(overload: Any) -> str:
    """Return an operator's name without its in-place underscore ("add"); both convolutions have one name."""
    if overload.overloadpacket in _CONVOLUTIONS:
        return "convolution"
    return str(overload.overloadpacket.__name__).rstrip("_")


def place_name(overload: Any, arguments: Sequence[Any]) -> str:
    """Return the name under which an operation is counted: that of a nonlinearity is "activation", whatever it is."""
    nonlinear = activation_name(overload.overloadpacket, arguments) is not None
    return "activation" if nonlinear else operation_name(overload)


def tensors_in(tree: Any) -> list[Tensor]:
    """Return the tensors among the (possibly nested) arguments of a call, in order."""
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]
