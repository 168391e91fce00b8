"""The table of layers: every layer of every run at its last checkpoint."""

from __future__ import annotations

import numpy as np

from dormancy.metrics import METRICS
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.rank import SRANK
from dormancy.report.content.summary import long_share, long_streak
from dormancy.report.model import Cell, Column, Table
from dormancy.text.numbers import plural, shown

__all__ = ["layer_table"]


def _remarks(inputs: Inputs, run: Run, scope: Scope) -> str:
    layer = run.layer(scope)
    line = layer.on_the_line(inputs.tau)
    remarks = (
        f"{plural(layer.nonfinite, 'neuron')} not finite" if layer.nonfinite else "",
        f"{plural(line, 'neuron')} on the line" if line else "",
        f"not rewritable: {shown(layer.obstacle, 160)}" if layer.obstacle else "",
        f"rewriting moves live neurons: {shown(layer.caveat, 160)}" if layer.caveat else "",
    )
    return "; ".join(filter(None, remarks))


def _ranks(inputs: Inputs) -> list[str]:
    return [SRANK] if SRANK in inputs.metric_names() else []


def _course(inputs: Inputs) -> tuple[Column, ...]:
    """Return the columns that need a second checkpoint."""
    if inputs.still:
        return ()
    longest = max(long_streak(run) for run in inputs.runs)
    return (
        Column("over training", "trend", f"share at tau = {inputs.tau:g}, first to last checkpoint"),
        Column(
            "stay dormant",
            "percent",
            f"share of the dormant neurons that have been so for more than {longest} checkpoints",
        ),
    )


def _columns(inputs: Inputs) -> tuple[Column, ...]:
    hint = "share of neurons with a score of at most tau"
    return (
        Column("layer", "text"),
        *([Column("run", "text")] if inputs.several else []),
        Column(f"dormant, tau {inputs.tau:g}", "share", hint),
        *(Column(f"tau {tau:g}", "percent", hint) for tau in inputs.taus if tau != inputs.tau),
        *_course(inputs),
        *(Column(name, hint=METRICS[name].title) for name in _ranks(inputs)),
        Column("neurons", "count"),
        Column("activation", "text"),
        *([Column("remarks", "prose")] if _any_remarks(inputs) else []),
    )


def _any_remarks(inputs: Inputs) -> bool:
    return any(_remarks(inputs, run, scope) for scope in inputs.layers for run in inputs.having(scope))


def _row(inputs: Inputs, run: Run, scope: Scope) -> tuple[Cell, ...]:
    layer = None if scope.key is None else run.layer(scope)
    course = () if inputs.still else (run.shares(scope, inputs.tau), long_share(run, scope, inputs.tau))
    return (
        scope.label,
        *([run.label] if inputs.several else []),
        *(float(run.shares(scope, tau)[-1]) for tau in inputs.taus),
        *course,
        *(float(run.measured(name, scope)[-1]) if layer else np.nan for name in _ranks(inputs)),
        run.size(scope),
        shown(layer.activation, 24) if layer else "",
        *([_remarks(inputs, run, scope) if layer else ""] if _any_remarks(inputs) else []),
    )


def layer_table(inputs: Inputs) -> Table:
    """Return one row per layer and run, and below them one per network."""
    layers = [(run, scope) for scope in inputs.layers for run in inputs.having(scope)]
    networks = [(run, inputs.network) for run in inputs.runs]
    return Table(
        caption=f"Every layer at the last checkpoint, tau = {inputs.tau:g}",
        columns=_columns(inputs),
        rows=tuple(_row(inputs, run, scope) for run, scope in layers),
        slots=tuple(run.slot for run, _ in (*layers, *networks)),
        foot=tuple(_row(inputs, run, scope) for run, scope in networks),
    )
