"""From a value to a place on paper: axis limits, ticks and the mapping itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.charts import Axis
from dormancy.report.wording import compact, percent

__all__ = ["Scale", "nice_ceiling", "tick_label", "ticks"]

ZERO_SLOT = 0.07
"""The part of a "zerolog" axis that is kept for the value 0."""


def nice_ceiling(value: float) -> float:
    """Return the next of 1, 2, 2.5, 4, 5, 6, 8, 10 times a power of ten.

    >>> nice_ceiling(0.43), nice_ceiling(0.031), nice_ceiling(512)
    (0.5, 0.04, 600.0)
    """
    if not (math.isfinite(value) and value > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (step * power for step in (1, 2, 2.5, 4, 5, 6, 8, 10))
    return float(f"{next(step for step in steps if step >= value * (1 - 1e-9)):.6g}")


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    span = high - low
    if span <= 0:
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [float(f"{index * step:.9g}") for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    every = max(1, math.ceil(len(exponents) / most))
    return [10.0**exponent for exponent in exponents if exponent % every == 0]


def ticks(axis: Axis, most: int = 5) -> list[float]:
    """Return at most about `most` round values of an axis, ascending."""
    if axis.kind == "linear":
        return _linear_ticks(axis.low, axis.high, most)
    found = _log_ticks(axis.low, axis.high, most)
    return [0.0, *found] if axis.kind == "zerolog" else found


def tick_label(axis: Axis, value: float) -> str:
    """Write a tick in the unit of its axis.

    >>> tick_label(Axis("share", 0, 1, "percent"), 0.25), tick_label(Axis("agent step", 0, 1e6, "step"), 5e5)
    ('25 %', '500k')
    """
    return percent(value) if axis.unit == "percent" else compact(value)


@final
@dataclass(frozen=True)
class Scale:
    """An axis laid from `start` to `end` in user units; `start` may be the larger one."""

    axis: Axis
    start: float
    end: float

    def _parts(self, values: FloatArray) -> FloatArray:
        axis = self.axis
        if axis.kind == "linear":
            return (values - axis.low) / ((axis.high - axis.low) or 1.0)
        clipped = np.maximum(values, axis.low)
        part = np.log(clipped / axis.low) / (math.log(axis.high / axis.low) or 1.0)
        if axis.kind == "log":
            return np.asarray(part)
        return np.where(values < axis.low, ZERO_SLOT * values / axis.low, ZERO_SLOT + (1 - ZERO_SLOT) * part)

    def __call__(self, values: FloatArray | float) -> FloatArray:
        """Map values to places; NaN stays NaN."""
        parts = self._parts(np.asarray(values, dtype=np.float64))
        return self.start + parts * (self.end - self.start)
