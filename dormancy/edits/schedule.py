"""When an intervention is due, and the loss that it may need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from torch import Tensor

from dormancy.errors import UsageError

__all__ = ["Loss", "Period"]


@final
@dataclass(frozen=True)
class Period:
    """Act every `every` gradient steps, from `start` on and before `end` (half-open, in gradient steps).

    >>> [step for step in range(7) if Period(2, start=3).due(step)]
    [4, 6]
    """

    every: int
    start: int = 0
    end: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"a recycling period must be at least 1 gradient step, not {self.every}")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise UsageError(f"recycling must end after it starts, at 0 or later, not from {self.start} to {self.end}")

    def due(self, step: int) -> bool:
        """Whether it is time at this gradient step; the first step is number 1."""
        return step > 0 and step % self.every == 0 and self.start <= step and (self.end is None or step < self.end)


Loss: TypeAlias = Callable[[Any], Tensor]
"""Maps the network's output on the observations to the loss, a scalar."""
