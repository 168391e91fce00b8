"""From a value to a place on paper: axis limits, ticks, the mapping itself, and labels that do not collide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.model import Axis, Line, LinePanel, Unit
from dormancy.text.numbers import compact, number, percent, shown

__all__ = ["Scale", "columns_of", "end_label", "ends_early", "nice_ceiling", "spread", "tick_label", "ticks", "written"]

LONGEST_NAME = 20
EARLY = 0.9
ZERO_SLOT = 0.07
"""The part of a "zerolog" axis that is kept for the value 0."""


def nice_ceiling(value: float) -> float:
    """Return the next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10 times a power of ten.

    >>> nice_ceiling(0.43), nice_ceiling(0.031), nice_ceiling(512)
    (0.5, 0.04, 600.0)
    """
    if not (math.isfinite(value) and value > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10))
    return float(f"{next(step for step in steps if step >= value * (1 - 1e-9)):.6g}")


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    span = high - low
    if span <= 0:
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    every = max(1, math.ceil(len(exponents) / most))
    return [10.0**exponent for exponent in exponents if exponent % every == 0]


def ticks(axis: Axis, most: int = 5) -> list[float]:
    """Return at most about `most` round values of an axis, ascending."""
    if axis.kind == "linear":
        return _linear_ticks(axis.low, axis.high, most)
    found = _log_ticks(axis.low, axis.high, most)
    # The tick at the low end would touch that of 0.
    return [0.0, *(tick for tick in found if tick > axis.low * 1.5)] if axis.kind == "zerolog" else found


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


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Move labels until they are `apart` from one another, in their order, as near as that allows, within low..high.

    >>> spread([10, 12, 40], 5, 0, 50)
    [10.0, 15.0, 40.0]
    >>> spread([48, 49], 5, 0, 50)
    [45.0, 50.0]
    """
    order = np.argsort(wanted, kind="stable")
    placed = np.asarray(wanted, dtype=np.float64)[order]
    for index in range(1, placed.size):
        placed[index] = max(placed[index], placed[index - 1] + apart)
    ceiling = high
    for index in range(placed.size - 1, -1, -1):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - apart
    result = np.empty_like(placed)
    result[order] = np.maximum(placed, low)
    return [float(place) for place in result]


def written(value: float, unit: Unit) -> str:
    """Write a value in its unit.

    >>> written(0.431, "percent"), written(212.0, "number"), written(250000.0, "step")
    ('43 %', '212', '250k')
    """
    return {"percent": percent, "number": number, "step": compact}[unit](value)


def end_label(line: Line, panel: LinePanel, named: bool) -> str:
    """Return what stands at the end of a line: its last value, with its name where several lines are told apart so.

    On a logarithmic axis the last value is no summary, so there it is the name alone.
    """
    known = np.flatnonzero(np.isfinite(line.y))
    if line.style != "solid" or known.size == 0:
        return ""
    value = written(float(line.y[known[-1]]), panel.y.unit)
    several = len({one.label for one in panel.lines if one.style == "solid"}) > 1
    name = shown(line.label, LONGEST_NAME) if named and several else ""
    return name if panel.y.kind == "log" else f"{name} {value}".lstrip()


def ends_early(line: Line, x: Axis) -> bool:
    """Tell whether a line ends well before its axis: a label in the margin would not be seen to belong to it."""
    last = line.x[np.isfinite(line.y)][-1]
    return bool(Scale(x, 0.0, 1.0)(last) < EARLY)


def columns_of(panels: int) -> int:
    """Return how many small panels stand side by side, three or four, so that the last row is not left almost empty.

    >>> [columns_of(panels) for panels in (3, 4, 5, 7, 8)]
    [3, 4, 3, 4, 4]
    """
    return 4 if panels > 3 and panels % 4 in (0, 3) else 3
