"""What several chapters need: axes of steps, sentences about a curve, tables of curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.charts import Axis, Cell, Column, Line, LinePanel, Table, Unit
from dormancy.report.inputs import Inputs, Run, Scope
from dormancy.report.scales import nice_ceiling
from dormancy.report.wording import compact, count, number, percent

__all__ = [
    "Curve",
    "RunCurve",
    "by_scope",
    "curve_panel",
    "curve_table",
    "first_last",
    "step_axis",
    "step_words",
    "value_axis",
    "written",
]

Curve: TypeAlias = Callable[[Run, Scope], FloatArray]
RunCurve: TypeAlias = Callable[[Run], FloatArray]


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


def written(value: float, unit: Unit) -> str:
    """Write a value in its unit."""
    return {"percent": percent, "number": number, "step": compact}[unit](value)


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


def curve_panel(inputs: Inputs, scope: Scope, curve: Curve, y: Axis, what: str) -> LinePanel:
    """Draw one curve per run that has the layer."""
    runs = inputs.having(scope)
    values = [curve(run, scope) for run in runs]
    lines = tuple(Line(run.label, run.x, y_values, run.slot) for run, y_values in zip(runs, values, strict=True))
    said = " ".join(first_last(inputs, run, shown, y.unit) for run, shown in zip(runs, values, strict=True))
    return LinePanel(scope.label, f"{what}, {scope.label}. {said}", step_axis(inputs), y, lines)


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
