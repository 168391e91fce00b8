"""How the dormant share moves over training."""

from __future__ import annotations

from functools import partial

from dormancy.metrics import FloatArray
from dormancy.report.charts import Figure, Section
from dormancy.report.inputs import Inputs, Run, Scope
from dormancy.report.sections.common import Curve, by_scope, curve_panel, curve_table, value_axis

__all__ = ["dormancy_section"]

LABEL = "dormant neurons"


def _share(run: Run, scope: Scope, tau: float) -> FloatArray:
    return run.shares(scope, tau)


def _network(inputs: Inputs, tau: float, curve: Curve) -> Figure:
    axis = value_axis(LABEL, [curve(run, inputs.network) for run in inputs.runs], "percent", least=0.05)
    what = f"Share of dormant neurons at tau = {tau:g}"
    return Figure(
        key="dormancy-network",
        title="Whole network",
        panels=(curve_panel(inputs, inputs.network, curve, axis, what),),
        table=None,
        caption="Dormant neurons of all layers over all neurons.",
        tau=tau,
        wide=True,
    )


def _layers(inputs: Inputs, tau: float, curve: Curve) -> Figure:
    values = [curve(run, scope) for scope in inputs.layers for run in inputs.having(scope)]
    axis = value_axis(LABEL, values, "percent", least=0.05)
    what = f"Share of dormant neurons at tau = {tau:g}"
    return Figure(
        key="dormancy-layers",
        title="Layer by layer",
        panels=tuple(curve_panel(inputs, scope, curve, axis, what) for scope in inputs.layers),
        table=curve_table(inputs, by_scope(inputs.scopes, curve), "percent", f"Share of dormant neurons at tau = {tau:g}"),
        caption="All layers on one scale, in the order of the forward pass.",
        tau=tau,
    )


def dormancy_section(inputs: Inputs) -> Section:
    """Return the curves of the network and of every layer, for every tau."""
    curves = [(tau, partial(_share, tau=tau)) for tau in inputs.taus]
    figures = [draw(inputs, tau, curve) for tau, curve in curves for draw in (_network, _layers)]
    return Section("dormancy", "Dormancy over training", "How many neurons are dormant, and since when?", figures)
