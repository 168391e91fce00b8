"""The singular values that the effective rank is counted from, at the first and at the last checkpoint."""

from __future__ import annotations

import numpy as np

from dormancy.arrays import IntArray
from dormancy.metrics import FloatArray
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.common import line_styles, step_words
from dormancy.report.model import Axis, Cell, Column, Figure, Line, LinePanel, Rule, Table
from dormancy.text.numbers import count, number

__all__ = ["spectrum_figure"]

FLOOR = 1e-6
POINTS = 160
LISTED = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def _singular_values(run: Run, scope: Scope, k: int) -> FloatArray:
    """Return the singular values at checkpoint k relative to the largest, descending; empty where there are none."""
    measurement = run.scans[k].measurements.get("srank")
    spectra = measurement.detail.get("singular_values", {}) if measurement else {}
    values = np.asarray(spectra.get(scope.key, ()), dtype=np.float64)
    return values / values[0] if values.size and values[0] > 0 and np.isfinite(values).all() else values[:0]


def _thinned(size: int) -> IntArray:
    return np.unique(np.linspace(0, size - 1, min(size, POINTS)).round()).astype(np.int64)


def _line(label: str, values: FloatArray, slot: int, first: bool) -> Line:
    kept = _thinned(values.size)
    y = np.where(values[kept] >= FLOOR, values[kept], np.nan)
    return Line(label, (kept + 1).astype(np.float64), y, slot, "faint" if first else "solid")


def _lines(inputs: Inputs, scope: Scope) -> list[Line]:
    lines = []
    for run in inputs.having(scope):
        ends = {0: f"{run.label}, first", run.checkpoints - 1: run.label}
        spectra = [(label, _singular_values(run, scope, k), k < run.checkpoints - 1) for k, label in ends.items()]
        lines += [_line(label, values, run.slot, first) for label, values, first in spectra if values.size]
    return lines


def _rules(inputs: Inputs, scope: Scope) -> tuple[Rule, ...]:
    ranks = [(run, float(run.measured("srank", scope)[-1])) for run in inputs.having(scope)]
    return tuple(Rule("x", rank, f"srank {number(rank)}", run.slot) for run, rank in ranks if np.isfinite(rank))


def _said(inputs: Inputs, scope: Scope) -> str:
    parts = []
    for run in inputs.having(scope):
        rank, size = float(run.measured("srank", scope)[-1]), _singular_values(run, scope, -1).size
        if size and np.isfinite(rank):
            where = step_words(inputs, run.x[-1])
            parts.append(f"{run.label} at {where}: 99 % of their sum is in the first {number(rank)} of {count(size)}.")
    return " ".join(parts)


def _table(inputs: Inputs, scope: Scope) -> Table:
    columns = [Column("run", "text"), Column(inputs.step_unit, "count"), *(Column(f"σ{k}/σ1") for k in LISTED)]
    rows: list[tuple[Cell, ...]] = []
    for run in inputs.having(scope):
        for k in dict.fromkeys((0, run.checkpoints - 1)):
            values = _singular_values(run, scope, k)
            listed = (float(values[i - 1]) if i <= values.size else None for i in LISTED)
            rows.append((run.label, float(run.x[k]), *listed))
    return Table(f"Singular values of {scope.label} relative to the largest", tuple(columns), tuple(rows))


def spectrum_figure(inputs: Inputs, scope: Scope, index: int) -> Figure | None:
    """Return the spectra of one layer, or None where no scan holds them."""
    lines = _lines(inputs, scope)
    if not lines:
        return None
    lowest = min(float(np.nanmin(line.y)) for line in lines)
    x = Axis("singular value, by size", 1.0, max(2.0, max(float(line.x[-1]) for line in lines)))
    y = Axis("σ / largest σ", 10.0 ** np.floor(np.log10(min(lowest, 0.1))), 1.0, kind="log")
    alt = f"Singular values of the features of {scope.label} at the first and last checkpoint. {_said(inputs, scope)}"
    return Figure(
        key=f"rank-spectrum-{index}",
        title=f"Spectrum of {scope.label}",
        panels=(LinePanel(scope.label, alt, x, y, tuple(lines), _rules(inputs, scope)),),
        table=_table(inputs, scope),
        caption=f"Singular values of the uncentred features, relative to the largest; below {FLOOR:g} not drawn.",
        wide=True,
        legend=line_styles(inputs),
    )
