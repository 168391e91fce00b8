"""How much the answer depends on tau: the dormant share at every threshold, from the stored scores."""

from __future__ import annotations

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.metrics.tau_sweep import SWEEP, tau_sweep
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.common import line_styles
from dormancy.report.model import Axis, Cell, Column, Figure, Line, LinePanel, Rule, Section, Table
from dormancy.text.numbers import percent

__all__ = ["sweep_section"]

LOW, HIGH = 1e-3, 2.0
POINTS = 72


def _grid(inputs: Inputs) -> FloatArray:
    inside = [tau for tau in inputs.taus if LOW <= tau <= HIGH]
    return np.unique(np.concatenate(([0.0], np.geomspace(LOW, HIGH, POINTS), inside)))


def _panel(inputs: Inputs, scope: Scope) -> LinePanel:
    grid, lines, said = _grid(inputs), [], []
    for run in inputs.having(scope):
        scores = run.scores(scope)
        if run.checkpoints > 1:
            lines.append(Line(f"{run.label}, first", grid, tau_sweep(scores[0], grid), run.slot, "faint"))
        lines.append(Line(run.label, grid, tau_sweep(scores[-1], grid), run.slot))
        shares = tau_sweep(scores[-1], np.asarray(inputs.taus))
        said.append(
            f"{run.label}: "
            + ", ".join(f"{percent(s)} at {t:g}" for t, s in zip(inputs.taus, shares, strict=True))
            + "."
        )
    alt = f"Share of neurons of {scope.label} with a score of at most tau, last checkpoint. {' '.join(said)}"
    x = Axis("tau", LOW, HIGH, kind="zerolog")
    rules = tuple(Rule("x", tau, f"{tau:g}") for tau in inputs.taus if tau > 0)
    return LinePanel(scope.label, alt, x, Axis("dormant neurons", 0.0, 1.0, "percent"), tuple(lines), rules)


def _row(run: Run, scope: Scope, taus: FloatArray) -> tuple[Cell, ...]:
    return (run.label, scope.label, *map(float, tau_sweep(run.scores(scope)[-1], taus)))


def _table(inputs: Inputs) -> Table:
    taus = np.unique([*SWEEP, *inputs.taus])
    columns = (Column("run", "text"), Column("layer", "text"), *(Column(f"tau {tau:g}", "percent") for tau in taus))
    drawn = [(run, scope) for run in inputs.runs for scope in inputs.scopes if run.has(scope)]
    rows = tuple(_row(run, scope, taus) for run, scope in drawn)
    return Table("Share of neurons with a score of at most tau, last checkpoint", columns, rows)


def sweep_section(inputs: Inputs) -> Section:
    """Return the share of dormant neurons as a function of tau, for the network and every layer."""
    figure = Figure(
        key="sweep-shares",
        title="Dormant share at every tau",
        panels=tuple(_panel(inputs, scope) for scope in inputs.scopes),
        table=_table(inputs),
        caption="A flat line around the tau in use means that its choice hardly matters; a steep one, that it decides.",
        legend=line_styles(inputs),
    )
    question = "How much does the share depend on the threshold?"
    return Section("sweep", "Tau", "Tau sweep", question, [figure])
