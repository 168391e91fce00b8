"""The table of layers: every layer of every run at its last checkpoint."""

from __future__ import annotations

import numpy as np

from dormancy.report.charts import Cell, Column, Table
from dormancy.report.inputs import Inputs, Run, Scope
from dormancy.report.sections.rank import SRANK
from dormancy.report.summary import long_share, long_streak
from dormancy.report.wording import plural, shown

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


def _columns(inputs: Inputs) -> tuple[Column, ...]:
    longest = max(long_streak(run) for run in inputs.runs)
    others = [tau for tau in inputs.taus if tau != inputs.tau]
    ranks = [Column("srank", hint="effective rank")] if _ranks(inputs) else []
    return (
        Column("layer", "text"),
        *([Column("run", "text")] if inputs.several else []),
        Column("activation", "text"),
        Column("neurons", "count"),
        Column(f"dormant at {inputs.tau:g}", "share", "share of neurons with a score of at most tau"),
        *(Column(f"at {tau:g}", "percent", "share of neurons with a score of at most tau") for tau in others),
        Column("over training", "trend", f"share at tau = {inputs.tau:g}, first to last checkpoint"),
        Column(f"> {longest} checkpoints", "percent", "share of the dormant neurons that have been so for longer"),
        *ranks,
        Column("remarks", "text"),
    )


def _row(inputs: Inputs, run: Run, scope: Scope) -> tuple[Cell, ...]:
    shares = [float(run.shares(scope, tau)[-1]) for tau in inputs.taus]
    layer = None if scope.key is None else run.layer(scope)
    return (
        scope.label,
        *([run.label] if inputs.several else []),
        shown(layer.activation, 24) if layer else "",
        run.size(scope),
        shares[0],
        *shares[1:],
        run.shares(scope, inputs.tau),
        long_share(run, scope, inputs.tau),
        *(float(run.measured(name, scope)[-1]) if layer else np.nan for name in _ranks(inputs)),
        _remarks(inputs, run, scope) if layer else "",
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
