"""Scans as tables for people: one row a layer for one checkpoint, one row a checkpoint for many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from dormancy_cli.shared.tables import _say, literal, new_table
from dormancy_cli.shared.text import bar, counted, grouped, number, percent, printable

if TYPE_CHECKING:
    from rich.console import Console

    from dormancy.scanning.result import DormancyScan, LayerScore
    from dormancy_cli.scan.collect import Group
    from dormancy_cli.scan.gates.gate import Gate
    from dormancy_cli.scan.gates.verdict import Verdict

__all__ = ["draw_gates", "draw_group", "draw_scan"]

SHARES = ((0.25, "green"), (0.5, "yellow"), (1.0, "red"))
BAR_CELLS = 12
WIDE_ENOUGH = 100  # columns of a terminal that leave room for bars
NARROW_COLUMNS, PER_TAU = 44, 14  # what the other columns of a series take
SINCE = ("drift", "churn")  # what has changed since other checkpoints: these have columns in a series
OUTCOMES = ("passed", "not judged", "failed")  # the worst last
RANK = "srank"  # the rank with a column of its own; the others follow in words


def draw_scan(console: Console, scan: DormancyScan, *, verbose: bool = False) -> None:
    """Print one checkpoint: what was looked at, its layers, and what to know of them."""
    _say(console, scan.checkpoint.path if scan.checkpoint else "network", style="bold")
    _say(console, _facts(scan.env_id, _saved_at(scan), counted(scan.observations, "observation")))
    console.print()
    console.print(_layer_table(scan, bars=_has_room(console)))
    for line in _footnotes(scan):
        _say(console, line, style="dim")
    for line in _origins(scan) if verbose else ():
        _say(console, line, style="dim")


def draw_group(console: Console, group: Group, *, verbose: bool = False) -> None:
    """Print the checkpoints of one run, and how the table is to be read."""
    first = group.scans[0]
    _say(console, group.name, style="bold")
    _say(
        console,
        _facts(
            first.env_id,
            counted(len(group.scans), "checkpoint"),
            counted(first.neurons, "neuron"),
            _sample_sizes(group),
        ),
    )
    console.print()
    console.print(_series_table(group, console))
    _say(console, _reading(group), style="dim")
    for scan in group.scans if verbose else ():
        for line in _origins(scan):
            _say(console, line, style="dim")


def draw_gates(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print one row a gate: its verdict, on how many checkpoints, and what was found where it is worst."""
    table = new_table()
    for column in ("gate", "verdict"):
        table.add_column(column, no_wrap=True)
    table.add_column("checkpoints", justify="right")
    table.add_column("worst", overflow="fold")
    by_gate: dict[Gate, list[Verdict]] = {}
    for verdict in verdicts:
        by_gate.setdefault(verdict.gate, []).append(verdict)
    for gate, found in by_gate.items():
        worst = max(found, key=lambda each: (OUTCOMES.index(each.outcome), each.excess))
        same = sum(each.outcome == worst.outcome for each in found)
        style = "red" if worst.outcome == "failed" else "" if worst.passed else "yellow"
        counts = f"{grouped(same)} of {grouped(len(found))}"
        table.add_row(literal(str(gate)), Text(worst.outcome, style=style), counts, literal(_found(worst)))
    console.print(table)


def _found(verdict: Verdict) -> str:
    return f"{verdict.checkpoint}: {verdict.finding}"


def _facts(*facts: str | None) -> str:
    return " · ".join(fact for fact in facts if fact)


def _saved_at(scan: DormancyScan) -> str:
    steps = {"agent step": scan.agent_step, "gradient step": scan.gradient_step}
    return _facts(*(f"{unit} {grouped(step)}" for unit, step in steps.items() if step is not None))


def _sample_sizes(group: Group) -> str:
    sizes = sorted({scan.observations for scan in group.scans})
    return f"{grouped(sizes[0])} observations each" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} observations"


def _has_room(console: Console) -> bool:
    return console.is_terminal and console.width >= WIDE_ENOUGH


def _add_shares(table: Table, scan: DormancyScan, *, bars: bool) -> None:
    for tau in scan.taus:
        table.add_column(f"dormant\ntau {tau:g}", justify="right", no_wrap=True)
    if bars:
        table.add_column("", width=BAR_CELLS, no_wrap=True)


def _shares(scan: DormancyScan, layer: LayerScore | None, *, bars: bool) -> Iterator[Text]:
    sets = [scan.dormant(tau) if layer is None else layer.dormant(tau) for tau in scan.taus]
    for dormant in sets:
        share = float(dormant.mean())
        yield Text(f"{grouped(int(dormant.sum()))}  {percent(share):>7}", style=_style(share))
    if bars:
        yield Text(bar(float(sets[0].mean()), BAR_CELLS), style=_style(float(sets[0].mean())))


def _style(share: float) -> str:
    return next(style for limit, style in SHARES if share <= limit) if share else "dim"


