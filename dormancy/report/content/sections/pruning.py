"""What pruning dormant neurons did: the effect beside its controls, and the curve over tau where it was swept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np

from dormancy.report.axis import nice_ceiling
from dormancy.report.model import Axis, Cell, Column, Figure, Line, LinePanel, Section, Table
from dormancy.report.palette import slot_of
from dormancy.text.numbers import number, percent, shown, unique

__all__ = ["pruning_section", "sweep_figure"]

Result: TypeAlias = Mapping[str, Any]
"""What ``dormancy prune --format json`` writes, schema ``dormancy.prune/1``."""
Named: TypeAlias = tuple[str, Result]
Change: TypeAlias = Mapping[str, Any]

KINDS = (("solid", "dormant neurons"), ("dashed", "as many random ones"), ("faint", "as many with the highest scores"))


def _changes(effect: Mapping[str, Any]) -> Iterator[tuple[str, Change]]:
    """Give every measured change of one result, named."""
    yield "dormant, on the sample", effect["sample"]
    if effect["held_out"]:
        yield "dormant on one half, on that half", effect["held_out"]["found"]
        yield "dormant on one half, on the other", effect["held_out"]["unseen"]
    if effect["controls"]:
        yield "as many random ones", effect["controls"]["random_mean"]
        yield "as many with the highest scores", effect["controls"]["strongest"]


def _cells(change: Change) -> tuple[Cell, ...]:
    return tuple(change[name] for name in ("observations", "largest", "mean", "agreement", "gap_ratio"))


def _effect_table(results: Sequence[Named]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, result in results:
        pruned = f"{result['pruned']} of {result['neurons']}"
        rows += [(name, result["tau"], pruned, what, *_cells(change)) for what, change in _changes(result["effect"])]
    columns = (
        Column("checkpoint", "text"),
        Column("tau"),
        Column("pruned", "text"),
        Column("which neurons", "text"),
        Column("rows", "count", hint="observations that the change was measured on"),
        Column("largest Δ", hint="largest change of any output"),
        Column("mean Δ", hint="mean change of an output"),
        Column("same action", "percent", hint="observations on which the greedy action stayed"),
        Column("ΔQ / gap", hint="largest change of an action's value over the gap between the best two, both averaged"),
    )
    return Table("How far pruning moved the outputs", columns, tuple(rows))


def _effect_figure(results: Sequence[Named]) -> Figure:
    return Figure(
        key="pruning-effect",
        title="Effect of pruning",
        panels=(),
        table=_effect_table(results),
        caption="Neurons found on one half of a sample and judged on the other say what to expect on new observations.",
    )


def _refusals(results: Sequence[Named]) -> Table | None:
    rows = [
        (name, shown(layer["name"]), layer["chosen"], shown(layer["refused"] or layer["masked_only"]))
        for name, result in results
        for layer in result["layers"]
        if layer["refused"] or layer["masked_only"]
    ]
    columns = (Column("checkpoint", "text"), Column("layer", "text"), Column("dormant", "count"), Column("why", "text"))
    return Table("Layers that were not pruned, or masked instead of narrowed", columns, tuple(rows)) if rows else None


def _refusal_figure(results: Sequence[Named]) -> Figure | None:
    table = _refusals(results)
    return Figure(key="pruning-refused", title="Layers left alone", panels=(), table=table) if table else None


def _returns_figure(results: Sequence[Named]) -> Figure | None:
    rows = [
        (
            name,
            returns["env_id"],
            returns["episodes"],
            what,
            *(returns[what][end] for end in ("estimate", "low", "high")),
        )
        for name, result in results
        if (returns := result["returns"])
        for what in ("before", "after", "difference")
    ]
    columns = (
        Column("checkpoint", "text"),
        Column("environment", "text"),
        Column("episodes", "count"),
        Column("", "text"),
        Column("mean return"),
        Column("95 % from"),
        Column("to"),
    )
    table = Table("Return before and after pruning", columns, tuple(rows))
    note = "Episode by episode from the same start; bootstrap intervals over episodes."
    return Figure(key="pruning-returns", title="Return", panels=(), table=table, caption=note) if rows else None


def _points(result: Result) -> Sequence[Mapping[str, Any]]:
    return sorted(result["sweep"]["points"], key=lambda point: float(point["share"]))


KEYS: tuple[Callable[[Mapping[str, Any]], Change | None], ...] = (
    lambda point: point["change"],
    lambda point: point["controls"] and point["controls"]["random_mean"],
    lambda point: point["controls"] and point["controls"]["strongest"],
)


def _lines(result: Result, slot: int, value: str) -> tuple[Line, ...]:
    points = _points(result)
    x = np.array([point["share"] for point in points], dtype=np.float64)
    lines = []
    for (style, label), of in zip(KINDS, KEYS, strict=True):
        values = [(of(point) or {}).get(value) for point in points]
        y = np.array([np.nan if each is None else float(each) for each in values])
        lines.append(Line(label, x, y, slot, style))  # type: ignore[arg-type]  # KINDS holds nothing but styles
    return tuple(lines)


def _panel(name: str, result: Result, slot: int, what: tuple[str, str, str]) -> LinePanel:
    value, label, short = what
    lines = _lines(result, slot, value)
    known = np.concatenate([line.y[np.isfinite(line.y)] for line in lines] or [np.zeros(1)])
    shares = value == "agreement"
    top = 1.0 if shares else nice_ceiling(float(known.max()) if known.size else 1.0)
    y = Axis(label, 0.0, top, "percent" if shares else "number")
    x = Axis("pruned share", 0.0, min(1.0, nice_ceiling(float(lines[0].x.max()))), "percent")
    alt = f"{label} against the pruned share, {name}. {_said(lines, shares)}"
    return LinePanel(f"{name}: {short}", alt, x, y, lines)


def _said(lines: Sequence[Line], shares: bool) -> str:
    written = percent if shares else number
    ends = (
        f"{line.label}: {written(line.y[0])} at {percent(line.x[0])}, {written(line.y[-1])} at {percent(line.x[-1])}."
        for line in lines
        if line.y.size
    )
    return " ".join(ends)


def _sweep_rows(results: Sequence[Named]) -> Iterator[tuple[Cell, ...]]:
    for name, result in results:
        for point in _points(result):
            changes = [of(point) or {} for of in KEYS]
            held_out = (point["held_out"] or {}).get("unseen") or {}
            moved = [each.get("largest") for each in (changes[0], held_out, *changes[1:])]
            agreed = [each.get("agreement") for each in (changes[0], held_out, *changes[1:])]
            yield (name, point["tau"], point["pruned"], point["share"], *moved, *agreed)


def sweep_figure(results: Sequence[Named]) -> Figure:
    """Draw the effect of masking against the pruned share: the change of outputs, and of greedy actions where known.

    `results` are named prune results with a sweep.
    """
    panels = []
    for index, (name, result) in enumerate(results):
        panels.append(_panel(name, result, slot_of(index), ("largest", "largest change of an output", "outputs")))
        if any(point["change"]["agreement"] is not None for point in _points(result)):
            panels.append(_panel(name, result, slot_of(index), ("agreement", "same greedy action", "actions")))
    kinds = ("dormant", "held out", "random", "highest")
    columns = (
        Column("checkpoint", "text"),
        Column("tau"),
        Column("pruned", "count"),
        Column("share", "percent"),
        *(Column(f"largest change, {kind}") for kind in kinds),
        *(Column(f"same action, {kind}", "percent") for kind in kinds),
    )
    return Figure(
        key="pruning-sweep",
        title="Effect against pruned share",
        panels=tuple(panels),
        table=Table("Effect of masking at every tau", columns, tuple(_sweep_rows(results))),
        caption="Masking the neurons with the lowest scores first; random and high-scoring ones in the same numbers.",
        legend=KINDS,
        of_runs=False,
    )


def _label(result: Result) -> str:
    """Name a checkpoint by its run folder and its file."""
    path = PurePath((result["checkpoint"] or {}).get("path", "network"))
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return " ".join(filter(None, (run.name, path.stem)))


def pruning_section(results: Sequence[Result]) -> Section | None:
    """Return the chapter on pruning, or None where nothing was pruned."""
    if not results:
        return None
    named = list(zip(unique(map(_label, results), limit=36), results, strict=True))
    swept = [(name, result) for name, result in named if result["sweep"]]
    drawn = sweep_figure(swept) if swept else None
    figures = [_effect_figure(named), _returns_figure(named), drawn, _refusal_figure(named)]
    question = "Does the network need its dormant neurons?"
    return Section("pruning", "Pruning", "Pruning", question, [figure for figure in figures if figure is not None])
