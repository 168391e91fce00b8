"""How far the outputs of one network are from those of another, on a whole sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.errors import NetworkError
from dormancy.graph import call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.probing.probe import Probe

__all__ = ["ActionsOutput", "OutputChange", "Reference"]

ActionsOutput: TypeAlias = int | Literal["only"] | None


@final
@dataclass(frozen=True)
class OutputChange:
    """How far outputs moved over `observations` rows: `largest` and `mean` absolute change over all numbers.

    `scale` is the largest absolute output before. The others are None unless one output is known to have a value for
    each action, shape (rows, actions), two actions or more: `agreement` is the share of rows on which the largest
    value is that of the same action, `action_gap` the mean of (best value - second best) before, and `gap_ratio` the
    mean over rows of max_a |ΔQ(s, a)| over that mean gap. A ratio well below 1 leaves most greedy actions alone. It is
    infinite where the gap is 0 and values moved. Values that are not finite, before or after, make `largest` NaN.
    """

    observations: int
    largest: float
    mean: float
    scale: float
    agreement: float | None = None
    action_gap: float | None = None
    gap_ratio: float | None = None

    @property
    def relative(self) -> float:
        """The largest change as a share of the largest output; NaN where that is 0 and something moved."""
        return self.largest / self.scale if self.scale else (0.0 if self.largest == 0 else math.nan)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form; what is not finite becomes None."""
        values = {**asdict(self), "relative": self.relative}
        return {name: _json(value) for name, value in values.items()}


def _json(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


@final
class Reference:
    """The outputs of a network on a probe's sample, kept so that many changed networks can be held against them.

    `actions` is the number of the output that has a value for each action, None where none has, or "only": the only
    output, where there is no other.
    """

    def __init__(self, probe: Probe, actions: ActionsOutput = "only") -> None:
        self._probe = probe
        self._actions = actions
        self._outputs = [[each.double() for each in outputs] for outputs in self._run(probe.model)]

    def change(self, model: nn.Module) -> OutputChange:
        """Run a changed network on the same batches and tell how far its outputs are from the reference."""
        tally = _Tally(self._actions)
        for before, after in zip(self._outputs, self._run(model), strict=True):
            tally.add(before, [each.double() for each in after])
        return tally.result()

    def _run(self, model: nn.Module) -> Iterator[list[Tensor]]:
        with undisturbed(model):
            for batch in self._probe.batches():
                found = [each for each in tensors_in(call_model(model, batch)) if each.is_floating_point()]
                if not found:
                    raise NetworkError("the network has no output of numbers to compare")
                yield found


@final
class _Tally:
    """Adds up the changes of one batch after the other, in float64."""

    def __init__(self, actions: ActionsOutput) -> None:
        self.actions = actions
        self.rows = self.count = self.agreeing = 0
        self.total = self.gaps = self.moved = 0.0
        self.largest, self.scale = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        self.has_actions = actions is not None

    def add(self, before: list[Tensor], after: list[Tensor]) -> None:
        self.rows += len(before[0])
        for old, new in zip(before, after, strict=True):
            change = (new - old).abs()
            self.count += change.numel()
            self.total += float(change.sum())
            self.largest = torch.maximum(self.largest, change.max().cpu())  # unlike max(), it keeps a NaN
            self.scale = torch.maximum(self.scale, old.abs().max().cpu())
        place = (0 if len(before) == 1 else None) if self.actions == "only" else self.actions
        self.has_actions &= place is not None and before[place].dim() == 2 and before[place].shape[1] > 1
        if place is not None and self.has_actions:
            self._add_actions(before[place], after[place])

    def _add_actions(self, before: Tensor, after: Tensor) -> None:
        best = before.topk(2, dim=1).values
        self.gaps += float((best[:, 0] - best[:, 1]).sum())
        self.moved += float((after - before).abs().amax(1).sum())
        self.agreeing += int((before.argmax(1) == after.argmax(1)).sum())

    def result(self) -> OutputChange:
        largest, mean, scale = float(self.largest), self.total / self.count, float(self.scale)
        if not self.has_actions:
            return OutputChange(self.rows, largest, mean, scale)
        gap, moved = self.gaps / self.rows, self.moved / self.rows
        ratio = float(np.divide(moved, gap)) if gap else (0.0 if moved == 0 else math.inf)
        return OutputChange(self.rows, largest, mean, scale, self.agreeing / self.rows, gap, ratio)
