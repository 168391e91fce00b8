"""Edits: the numbers of a parameter that are overwritten, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

import torch
from torch import Tensor

from dormancy.graph import IntArray

if TYPE_CHECKING:
    pass

__all__ = ["Edit", "Role"]

Role: TypeAlias = Literal["incoming", "bias", "outgoing"]


@final
@dataclass(frozen=True, eq=False)
class Edit:
    """One write: positions `index` along dimension `dim` of a parameter become `fill`.

    `fill` is 0.0 (or another number), or a tensor of the shape that ``parameter.index_select(dim, index)`` has. `block`
    limits the write to a half-open range of the other of the first two dimensions (one group of a convolution).
    """

    parameter: str
    dim: int
    index: IntArray
    fill: Tensor | float
    role: Role
    block: tuple[int, int] | None = None

    def within(self, tensor: Tensor) -> Tensor:
        """Return the view of a parameter-shaped tensor that `index` counts positions in."""
        if self.block is None:
            return tensor
        start, stop = self.block
        return tensor.narrow(1 - self.dim, start, stop - start)

    def write(self, tensor: Tensor) -> None:
        """Perform the edit on a parameter-shaped tensor, in place: its storage stays where it is."""
        view, index = self.within(tensor), torch.as_tensor(self.index, device=tensor.device)
        if isinstance(self.fill, Tensor):
            view.index_copy_(self.dim, index, self.fill.to(tensor))
        else:
            view.index_fill_(self.dim, index, self.fill)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edit) and self._place == other._place and _same_fill(self.fill, other.fill)

    __hash__ = None  # type: ignore[assignment]  # tensors compare by value here

    @property
    def _place(self) -> tuple[Any, ...]:
        return self.parameter, self.dim, self.index.tolist(), self.role, self.block


def _same_fill(first: Tensor | float, second: Tensor | float) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    return type(first) is type(second) and bool(first == second)
