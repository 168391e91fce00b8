"""Whether dormant neurons come back: how many fall dormant, how many wake, and how long a spell lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dormancy.arrays import BoolArray
from dormancy.metrics import FloatArray
from dormancy.report.content.runs import Inputs, Run
from dormancy.report.content.sections.common import RunCurve, curve_table, step_axis, value_axis
from dormancy.report.model import Axis, Figure, Line, LinePanel, Section
from dormancy.scanning.lifetimes import fell_dormant, spells, survival, woke
from dormancy.text.numbers import number, percent, plural

__all__ = ["lifetimes_section"]


def _survival_words(run: Run, curve: FloatArray, found: int) -> str:
    if not found:
        return f"{run.label}: no neuron was ever dormant."
    known = np.flatnonzero(np.isfinite(curve))
    half = np.flatnonzero(curve <= 0.5)
    median = (
        f"half of them end within {plural(half[0], 'checkpoint')}"
        if half.size
        else "fewer than half of them are seen to end"
    )
    last = int(known[-1])
    return f"{run.label}: {plural(found, 'spell')}; {median}; {percent(float(curve[last]))} last longer than {last}."


def _survival_panel(inputs: Inputs, tau: float) -> LinePanel:
    lines, said = [], []
    for run in inputs.runs:
        found = spells(run.dormant(inputs.network, tau))
        curve = survival(found, run.checkpoints)
        lines.append(Line(run.label, np.arange(curve.size, dtype=np.float64), curve, run.slot))
        said.append(_survival_words(run, curve, found.lengths.size))
    x = Axis("checkpoints since it fell dormant", 0.0, float(max(run.checkpoints for run in inputs.runs)))
    alt = f"Share of dormant spells that last longer than so many checkpoints, tau = {tau:g}. {' '.join(said)}"
    return LinePanel("still dormant", alt, x, Axis("spells", 0.0, 1.0, "percent"), tuple(lines))


def _flow_panel(
    inputs: Inputs, tau: float, title: str, flow: Callable[[BoolArray], FloatArray], top: float
) -> LinePanel:
    counts = [flow(run.dormant(inputs.network, tau)) for run in inputs.runs]
    lines = tuple(Line(run.label, run.x, values, run.slot) for run, values in zip(inputs.runs, counts, strict=True))
    totals = (f"{run.label}: {number(float(np.nansum(v)))} in all." for run, v in zip(inputs.runs, counts, strict=True))
    alt = f"Neurons that {title} since the checkpoint before, tau = {tau:g}. {' '.join(totals)}"
    return LinePanel(title, alt, step_axis(inputs), Axis("neurons", 0.0, top), lines)


def _flows(inputs: Inputs, tau: float) -> Sequence[tuple[str, RunCurve]]:
    return (
        ("fell dormant", lambda run: fell_dormant(run.dormant(inputs.network, tau))),
        ("woke up", lambda run: woke(run.dormant(inputs.network, tau))),
    )


def _figure(inputs: Inputs, tau: float) -> Figure:
    flows = _flows(inputs, tau)
    # One scale for both directions: a net change can then be seen.
    top = value_axis("neurons", [curve(run) for _, curve in flows for run in inputs.runs], least=4).high
    panels = (
        _flow_panel(inputs, tau, "fell dormant", fell_dormant, top),
        _flow_panel(inputs, tau, "woke up", woke, top),
        _survival_panel(inputs, tau),
    )
    return Figure(
        key="lifetimes",
        title="Falling dormant, waking up, staying dormant",
        panels=panels,
        table=curve_table(inputs, flows, "number", f"Neurons that changed since the checkpoint before, tau = {tau:g}"),
        caption=f"Whole network, tau = {tau:g}. A spell that the last checkpoint cuts off counts as long as it was "
        "seen (Kaplan-Meier).",
        tau=tau,
    )


def lifetimes_section(inputs: Inputs) -> Section:
    """Return flows into and out of dormancy and the survival of spells, for every tau."""
    title, question = "Lifetimes", "Do dormant neurons wake up again?"
    if inputs.still:
        return Section(
            "lifetimes", title, title, question, empty="Lifetimes need two checkpoints or more, and there is one."
        )
    return Section("lifetimes", title, title, question, [_figure(inputs, tau) for tau in inputs.taus])
