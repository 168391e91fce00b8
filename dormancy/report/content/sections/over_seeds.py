"""Curves over seeds: the interquartile mean of each group of runs, with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias, final

import numpy as np

from dormancy.metrics import METRICS, FloatArray
from dormancy.report.axis import written
from dormancy.report.content.groups import Comparison, Group, Pairing
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.common import step_axis, value_axis
from dormancy.report.content.sections.rank import SRANK, rank_scopes
from dormancy.report.content.sections.returns import EVALUATED, MOST_WINDOWS, evaluated, window_means
from dormancy.report.model import Axis, Cell, Column, Figure, Line, LinePanel, Section, Table, Unit
from dormancy.stats import Band, iqm_band
from dormancy.text.numbers import count

__all__ = [
    "GroupBand",
    "dormancy_bands",
    "evaluation_bands",
    "measured_band",
    "rank_bands",
    "return_bands",
    "share_band",
]

BAND = "Line: interquartile mean over seeds; band: 95 % interval, bootstrapped over runs."
RunCurve: TypeAlias = Callable[[Run], tuple[FloatArray, FloatArray]]
GroupCurve: TypeAlias = Callable[[Pairing, Group], "GroupBand"]


@final
@dataclass(frozen=True, eq=False)
class GroupBand:
    """What a group's runs do together: `x`, the numbers of runs there, and `band`, each of shape (K,)."""

    x: FloatArray
    runs: FloatArray
    band: Band


def _over_runs(group: Group, curve: RunCurve) -> GroupBand:
    """Put the runs' curves on the union of their places; a run is left out where it has no value.

    A group without runs, because none has the layer, gives no place at all.
    """
    curves = [curve(run) for run in group.runs]
    x = np.unique(np.concatenate([np.empty(0), *(places for places, _ in curves)]))
    values = np.full((len(curves), x.size), np.nan)
    for row, (places, known) in zip(values, curves, strict=True):
        row[np.searchsorted(x, places)] = known
    return GroupBand(x, np.isfinite(values).sum(axis=0).astype(np.float64), iqm_band(values))


def share_band(pairing: Pairing, group: Group, scope: Scope, tau: float) -> GroupBand:
    """Return the dormant share of a layer, or of the network, over the checkpoints of a group."""
    return _over_runs(_having(group, scope), lambda run: (run.x, run.shares(scope, tau)))


def measured_band(pairing: Pairing, group: Group, scope: Scope, name: str) -> GroupBand:
    """Return a metric of a layer over the checkpoints of a group."""
    return _over_runs(_having(group, scope), lambda run: (run.x, run.measured(name, scope)))


def _having(group: Group, scope: Scope) -> Group:
    return Group(group.label, group.slot, tuple(run for run in group.runs if run.has(scope)))


def _return_band(pairing: Pairing, group: Group) -> GroupBand:
    ends = np.linspace(0, max(pairing.horizon, 1.0), MOST_WINDOWS + 1)[1:]
    played = [run.record for run in group.runs if run.record is not None]
    values = np.array([window_means(record, ends) for record in played])
    return GroupBand(ends, np.isfinite(values).sum(axis=0).astype(np.float64), iqm_band(values))


def _line(group: Group, found: GroupBand) -> Line:
    return Line(group.label, found.x, found.band.estimate, group.slot, low=found.band.low, high=found.band.high)


def _said(line: Line, unit: Unit) -> str:
    known = np.flatnonzero(np.isfinite(line.y))
    if not known.size:
        return f"{line.label}: no value."
    last = known[-1]
    text = f"{line.label}: {written(float(line.y[last]), unit)} at step {count(line.x[last])}"
    if line.low is None or line.high is None or not np.isfinite(line.low[last]):
        return f"{text}."
    return f"{text}, 95 % interval {written(float(line.low[last]), unit)} to {written(float(line.high[last]), unit)}."


