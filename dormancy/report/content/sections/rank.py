"""How many directions the features still use: the effective rank, and the other ranks beside it."""

from __future__ import annotations

from functools import partial

import numpy as np

from dormancy.metrics import METRICS, FloatArray
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.common import by_scope, curve_panel, curve_panels, curve_table, value_axis
from dormancy.report.content.sections.spectrum import spectrum_figure
from dormancy.report.model import Figure, LinePanel, Rule, Section
from dormancy.text.numbers import count

__all__ = ["RANKS", "attainable", "rank_scopes", "rank_section"]


SRANK = "srank"
RANKS = (SRANK, "entropy_rank", "stable_rank", "pca_rank", "feature_rank")
"""The ranks by name; no two of them are the same number, whatever other tools call them."""


def attainable(run: Run, scope: Scope) -> int:
    """Return the largest rank that the last scan could have found: no more than its rows, no more than its neurons."""
    srank = run.last.measurements.get(SRANK)
    said = srank.detail.get("attainable", {}).get(scope.key) if srank else None
    return int(said) if said else min(run.size(scope), run.last.observations)


def _rank(run: Run, scope: Scope, name: str) -> FloatArray:
    return run.measured(name, scope)


def rank_scopes(inputs: Inputs, name: str) -> tuple[Scope, ...]:
    """Return the layers that a rank was measured in."""

    def known(scope: Scope) -> bool:
        return any(np.isfinite(run.measured(name, scope)).any() for run in inputs.having(scope))

    return tuple(scope for scope in inputs.layers if known(scope))


def _with_rules(inputs: Inputs, scope: Scope, panel: LinePanel) -> LinePanel:
    most = sorted({attainable(run, scope) for run in inputs.having(scope)})
    rules = tuple(Rule("y", float(value), f"at most {count(value)}") for value in most if value <= panel.y.high)
    said = "; ".join(rule.label for rule in rules)
    return LinePanel(panel.title, f"{panel.alt} Attainable: {said}.", panel.x, panel.y, panel.lines, rules)


def _srank_figure(inputs: Inputs, scopes: tuple[Scope, ...]) -> Figure:
    curve, title = partial(_rank, name=SRANK), METRICS[SRANK].title
    drawn = [(run, scope) for scope in scopes for run in inputs.having(scope)]
    axis = value_axis("rank", [curve(run, scope) for run, scope in drawn], least=max(attainable(*one) for one in drawn))
    panels = curve_panels(inputs, scopes, curve, axis, title)
    return Figure(
        key="rank-srank",
        title=title,
        panels=tuple(_with_rules(inputs, scope, panel) for scope, panel in zip(scopes, panels, strict=False)),
        table=curve_table(inputs, by_scope(scopes, curve), "number", title),
        caption=METRICS[SRANK].formula,
        wide=len(scopes) == 1,
    )


def _rank_panel(inputs: Inputs, name: str, scope: Scope) -> LinePanel:
    curve, title = partial(_rank, name=name), METRICS[name].title
    axis = value_axis("rank", [curve(run, scope) for run in inputs.having(scope)])
    panel = curve_panel(inputs, scope, curve, axis, title)
    return LinePanel(title, panel.alt, panel.x, panel.y, panel.lines)


def _others_figure(inputs: Inputs, scope: Scope, names: tuple[str, ...]) -> Figure:
    columns = tuple((METRICS[name].title, partial(_rank, scope=scope, name=name)) for name in names)
    return Figure(
        key=f"rank-others-{inputs.layers.index(scope)}",
        title=f"Other ranks of {scope.label}",
        panels=tuple(_rank_panel(inputs, name, scope) for name in names if not inputs.still),
        table=curve_table(inputs, columns, "number", f"Ranks of {scope.label}"),
        caption="Each on a scale of its own: they count different things and cannot be compared with one another.",
    )


def _other_figures(inputs: Inputs) -> list[Figure]:
    by_layer = {scope: [name for name in RANKS[1:] if scope in rank_scopes(inputs, name)] for scope in inputs.layers}
    return [_others_figure(inputs, scope, tuple(names)) for scope, names in by_layer.items() if names]


def rank_section(inputs: Inputs) -> Section:
    """Return the effective rank over training, the spectra behind it and the other ranks that were measured."""
    title, question = "Rank of the features", "How many independent directions does the last hidden layer still use?"
    scopes = rank_scopes(inputs, SRANK)
    figures = [_srank_figure(inputs, scopes)] if scopes else []
    spectra = [spectrum_figure(inputs, scope, index) for index, scope in enumerate(inputs.layers)]
    figures += [figure for figure in spectra if figure is not None]
    figures += _other_figures(inputs)
    empty = "" if figures else "No rank was measured in these scans; `dormancy scan --metrics srank` measures it."
    return Section("rank", "Rank", title, question, figures, empty=empty)
