"""Means over the gradient steps since the last row, summed where the numbers are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

__all__ = ["WindowMeans"]


@final
class WindowMeans:
    """Sums numbers by name, on their device, so that a GPU need not be waited for; ``loss`` is there from the start."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take in the numbers of one gradient step, scalars without gradient; a step need not have all of them."""
        for name, value in values.items():
            if name not in self._sums:
                self._sums[name], self._counts[name] = torch.zeros((), device=self._device), 0
            self._sums[name] += value
            self._counts[name] += 1

    def nonfinite(self) -> tuple[str, float, int] | None:
        """Return the name and sum of a number that is infinite or undefined, and over how many steps; else None."""
        for name, value in self._sums.items():
            if not math.isfinite(total := float(value)):
                return name, total, self._counts[name]
        return None

    def take(self) -> dict[str, float | None]:
        """Return the means since the last call and begin anew; without a step, the loss is None."""
        found = {
            name: float(value) / count if (count := self._counts[name]) else None for name, value in self._sums.items()
        }
        for name, value in self._sums.items():
            value.zero_()
            self._counts[name] = 0
        return found or {"loss": None}

    def state(self) -> dict[str, Any]:
        """Return sums and counts."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up saved sums."""
        self._sums = {name: value.to(self._device) for name, value in state["sums"].items()}
        self._counts = {name: int(count) for name, count in state["counts"].items()}
