"""Which neurons are dormant when: a picture of every neuron at every checkpoint."""

from __future__ import annotations

from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.model import Column, Figure, LevelScale, RasterPanel, Section, Table
from dormancy.report.score_levels import score_levels, score_scale
from dormancy.scanning.lifetimes import by_time_dormant, current_streaks
from dormancy.text.numbers import percent, plural

__all__ = ["neurons_section"]

LISTED = 25


def _panel(inputs: Inputs, run: Run, scope: Scope, scale: LevelScale) -> RasterPanel:
    dormant, scores = run.dormant(scope, inputs.tau), run.scores(scope)
    order = by_time_dormant(dormant, scores)
    always, ever = int(dormant.all(axis=0).sum()), int(dormant.any(axis=0).sum())
    seen = f"{plural(order.size, 'neuron')} at {plural(run.checkpoints, 'checkpoint')}"
    alt = (
        f"{scope.label} of {run.label}: scores of {seen}, the longest dormant on top. At tau = {inputs.tau:g}, {ever} "
        f"({percent(ever / order.size)}) were dormant at some checkpoint and {always} at every one."
    )
    return RasterPanel(
        title=run.label,
        alt=alt,
        slot=run.slot,
        levels=score_levels(scale, scores[:, order].T),
        scale=scale,
        kind="neurons",
        rows=tuple(int(neuron) for neuron in order),
        columns=tuple(int(step) for step in run.x),
        x_label=f"{inputs.step_unit}s",
    )


def _table(inputs: Inputs, scope: Scope) -> Table:
    """List the neurons that are dormant the longest: which, for how long, and how quiet now."""
    columns = (
        Column("run", "text"),
        Column("neuron", "count"),
        Column("dormant at", "percent", "share of all checkpoints"),
        Column("in a row up to the last", "count"),
        Column("first score", "number"),
        Column("last score", "number"),
    )
    rows, slots, more = [], [], 0
    for run in inputs.having(scope):
        dormant, scores = run.dormant(scope, inputs.tau), run.scores(scope)
        ever = [int(neuron) for neuron in by_time_dormant(dormant, scores) if dormant[:, neuron].any()]
        streaks, share = current_streaks(dormant), dormant.mean(axis=0)
        more += max(0, len(ever) - LISTED)
        for one in ever[:LISTED]:
            rows.append(
                (run.label, one, float(share[one]), int(streaks[one]), float(scores[0, one]), float(scores[-1, one]))
            )
            slots.append(run.slot)
    note = f"{plural(more, 'more neuron')} dormant at some checkpoint not listed." if more else ""
    caption = f"{scope.label}: neurons dormant the longest at tau = {inputs.tau:g}"
    return Table(caption, columns, tuple(rows), note or ("" if rows else "No neuron was ever dormant."), tuple(slots))


def _sizes(inputs: Inputs, scope: Scope) -> str:
    sizes = {run.label: run.size(scope) for run in inputs.having(scope)}
    if len(set(sizes.values())) == 1:
        return plural(next(iter(sizes.values())), "neuron")
    return ", ".join(f"{plural(size, 'neuron')} in {label}" for label, size in sizes.items())


def neurons_section(inputs: Inputs) -> Section:
    """Return one figure per layer, with one picture per run."""
    scale = score_scale(inputs.taus)
    figures = [
        Figure(
            key=f"neurons-{index}",
            title=scope.label,
            panels=tuple(_panel(inputs, run, scope, scale) for run in inputs.having(scope)),
            table=_table(inputs, scope),
            caption=_sizes(inputs, scope),
        )
        for index, scope in enumerate(inputs.layers)
    ]
    question = (
        "Which neurons are dormant, when, and do they come back? One row a neuron, one column a checkpoint; the "
        f"stronger the colour, the lower the score. Sorted by time dormant at tau = {inputs.tau:g}."
    )
    return Section("neurons", "Neurons", "Neuron by neuron", question, figures)
