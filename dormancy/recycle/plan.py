"""Decide, then apply: a `RecyclePlan` is a list of writes; `apply_plan` is the one function here that performs them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from dormancy.edits.edit import Edit
from dormancy.edits.optimizer_state import OptimizerPolicy, as_optimizers, clearings
from dormancy.errors import UsageError
from dormancy.graph import IntArray

__all__ = ["LayerPlan", "RecyclePlan", "apply_plan", "edited_parameters"]


@final
@dataclass(frozen=True, eq=False)
class LayerPlan:
    """What is to happen to one layer: the neurons to recycle (ascending), or why it is left alone.

    `share` is of all neurons of the layer. `tied` counts neurons that were chosen but share a weight with one that was
    not, and are therefore kept.
    """

    name: str
    size: int
    neurons: IntArray
    refused: str | None = None
    caveat: str | None = None
    tied: int = 0

    @property
    def share(self) -> float:
        """The recycled share of the layer."""
        return self.neurons.size / self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerPlan) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {
            "name": self.name,
            "neurons": self.size,
            "recycled": self.neurons.tolist(),
            "refused": self.refused,
            "caveat": self.caveat,
            "tied": self.tied,
        }

    def __str__(self) -> str:
        note = f"refused: {self.refused}" if self.refused else f"caveat: {self.caveat}" if self.caveat else ""
        return f"{self.name:<20} {self.neurons.size:>6} of {self.size:<6} {100 * self.share:5.1f} %  {note}".rstrip()


@final
@dataclass(frozen=True, eq=False)
class RecyclePlan:
    """Every write that recycling would make, in order: all incoming ones first, all outgoing ones last, so zero wins.

    Nothing has happened yet. A plan that resets whole parameters has no `layers`. Plans can be printed, compared (same
    neurons, same writes, same values) and thrown away. `initialisers` says where the fresh values of each parameter
    came from; `notes` are sentences about the choice of neurons.
    """

    layers: tuple[LayerPlan, ...]
    edits: tuple[Edit, ...]
    initialisers: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[LayerPlan]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> LayerPlan:
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            known = ", ".join(layer.name for layer in self.layers)
            raise UsageError(f"the plan has no layer {name!r}; layers: {known}")
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecyclePlan) and self.layers == other.layers and self.edits == other.edits

    __hash__ = None  # type: ignore[assignment]

    @property
    def recycled(self) -> int:
        """How many neurons are to be recycled."""
        return sum(layer.neurons.size for layer in self.layers)

    @property
    def neurons(self) -> int:
        """How many neurons the network has, those of refused layers included."""
        return sum(layer.size for layer in self.layers)

    @property
    def share(self) -> float:
        """The recycled share of all neurons."""
        return self.recycled / self.neurons if self.neurons else 0.0

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that would be written to, in the order of the first write."""
        return tuple(dict.fromkeys(edit.parameter for edit in self.edits))

    @property
    def refused(self) -> dict[str, str]:
        """Why each layer that is left alone is left alone, by name."""
        return {layer.name: layer.refused for layer in self.layers if layer.refused is not None}

    @property
    def caveats(self) -> dict[str, str]:
        """Why recycling a layer also moves live neurons, by name, where neurons of it are to be recycled."""
        return {layer.name: layer.caveat for layer in self.layers if layer.caveat is not None and layer.neurons.size}

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form, without the values."""
        return {
            "recycled": self.recycled,
            "neurons": self.neurons,
            "layers": [layer.to_dict() for layer in self.layers],
            "parameters": list(self.parameters),
            "initialisers": dict(self.initialisers),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        if not self.layers:
            return "\n".join(["whole parameters:", *self.parameters])
        total = f"{'network':<20} {self.recycled:>6} of {self.neurons:<6} {100 * self.share:5.1f} %"
        return "\n".join([*(str(layer) for layer in self.layers), total, *self.notes])


def _check(edit: Edit, parameters: Mapping[str, Tensor]) -> None:
    """Refuse an edit that does not fit, before anything was written."""
    parameter = parameters.get(edit.parameter)
    if parameter is None:
        raise UsageError(f"the plan edits parameter {edit.parameter!r}, which this network does not have")
    view = edit.within(parameter)
    size = view.shape[edit.dim] if view.dim() else 1
    if edit.index.size and not 0 <= edit.index.min() <= edit.index.max() < size:
        raise UsageError(
            f"the plan writes to positions up to {edit.index.max()} of parameter {edit.parameter!r}, "
            f"which has {size} along dimension {edit.dim}"
        )
    wanted = view.index_select(edit.dim, torch.as_tensor(edit.index, device=view.device)).shape
    if isinstance(edit.fill, Tensor) and edit.fill.shape != wanted:
        raise UsageError(
            f"the plan writes {tuple(edit.fill.shape)} values where parameter {edit.parameter!r} takes {tuple(wanted)}"
        )


def _named(model: nn.Module, edits: Sequence[Edit]) -> dict[str, Tensor]:
    parameters: dict[str, Tensor] = dict(model.named_parameters())
    for edit in edits:
        _check(edit, parameters)
    return parameters


@torch.no_grad()
def edited_parameters(plan: RecyclePlan, model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters that `plan` edits, edited; `model` is untouched.

    Use with ``torch.func.functional_call`` to see what a plan would do. Raises `UsageError` when the plan does not fit.
    """
    parameters = _named(model, plan.edits)
    copies = {edit.parameter: parameters[edit.parameter].detach().clone() for edit in plan.edits}
    for edit in plan.edits:
        edit.write(copies[edit.parameter])
    return copies


@torch.no_grad()
def apply_plan(
    plan: RecyclePlan,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | Collection[torch.optim.Optimizer] = (),
    policy: OptimizerPolicy | None = None,
) -> None:
    """Perform a plan on `model`, and forget what the optimizers remember of the numbers that were replaced.

    All writes are in place, so compiled models, CUDA graphs and optimizers keep working. The plan and the optimizer
    states are checked first: a plan that does not fit raises `UsageError` and changes nothing. `policy` is how
    optimizer state is treated (default: moments of edited numbers become 0, step counts stay). Call it after
    ``optimizer.step()``, not between ``backward()`` and ``step()``: gradients are left as they are.
    """
    parameters = _named(model, plan.edits)
    forget = clearings(plan.edits, parameters, as_optimizers(optimizer), policy or OptimizerPolicy())
    for edit in plan.edits:
        edit.write(parameters[edit.parameter])
    for clear in forget:
        clear()
