"""Whether it is the same neurons that are dormant, checkpoint after checkpoint, and what chance alone would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np

from dormancy.graph.neurons import IntArray
from dormancy.metrics import FloatArray
from dormancy.metrics.overlap import BoolArray, chance_overlap
from dormancy.report.charts import Axis, Cell, Column, Figure, Line, LinePanel, RasterPanel, Section, Table
from dormancy.report.inputs import Inputs, Run, Scope
from dormancy.report.levels import overlap_levels, overlap_scale
from dormancy.report.sections.common import first_last, step_axis
from dormancy.report.wording import percent
from dormancy.series import History

__all__ = ["overlap_section"]

MOST_CHECKPOINTS = 96
_PAST: dict[History, Callable[[BoolArray, int], BoolArray]] = {
    "previous": lambda dormant, k: dormant[k - 1],
    "cumulative": lambda dormant, k: dormant[:k].any(axis=0),
    "first": lambda dormant, k: dormant[0],
}
_TITLES: dict[History, str] = {
    "previous": "with the checkpoint before",
    "cumulative": "with all checkpoints before together",
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
    return Table(f"Overlap of the dormant neurons of {scope.label} with their past at tau = {tau:g}", tuple(columns), tuple(rows))


def _history(inputs: Inputs, tau: float) -> Figure:
    scope = inputs.penultimate[0] if len(inputs.penultimate) == 1 else inputs.network
    return Figure(
        key="overlap-history",
        title=f"Now against the past: {scope.label}",
        panels=tuple(_history_panel(inputs, scope, tau, history) for history in get_args(History)),
        table=_history_table(inputs, scope, tau),
        caption="Overlap coefficient of the dormant sets; no line where a set is empty.",
        tau=tau,
        legend=(("solid", "measured"), ("dashed", "by chance, for sets of these sizes")),
    )


def _picked(checkpoints: int) -> IntArray:
    return np.unique(np.linspace(0, checkpoints - 1, min(checkpoints, MOST_CHECKPOINTS)).round()).astype(np.int64)


def _chance_matrix(dormant: BoolArray) -> FloatArray:
    sizes = dormant.sum(axis=1, dtype=np.float64)
    larger = np.maximum.outer(sizes, sizes) / dormant.shape[1]
    empty = sizes == 0
    larger[empty | empty[:, None]] = np.nan
    return np.asarray(larger)


def _mean_off_diagonal(matrix: FloatArray) -> float:
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    known = pairs[np.isfinite(pairs)]
    return float(known.mean()) if known.size else float("nan")


def _matrices(run: Run, scope: Scope, tau: float) -> tuple[FloatArray, FloatArray]:
    return run.series.overlap_matrix(scope.key, tau), _chance_matrix(run.dormant(scope, tau))


def _matrix_panel(inputs: Inputs, tau: float, run: Run, scope: Scope) -> RasterPanel:
    measured, chance = _matrices(run, scope, tau)
    scale, picked = overlap_scale(), _picked(run.checkpoints)
    both = np.where(np.tri(len(measured), k=-1, dtype=bool), chance, measured)[np.ix_(picked, picked)]
    alt = (
        f"Overlap of the dormant neurons of {scope.label} between checkpoints of {run.label} at tau = {tau:g}: mean over "
        f"pairs {percent(_mean_off_diagonal(measured))}, by chance {percent(_mean_off_diagonal(chance))}."
    )
    return RasterPanel(
        title=run.label if inputs.several else "",
        group=scope.label,
        alt=alt,
        slot=run.slot,
        levels=overlap_levels(scale, both),
        scale=scale,
        kind="pairs",
        rows=tuple(int(run.x[k]) for k in picked),
        columns=tuple(int(run.x[k]) for k in picked),
        x_label=f"{inputs.step_unit}s",
        y_label=f"{inputs.step_unit}s",
    )


def _matrix_row(run: Run, scope: Scope, tau: float) -> tuple[Cell, ...]:
    measured, chance = _matrices(run, scope, tau)
    return (
        run.label,
        scope.label,
        _mean_off_diagonal(measured),
        _mean_off_diagonal(chance),
        float(measured[0, -1]),
        float(chance[0, -1]),
    )


def _matrix_figure(inputs: Inputs, tau: float) -> Figure:
    drawn = [(run, scope) for scope in inputs.scopes for run in inputs.having(scope)]
    columns = (
        Column("run", "text"),
        Column("layer", "text"),
        Column("mean over pairs", "percent"),
        Column("by chance", "percent"),
        Column("first with last", "percent"),
        Column("by chance", "percent"),
    )
    thinned = any(run.checkpoints > MOST_CHECKPOINTS for run in inputs.runs)
    return Figure(
        key="overlap-pairs",
        title="Every checkpoint against every other",
        panels=tuple(_matrix_panel(inputs, tau, run, scope) for run, scope in drawn),
        table=Table(
            f"Overlap between checkpoints at tau = {tau:g}",
            columns,
            tuple(_matrix_row(run, scope, tau) for run, scope in drawn),
            slots=tuple(run.slot for run, _ in drawn),
        ),
        caption="Above the diagonal what was measured, below it what chance would give for sets of these sizes."
        + (f" {MOST_CHECKPOINTS} checkpoints, evenly spaced." if thinned else ""),
        tau=tau,
    )


def overlap_section(inputs: Inputs) -> Section:
    """Return overlap with the past and between all checkpoints, for every tau."""
    title, question = "Overlap of dormant sets", "Is it the same neurons that are dormant, or different ones each time?"
    if all(run.checkpoints < 2 for run in inputs.runs):
        return Section("overlap", title, question, empty="Overlap compares checkpoints, and there is only one.")
    figures = [draw(inputs, tau) for tau in inputs.taus for draw in (_history, _matrix_figure)]
    return Section("overlap", title, question, figures)
