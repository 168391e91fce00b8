"""Whether it is the same neurons that are dormant, checkpoint after checkpoint, and what chance alone would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np

from dormancy.arrays import BoolArray
from dormancy.metrics import FloatArray
from dormancy.metrics.overlap import chance_overlap
from dormancy.report.content.runs import Inputs, Scope
from dormancy.report.content.sections.common import first_last, step_axis
from dormancy.report.content.sections.overlap_matrix import pairs_figure
from dormancy.report.model import Axis, Cell, Column, Figure, Line, LinePanel, Section, Table
from dormancy.scanning.series import History
from dormancy.text.numbers import percent

__all__ = ["overlap_section"]

_PAST: dict[History, Callable[[BoolArray, int], BoolArray]] = {
    "previous": lambda dormant, k: np.asarray(dormant[k - 1]),
    "cumulative": lambda dormant, k: np.asarray(dormant[:k].any(axis=0)),
    "first": lambda dormant, k: np.asarray(dormant[0]),
}
_TITLES: dict[History, str] = {
    "previous": "with the previous checkpoint",
    "cumulative": "with all earlier checkpoints",
    "first": "with the first checkpoint",
}


def _chance_curve(dormant: BoolArray, history: History) -> FloatArray:
    past = _PAST[history]
    return np.array([np.nan, *(chance_overlap(past(dormant, k), dormant[k]) for k in range(1, len(dormant)))])


def _history_panel(inputs: Inputs, scope: Scope, tau: float, history: History) -> LinePanel:
    lines, said = [], []
    for run in inputs.having(scope):
        measured = run.series.overlap(history, scope.key, tau)
        chance = _chance_curve(run.dormant(scope, tau), history)
        lines += [Line(run.label, run.x, measured, run.slot), Line("by chance", run.x, chance, run.slot, "dashed")]
        said.append(first_last(inputs, run, measured, "percent"))
        said.append(f"By chance {percent(float(chance[-1]))} at the last.")
    alt = f"Overlap of the dormant neurons of {scope.label} {_TITLES[history]} at tau = {tau:g}. {' '.join(said)}"
    return LinePanel(_TITLES[history], alt, step_axis(inputs), Axis("overlap", 0.0, 1.0, "percent"), tuple(lines))


def _history_table(inputs: Inputs, scope: Scope, tau: float) -> Table:
    columns = [Column("run", "text"), Column(inputs.step_unit, "count")]
    for history in get_args(History):
        columns += [Column(history, "percent", _TITLES[history]), Column("by chance", "percent")]
    rows: list[tuple[Cell, ...]] = []
    for run in inputs.having(scope):
        dormant = run.dormant(scope, tau)
        pairs = [(run.series.overlap(h, scope.key, tau), _chance_curve(dormant, h)) for h in get_args(History)]
        values = np.stack([curve for pair in pairs for curve in pair], axis=1)
        rows += [(run.label, float(step), *map(float, row)) for step, row in zip(run.x, values, strict=True)]
    return Table(
        f"Overlap of the dormant neurons of {scope.label} with their past at tau = {tau:g}", tuple(columns), tuple(rows)
    )


def _history(inputs: Inputs, tau: float) -> Figure:
    scope = inputs.penultimate[0] if len(inputs.penultimate) == 1 else inputs.network
    return Figure(
        key="overlap-history",
        title=f"Now against the past: {scope.label}",
        panels=tuple(_history_panel(inputs, scope, tau, history) for history in get_args(History)),
        table=_history_table(inputs, scope, tau),
        caption=f"Overlap coefficient of the dormant sets, tau = {tau:g}; no line where a set is empty.",
        tau=tau,
        legend=(("solid", "measured"), ("dashed", "by chance, for sets of these sizes")),
    )


def overlap_section(inputs: Inputs) -> Section:
    """Return overlap with the past and between all checkpoints, for every tau."""
    short, title, question = (
        "Overlap",
        "Overlap of dormant sets",
        "Is it the same neurons that are dormant, or different ones each time?",
    )
    if inputs.still:
        return Section("overlap", short, title, question, empty="Overlap compares checkpoints, and there is only one.")
    figures = [draw(inputs, tau) for tau in inputs.taus for draw in (_history, pairs_figure)]
    return Section("overlap", short, title, question, figures)
