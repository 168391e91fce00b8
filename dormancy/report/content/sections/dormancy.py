"""How the dormant share moves over training, with its interval where the scans resampled their observations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.common import RunCurve, by_scope, curve_panels, curve_table, value_axis
from dormancy.report.model import Axis, Figure, LinePanel, Section, Table

__all__ = ["dormancy_section"]

LABEL = "dormant neurons"


@final
@dataclass(frozen=True, eq=False)
class _Shares:
    """The dormant shares of all runs at one tau."""

    inputs: Inputs
    tau: float

    @property
    def what(self) -> str:
        return f"Share of dormant neurons at tau = {self.tau:g}"

    def curve(self, run: Run, scope: Scope) -> FloatArray:
        return run.shares(scope, self.tau)

    def band(self, run: Run, scope: Scope) -> tuple[FloatArray, FloatArray] | None:
        return run.interval(scope, self.tau)

    @property
    def resampled(self) -> bool:
        return any(self.band(run, self.inputs.network) for run in self.inputs.runs)

    def axis(self, scopes: tuple[Scope, ...]) -> Axis:
        drawn = [(run, scope) for scope in scopes for run in self.inputs.having(scope)]
        highs = [band[1] for one in drawn if (band := self.band(*one))]
        return value_axis(LABEL, [*(self.curve(*one) for one in drawn), *highs], "percent", least=0.05)

    def panels(self, scopes: tuple[Scope, ...]) -> tuple[LinePanel, ...]:
        return curve_panels(self.inputs, scopes, self.curve, self.axis(scopes), self.what, self.band)

    def bound(self, side: int, run: Run) -> FloatArray:
        band = self.band(run, self.inputs.network)
        return band[side] if band else np.full(run.checkpoints, np.nan)

    def network_table(self) -> Table:
        columns: list[tuple[str, RunCurve]] = [*by_scope((self.inputs.network,), self.curve)]
        if self.resampled:
            columns += [("95 % from", partial(self.bound, 0)), ("to", partial(self.bound, 1))]
        return curve_table(self.inputs, columns, "percent", f"{self.what}, whole network")


def _caption(shares: _Shares, text: str) -> str:
    band = " Bands: 95 % interval, bootstrapped over the observations." if shares.resampled else ""
    return f"{text}, tau = {shares.tau:g}.{band}"


def _network(shares: _Shares) -> Figure:
    return Figure(
        key="dormancy-network",
        title="Whole network",
        panels=shares.panels((shares.inputs.network,)),
        table=shares.network_table(),
        caption=_caption(shares, "Dormant neurons of all layers over all neurons"),
        tau=shares.tau,
        wide=True,
    )


def _layers(shares: _Shares) -> Figure:
    layers = shares.inputs.layers
    return Figure(
        key="dormancy-layers",
        title="Layer by layer",
        panels=shares.panels(layers),
        table=curve_table(shares.inputs, by_scope(layers, shares.curve), "percent", f"{shares.what}, layer by layer"),
        caption=_caption(shares, "All layers on one scale, in the order of the forward pass"),
        tau=shares.tau,
    )


def dormancy_section(inputs: Inputs) -> Section:
    """Return the curves of the network and of every layer, for every tau."""
    title, question = "Dormancy over training", "How many neurons are dormant, and since when?"
    if inputs.still:
        empty = "One checkpoint: its shares are in the table of layers. A course needs two or more."
        return Section("dormancy", "Dormancy", title, question, empty=empty)
    figures = [draw(_Shares(inputs, tau)) for tau in inputs.taus for draw in (_network, _layers)]
    return Section("dormancy", "Dormancy", title, question, figures)
