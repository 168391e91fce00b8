"""Overlap between every two checkpoints: what was measured above the diagonal, what chance would give below it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from dormancy.arrays import BoolArray, IntArray
from dormancy.metrics import FloatArray
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.model import Column, Figure, RasterPanel, Table
from dormancy.report.score_levels import overlap_levels, overlap_scale
from dormancy.text.numbers import percent

__all__ = ["chance_matrix", "pairs_figure"]

MOST_CHECKPOINTS = 96
COLUMNS = (
    Column("run", "text"),
    Column("layer", "text"),
    Column("mean over pairs", "percent"),
    Column("by chance", "percent"),
    Column("first with last", "percent"),
    Column("by chance", "percent"),
)


def chance_matrix(dormant: BoolArray) -> FloatArray:
    """Return the overlap expected of independent sets of these sizes, max(|X|, |Y|) / H, for sets (K, neurons).

    >>> chance_matrix(np.array([[True, True, False, False], [False, False, True, False]]))
    array([[0.5 , 0.5 ],
           [0.5 , 0.25]])
    """
    sizes = dormant.sum(axis=1, dtype=np.float64)
    larger = np.maximum.outer(sizes, sizes) / dormant.shape[1]
    empty = sizes == 0
    larger[empty | empty[:, None]] = np.nan
    return np.asarray(larger)


def _mean_over_pairs(matrix: FloatArray) -> float:
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    known = pairs[np.isfinite(pairs)]
    return float(known.mean()) if known.size else float("nan")


def _picked(checkpoints: int) -> IntArray:
    """Return the checkpoints that are drawn: all, or so many evenly spaced."""
    return np.unique(np.linspace(0, checkpoints - 1, min(checkpoints, MOST_CHECKPOINTS)).round()).astype(np.int64)


@final
@dataclass(frozen=True, eq=False)
class _Pairs:
    """The two matrices of one layer of one run, each of shape (K, K)."""

    run: Run
    scope: Scope
    tau: float

    @cached_property
    def measured(self) -> FloatArray:
        return self.run.series.overlap_matrix(self.scope.key, self.tau)

    @cached_property
    def chance(self) -> FloatArray:
        return chance_matrix(self.run.dormant(self.scope, self.tau))

    @property
    def alt(self) -> str:
        mean, expected = _mean_over_pairs(self.measured), _mean_over_pairs(self.chance)
        return (
            f"Overlap of the dormant neurons of {self.scope.label} between checkpoints of {self.run.label} at "
            f"tau = {self.tau:g}: mean over pairs {percent(mean)}, by chance {percent(expected)}."
        )

    @property
    def note(self) -> str:
        mean = _mean_over_pairs(self.measured)
        return f"{percent(mean)}, chance {percent(_mean_over_pairs(self.chance))}" if np.isfinite(mean) else "undefined"

    @property
    def row(self) -> tuple[str | float, ...]:
        """The cells of `COLUMNS`."""
        first_last = (float(self.measured[0, -1]), float(self.chance[0, -1]))
        return (
            self.run.label,
            self.scope.label,
            _mean_over_pairs(self.measured),
            _mean_over_pairs(self.chance),
            *first_last,
        )


def _panel(inputs: Inputs, pairs: _Pairs) -> RasterPanel:
    scale, picked = overlap_scale(), _picked(pairs.run.checkpoints)
    below = np.tri(len(pairs.measured), k=-1, dtype=bool)
    steps = tuple(int(pairs.run.x[k]) for k in picked)
    return RasterPanel(
        title=pairs.run.label if inputs.several else "",
        group=pairs.scope.label,
        note=pairs.note,
        alt=pairs.alt,
        slot=pairs.run.slot,
        levels=overlap_levels(scale, np.where(below, pairs.chance, pairs.measured)[np.ix_(picked, picked)]),
        scale=scale,
        kind="pairs",
        rows=steps,
        columns=steps,
        x_label=f"{inputs.step_unit}s",
    )


def _caption(inputs: Inputs, tau: float) -> str:
    thinned = any(run.checkpoints > MOST_CHECKPOINTS for run in inputs.runs)
    return (
        f"Tau = {tau:g}. Above the diagonal what was measured, below it what chance would give for sets of these "
        "sizes. Under each picture the mean over all pairs."
        + (f" {MOST_CHECKPOINTS} checkpoints are drawn, evenly spaced." if thinned else "")
    )


def pairs_figure(inputs: Inputs, tau: float) -> Figure:
    """Return one picture per layer and run, the network first."""
    drawn = [_Pairs(run, scope, tau) for scope in inputs.scopes for run in inputs.having(scope)]
    rows, slots = tuple(pairs.row for pairs in drawn), tuple(pairs.run.slot for pairs in drawn)
    return Figure(
        key="overlap-pairs",
        title="Every checkpoint against every other (below the diagonal: by chance)",
        panels=tuple(_panel(inputs, pairs) for pairs in drawn),
        table=Table(f"Overlap between checkpoints at tau = {tau:g}", COLUMNS, rows, slots=slots),
        caption=_caption(inputs, tau),
        tau=tau,
    )
