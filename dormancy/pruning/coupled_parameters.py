"""Which element of a parameter or buffer belongs to which neuron, told by the labelled values it was combined with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from dormancy.graph import IntArray
from dormancy.graph.ops import aten
from dormancy.graph.trace import Operation, Value

__all__ = ["Slice", "owners_of"]

_PER_CHANNEL = tuple(
    getattr(aten, name)
    for name in (
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
        "_batch_norm_with_update", "batch_norm", "native_group_norm",
    )
    if hasattr(aten, name)
)  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Slice:
    """A parameter or buffer with numbers of a layer's neurons.

    Position j along `dim` belongs to neuron ``owners[j]``, or to none where that is -1.
    """

    tensor: str
    dim: int
    owners: IntArray

    def positions_of(self, neurons: IntArray) -> IntArray:
        """Return the positions along `dim` that belong to any of `neurons`, ascending."""
        return np.flatnonzero(np.isin(self.owners, neurons))


def owners_of(
    operation: Operation, value: Value, tensor: Tensor, labels: Tensor, neurons: IntArray
) -> tuple[int, IntArray] | str | None:
    """Tell how `tensor`, seen as `value` by an element-by-element operation, is divided among labelled neurons.

    `labels` are those of the other operand (1..C, see `dormancy.graph.flow`), label l standing for ``neurons[l - 1]``.
    Returns (dim, owner of each position along it); None when no element belongs to one neuron alone (a scalar, say);
    a phrase when some do, but not as whole slices along one dimension.
    """
    lowest, highest = _labels_met(operation, value, tensor, labels)
    single = (lowest == highest) & lowest.isfinite()
    if not single.any() or neurons.size == 1:
        return None
    if not (single | ~lowest.isfinite()).all():
        return "has numbers that several of its neurons share"
    known = single & (lowest <= neurons.size)
    owner = torch.where(known, lowest, torch.zeros_like(lowest)).long().view(tensor.shape)
    table = torch.from_numpy(np.concatenate([[-1], neurons]))
    return _one_dim(table[owner])


def _labels_met(operation: Operation, value: Value, tensor: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest label that each element of `tensor` met; zeros of padding do not count."""
    positions = _positions(value.tensor, tensor)
    if operation.overload.overloadpacket in _PER_CHANNEL:
        positions = positions.view(-1, *[1] * (labels.dim() - 2))
    positions, met = torch.broadcast_tensors(positions, labels)
    counted = met.flatten() > 0
    where, values = positions.flatten()[counted], met.flatten()[counted]
    lowest = torch.full((tensor.numel(),), torch.inf, dtype=torch.float64)
    highest = torch.full((tensor.numel(),), -torch.inf, dtype=torch.float64)
    return lowest.scatter_reduce(0, where, values, "amin"), highest.scatter_reduce(0, where, values, "amax")


def _positions(view: Tensor, tensor: Tensor) -> Tensor:
    """Return, for each element of a view, which element of the tensor (counted in order) it is."""
    index = torch.empty_strided(tensor.size(), tensor.stride(), dtype=torch.int64)
    index.copy_(torch.arange(tensor.numel()).view(tensor.shape))
    return index.as_strided(view.size(), view.stride(), view.storage_offset() - tensor.storage_offset())


def _one_dim(owner: Tensor) -> tuple[int, IntArray] | str:
    varying = [dim for dim in range(owner.dim()) if not (owner == owner.narrow(dim, 0, 1)).all()]
    if len(varying) != 1:
        return "has numbers of its neurons that do not lie along one dimension"
    return varying[0], owner.movedim(varying[0], 0).reshape(owner.shape[varying[0]], -1)[:, 0].numpy().astype(np.int64)