@final
@dataclass(frozen=True, eq=False)
class _Drawn:
    """One panel to be: its title, and the curve of each group in it."""

    title: str
    pairing: Pairing
    curves: tuple[tuple[Group, GroupBand], ...]

    @property
    def values(self) -> list[FloatArray]:
        """Everything that the axis must hold."""
        return [edge for _, found in self.curves for edge in (found.band.estimate, found.band.low, found.band.high)]

    def panel(self, x: Axis, y: Axis, what: str) -> LinePanel:
        """Draw it."""
        lines = tuple(_line(*one) for one in self.curves)
        said = " ".join(_said(line, y.unit) for line in lines)
        return LinePanel(self.title, f"{what}, {self.title}, interquartile mean over seeds. {said}", x, y, lines)

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The cells of the table under the figure."""
        columns = [(group, found, found.band) for group, found in self.curves]
        return [
            (self.title, group.label, float(found.x[k]), found.runs[k], band.estimate[k], band.low[k], band.high[k])
            for group, found, band in columns
            for k in range(found.x.size)
        ]


def _drawn(comparison: Comparison, title: str, curve: GroupCurve) -> list[_Drawn]:
    return [
        _Drawn(
            " · ".join(filter(None, (title, pairing.label))),
            pairing,
            tuple((group, curve(pairing, group)) for group in pairing.groups),
        )
        for pairing in comparison.pairings
    ]


def _table(drawn: Sequence[_Drawn], caption: str, step: str, kind: Literal["percent", "number"]) -> Table:
    columns = (
        Column("of", "text"),
        Column("runs", "text"),
        Column(step, "count"),
        Column("seeds", "count"),
        Column("IQM", kind),
        Column("95 % from", kind),
        Column("to", kind),
    )
    rows = tuple(row for one in drawn for row in one.rows)
    slots = tuple(group.slot for one in drawn for group, found in one.curves for _ in range(found.x.size))
    return Table(caption, columns, rows, slots=slots)


def _figure(
    drawn: Sequence[_Drawn], x: Axis, y: Axis, what: str, *, key: str, title: str, tau: float | None = None
) -> Figure:
    kind: Literal["percent", "number"] = "percent" if y.unit == "percent" else "number"
    return Figure(
        key=key,
        title=title,
        panels=tuple(one.panel(x, y, what) for one in drawn),
        table=_table(drawn, f"{what}, over seeds", x.label.removesuffix("s"), kind),
        caption=BAND,
        tau=tau,
        wide=len(drawn) == 1,
    )


def _shares(inputs: Inputs, comparison: Comparison, tau: float, scopes: Sequence[Scope], title: str) -> Figure:
    drawn = [
        one for scope in scopes for one in _drawn(comparison, scope.label, partial(share_band, scope=scope, tau=tau))
    ]
    y = value_axis("dormant neurons", [each for one in drawn for each in one.values], "percent", least=0.05)
    key = "dormancy-network" if scopes == (inputs.network,) else "dormancy-layers"
    what = f"Share of dormant neurons at tau = {tau:g}"
    return _figure(drawn, step_axis(inputs), y, what, key=key, title=title, tau=tau)


def dormancy_bands(inputs: Inputs, comparison: Comparison) -> Section:
    """Return the dormant share of the network and of every layer, group against group, for every tau."""
    question = comparison.asked("How many neurons are dormant")
    if inputs.still:
        empty = "One checkpoint a run: the shares are in the table of layers. A course needs two or more."
        return Section("dormancy", "Dormancy", "Dormancy over training", question, empty=empty)
    parts = (((inputs.network,), "Whole network"), (inputs.layers, "Layer by layer"))
    figures = [_shares(inputs, comparison, tau, *part) for tau in inputs.taus for part in parts]
    return Section("dormancy", "Dormancy", "Dormancy over training", question, figures)


def rank_bands(inputs: Inputs, comparison: Comparison) -> Section | None:
    """Return the effective rank, group against group; None where it was not measured or nothing moves."""
    scopes = rank_scopes(inputs, SRANK)
    if not scopes or inputs.still:
        return None
    title = METRICS[SRANK].title
    drawn = [
        one
        for scope in scopes
        for one in _drawn(comparison, scope.label, partial(measured_band, scope=scope, name=SRANK))
    ]
    y = value_axis("rank", [each for one in drawn for each in one.values])
    figure = _figure(drawn, step_axis(inputs), y, title, key="rank-srank", title=title)
    question = "How many independent directions does the last hidden layer still use?"
    return Section("rank", "Rank", "Rank of the features", question, [figure])


def return_bands(comparison: Comparison) -> Figure:
    """Return what the groups earned while they trained."""
    drawn = _drawn(comparison, "return", _return_band)
    y = value_axis("mean return of an episode", [each for one in drawn for each in one.values])
    last = max(pairing.horizon for pairing in comparison.pairings)
    x = Axis("agent steps", 0.0, max(last, 1.0), "step")
    return _figure(drawn, x, y, "Mean return of the training episodes", key="returns", title="Return over training")


def evaluation_bands(comparison: Comparison) -> Figure | None:
    """Return what the groups earned where they were evaluated, or None where no run was."""

    def band(pairing: Pairing, group: Group) -> GroupBand:
        return _over_runs(group, lambda run: evaluated(run.record))

    drawn = _drawn(comparison, "evaluation", band)
    places = [found.x for one in drawn for _, found in one.curves]
    if not any(place.size for place in places):
        return None
    y = value_axis("mean return of an episode", [each for one in drawn for each in one.values])
    x = Axis("agent steps", 0.0, max(pairing.horizon for pairing in comparison.pairings), "step")
    figure = _figure(drawn, x, y, "Mean return of an evaluation", key="returns-evaluation", title=EVALUATED)
    return figure if max(place.size for place in places) > 1 else replace(figure, panels=())
