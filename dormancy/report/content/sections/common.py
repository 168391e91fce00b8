"""What several chapters need: axes of steps, sentences about a curve, tables of curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.axis import nice_ceiling, written
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.model import Axis, Cell, Column, Line, LinePanel, Table, Unit
from dormancy.text.numbers import count

__all__ = [
    "Band",
    "Curve",
    "RunCurve",
    "by_scope",
    "curve_panel",
    "curve_panels",
    "curve_table",
    "first_last",
    "line_styles",
    "no_band",
    "step_axis",
    "step_words",
    "value_axis",
]

Curve: TypeAlias = Callable[[Run, Scope], FloatArray]
RunCurve: TypeAlias = Callable[[Run], FloatArray]
Band: TypeAlias = Callable[[Run, Scope], tuple[FloatArray, FloatArray] | None]
"""The interval around a curve, low and high, or None where it is not known."""


def step_axis(inputs: Inputs) -> Axis:
    """Return the axis of steps that all runs fit on; with one checkpoint it starts at 0."""
    places = np.concatenate([run.x for run in inputs.runs])
    low, high = float(places.min()), float(places.max())
    if low == high:
        low, high = min(0.0, low), max(high, 1.0)
    return Axis(f"{inputs.step_unit}s", low, high, "step")


def value_axis(label: str, values: Sequence[FloatArray], unit: Unit = "number", least: float = 0.0) -> Axis:
    """Return an axis from 0 (or below, if need be) to a round number above all values and `least`."""
    stacked = np.concatenate([*values, [0.0, least]])
    finite = stacked[np.isfinite(stacked)]
    top = nice_ceiling(float(finite.max()))
    low = 0.0 if finite.min() >= 0 else -nice_ceiling(-float(finite.min()))
    return Axis(label, low, min(top, 1.0) if unit == "percent" else top, unit)


def step_words(inputs: Inputs, step: float) -> str:
    """Name a checkpoint by its step.

    A series without steps is numbered, and then it reads "checkpoint 3".
    """
    unit = inputs.step_unit
    return f"{unit} {count(step)}"


def first_last(inputs: Inputs, run: Run, values: FloatArray, unit: Unit) -> str:
    """Say in one sentence where a run's curve begins, ends and is highest."""
    known = np.flatnonzero(np.isfinite(values))
    if known.size == 0:
        return f"{run.label}: no value."
    first, last = known[0], known[-1]
    end = f"{written(float(values[last]), unit)} at {step_words(inputs, run.x[last])}"
    if first == last:
        return f"{run.label}: {end}."
    start = f"{written(float(values[first]), unit)} at {step_words(inputs, run.x[first])}"
    return f"{run.label}: from {start} to {end}, highest {written(float(np.nanmax(values)), unit)}."


def no_band(run: Run, scope: Scope) -> None:
    """Return nothing: the curve has no interval."""


def curve_panel(inputs: Inputs, scope: Scope, curve: Curve, y: Axis, what: str, band: Band = no_band) -> LinePanel:
    """Draw one curve per run that has the layer, with its interval where `band` knows one."""
    lines, said = [], []
    for run in inputs.having(scope):
        values, (low, high) = curve(run, scope), band(run, scope) or (None, None)
        lines.append(Line(run.label, run.x, values, run.slot, low=low, high=high))
        said.append(first_last(inputs, run, values, y.unit))
        if low is not None and high is not None and np.isfinite(low[-1]):
            said.append(
                f"95 % interval of the last {written(float(low[-1]), y.unit)} to {written(float(high[-1]), y.unit)}."
            )
    return LinePanel(scope.label, f"{what}, {scope.label}. {' '.join(said)}", step_axis(inputs), y, tuple(lines))


def line_styles(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    """Return the legend of figures that compare the last checkpoint with the first."""
    last = ("solid", "last checkpoint")
    return () if inputs.still else (last, ("faint", "first checkpoint"))


def curve_panels(
    inputs: Inputs, scopes: Sequence[Scope], curve: Curve, y: Axis, what: str, band: Band = no_band
) -> tuple[LinePanel, ...]:
    """Draw one panel per layer; none where there is one checkpoint only, whose numbers a table tells better."""
    return () if inputs.still else tuple(curve_panel(inputs, scope, curve, y, what, band) for scope in scopes)


def by_scope(scopes: Sequence[Scope], curve: Curve) -> tuple[tuple[str, RunCurve], ...]:
    """Return one table column per layer: its label and its curve, all NaN for a run without the layer."""

    def column(scope: Scope) -> RunCurve:
        return lambda run: curve(run, scope) if run.has(scope) else np.full(run.checkpoints, np.nan)

    return tuple((scope.label, column(scope)) for scope in scopes)


def curve_table(
    inputs: Inputs, columns: Sequence[tuple[str, RunCurve]], kind: Literal["percent", "number"], caption: str
) -> Table:
    """Return one row per run and checkpoint, one column per named curve."""
    heads = (Column("run", "text"), Column(inputs.step_unit, "count"), *(Column(label, kind) for label, _ in columns))
    rows: list[tuple[Cell, ...]] = []
    slots: list[int | None] = []
    for run in inputs.runs:
        values = [curve(run) for _, curve in columns]
        rows += [(run.label, float(step), *(float(curve[k]) for curve in values)) for k, step in enumerate(run.x)]
        slots += [run.slot] * run.checkpoints
    return Table(caption, heads, tuple(rows), slots=tuple(slots))
