"""What a plan would do to a network's outputs, without doing it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from dormancy.edits.scores import Inputs, eagerly
from dormancy.errors import NetworkError
from dormancy.graph import call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.recycle.plan import RecyclePlan, edited_parameters

__all__ = ["Effect", "effect_of"]


@final
@dataclass(frozen=True)
class Effect:
    """How far outputs move: the largest and the mean absolute change over all numbers, and the spread they had before.

    `greedy_changes` is the share of rows whose largest entry moves, for one output of shape (rows, values); else None.
    """

    largest: float
    mean: float
    spread: float
    greedy_changes: float | None

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return asdict(self)


def _outputs(model: nn.Module, parameters: dict[str, Tensor], inputs: Inputs) -> list[Tensor]:
    with undisturbed(model), eagerly():
        swapped = _Swapped(model, parameters)
        found = [tensor for tensor in tensors_in(call_model(swapped, inputs)) if tensor.is_floating_point()]
    if not found:
        raise NetworkError("the network has no output of numbers to compare")
    return found


class _Swapped(nn.Module):
    """A network with other values for some of its parameters."""

    def __init__(self, model: nn.Module, parameters: dict[str, Tensor]) -> None:
        super().__init__()
        self._model = [model]  # in a list, so that it does not become a part of this one
        self._replacements = parameters

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        return torch.func.functional_call(self._model[0], self._replacements, inputs, keywords)


def effect_of(plan: RecyclePlan, model: nn.Module, inputs: Inputs) -> Effect:
    """Compare the outputs on `inputs` before and after `plan`; the network is untouched.

    On the batch that a plan at tau = 0 was made from, `largest` is exactly 0; on other inputs a silent neuron may have
    spoken, and it need not be.
    """
    before = _outputs(model, {}, inputs)
    after = _outputs(model, edited_parameters(plan, model), inputs)
    changes = torch.cat([(new - old).abs().flatten().double() for old, new in zip(before, after, strict=True)])
    spread = torch.cat([old.flatten().double() for old in before]).std(correction=0)
    greedy = None
    if len(before) == 1 and before[0].dim() == 2:
        greedy = float((before[0].argmax(1) != after[0].argmax(1)).double().mean())
    return Effect(float(changes.max()), float(changes.mean()), float(spread), greedy)
