"""Every other metric that a scan holds: being registered is enough to be shown."""

from __future__ import annotations

from functools import partial

import numpy as np

from dormancy.metrics import METRICS, FloatArray
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.common import by_scope, curve_panels, curve_table, value_axis
from dormancy.report.content.sections.rank import RANKS
from dormancy.report.model import Figure, Section
from dormancy.text.numbers import shown

__all__ = ["further_section"]

SHOWN_ELSEWHERE = frozenset(RANKS)


def _values(run: Run, scope: Scope, name: str) -> FloatArray:
    return run.measured(name, scope)


def _figure(inputs: Inputs, name: str, index: int) -> Figure | None:
    curve = partial(_values, name=name)
    scopes = tuple(s for s in inputs.scopes if any(np.isfinite(curve(run, s)).any() for run in inputs.having(s)))
    if not scopes:
        return None
    title, formula = (METRICS[name].title, METRICS[name].formula) if name in METRICS else (shown(name), "")
    axis = value_axis(title, [curve(run, scope) for scope in scopes for run in inputs.having(scope)])
    return Figure(
        key=f"metric-{index}",
        title=title[:1].upper() + title[1:],
        panels=curve_panels(inputs, scopes, curve, axis, title),
        table=curve_table(inputs, by_scope(scopes, curve), "number", title),
        caption=formula,
    )


def further_section(inputs: Inputs) -> Section | None:
    """Return a figure per metric that no other chapter shows, or None where there is no such metric."""
    names = [name for name in inputs.metric_names() if name not in SHOWN_ELSEWHERE]
    drawn = (_figure(inputs, name, index) for index, name in enumerate(names))
    figures = [figure for figure in drawn if figure is not None]
    question = "What else was measured on these checkpoints?"
    return Section("further", "Further", "Further measurements", question, figures) if figures else None