def _layer_table(scan: DormancyScan, *, bars: bool) -> Table:
    table = new_table()
    table.add_column("layer", overflow="fold")
    table.add_column("activation")
    table.add_column("neurons", justify="right")
    _add_shares(table, scan, bars=bars)
    ranks = scan.measurements[RANK].layers if RANK in scan.measurements else None
    if ranks is not None:
        table.add_column(RANK, justify="right")
    for layer in scan.layers:
        rank = [number(ranks.get(layer.name, math.nan))] if ranks is not None else []
        shares = _shares(scan, layer, bars=bars)
        table.add_row(literal(layer.name), layer.activation, grouped(layer.size), *shares, *rank)
    table.add_section()
    table.add_row(Text("network", style="bold"), "", grouped(scan.neurons), *_shares(scan, None, bars=bars))
    return table


def _footnotes(scan: DormancyScan) -> Iterator[str]:
    means = (f"{percent(scan.mean_layer_fraction(tau))} (tau {tau:g})" for tau in scan.taus)
    yield f"network: pooled over neurons; the mean of the layers' shares is {', '.join(means)}"
    yield from _measured(scan)
    for layer in scan.layers:
        if layer.obstacle:
            yield f"{layer.name}: scored, but not to be recycled or pruned: {layer.obstacle}"
        if layer.caveat:
            yield f"{layer.name}: recycling or pruning it also moves live neurons: {layer.caveat}"


def _measured(scan: DormancyScan) -> Iterator[str]:
    """What has no column: for each layer the metrics that speak of it, then those that speak of the network."""
    for layer in scan.layers:
        values = {
            name: found.layers[layer.name] for name, found in scan.measurements.items() if layer.name in found.layers
        }
        if told := [f"{name} {number(value)}" for name, value in values.items() if not math.isnan(value)]:
            yield f"{layer.name}: {', '.join(told)}"
    network = {name: found.network for name, found in scan.measurements.items() if found.network is not None}
    if network:
        yield f"network: {', '.join(f'{name} {number(value)}' for name, value in network.items())}"


def _origins(scan: DormancyScan) -> Iterator[str]:
    for what, source in (("checkpoint", scan.checkpoint), ("sample", scan.sample)):
        if source is not None:
            yield f"{what}: {source.path} ({source.format}, sha256 {source.sha256})"
    for assumption in scan.assumptions:
        yield f"{assumption.what}: {assumption.value} (from {assumption.origin})"
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in scan.versions.items())


def _series_table(group: Group, console: Console) -> Table:
    first, bars = group.scans[0], _has_room(console)
    table = new_table()
    table.add_column(group.series.step_unit if group.series else "checkpoint", justify="right", overflow="fold")
    _add_shares(table, first, bars=bars)
    table.add_column("overlap", justify="right")
    ranked = [layer.name for layer in first.layers if layer.penultimate] if RANK in first.measurements else []
    for name in ranked:
        table.add_column(Text(f"{RANK}\n{printable(name)}"), justify="right")
    compared = [name for name in SINCE if any(name in scan.measurements for scan in group.scans)]
    for name in compared:
        table.add_column(name, justify="right")
    with_worst = not console.is_terminal or console.width >= NARROW_COLUMNS + PER_TAU * len(first.taus)
    if with_worst:
        table.add_column("most dormant\nlayer", no_wrap=True)
    for step, scan, overlap in zip(_steps(group), group.scans, _overlaps(group), strict=True):
        ranks = [number(scan.measurements[RANK].layers.get(name, math.nan)) for name in ranked]
        ranks += [_of_network(scan, name) for name in compared]
        worst = [_worst(scan)] if with_worst else []
        table.add_row(step, *_shares(scan, None, bars=bars), overlap, *ranks, *worst)
    return table


def _of_network(scan: DormancyScan, name: str) -> str:
    value = scan.measurements[name].network if name in scan.measurements else None
    return number(math.nan if value is None else value)


def _steps(group: Group) -> list[Text]:
    if group.series is not None:
        return [Text(grouped(step)) for step in group.series.steps]
    return [literal(scan.checkpoint.path if scan.checkpoint else "?") for scan in group.scans]


def _overlaps(group: Group) -> list[str]:
    values: Iterable[float] = group.series.overlap("cumulative") if group.series else [math.nan] * len(group.scans)
    return ["" if math.isnan(value) else f"{value:.2f}" for value in values]


def _worst(scan: DormancyScan) -> Text:
    tau = scan.taus[0]
    worst = max(scan.layers, key=lambda layer: layer.fraction(tau))
    return literal(f"{worst.name} {percent(worst.fraction(tau))}" if worst.dormant(tau).any() else "")


def _reading(group: Group) -> str:
    if group.problem:
        return f"no overlap: {group.problem}"
    return (
        f"overlap: of the neurons dormant here (tau {group.scans[0].taus[0]:g}) with those dormant at any earlier"
        " checkpoint, as a share of the smaller set; blank where a set is empty"
    )
