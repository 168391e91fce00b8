"""What pruning did, as tables for people and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from rich.text import Text

from dormancy_cli.shared.tables import new_table
from dormancy_cli.shared.text import counted, grouped, number, percent, printable

if TYPE_CHECKING:
    from rich.console import Console

    from dormancy.pruning import OutputChange, PruneSweep
    from dormancy_cli.prune.run import PruneOutcome

__all__ = ["draw", "to_markdown"]


@final
@dataclass(frozen=True)
class Grid:
    """A table as text: the first `words` columns are words, the others numbers; `note` stands below it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    note: str = ""


def draw(console: Console, outcome: PruneOutcome, *, verbose: bool = False) -> None:
    """Print everything: layers, effect, cost, and returns and sweep where they were asked for."""
    _say(console, outcome.pruned.source.path if outcome.pruned.source else "network", style="bold")
    _say(console, _headline(outcome))
    for grid in _grids(outcome):
        console.print()
        table = new_table()
        for index, column in enumerate(grid.columns):
            words = index < grid.words or not column
            table.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=not words)
        for row in grid.rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        if grid.note:
            _say(console, grid.note, style="dim")
    for line in _origins(outcome) if verbose else ():
        _say(console, line, style="dim")


def to_markdown(outcome: PruneOutcome) -> str:
    """Return the same tables as Markdown."""
    name = outcome.pruned.source.path if outcome.pruned.source else "network"
    lines = [f"### {_cell(name)}", "", _cell(_headline(outcome))]
    for grid in _grids(outcome):
        marks = ["---" if index < grid.words or not column else "---:" for index, column in enumerate(grid.columns)]
        lines += ["", _line(grid.columns), _line(marks), *(_line(row) for row in grid.rows)]
        lines += ["", _cell(grid.note)] if grid.note else []
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return printable(text.replace("\n", " ")).replace("|", "\\|")


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(printable(line), style=style), soft_wrap=not console.is_terminal)


def _headline(outcome: PruneOutcome) -> str:
    pruned, plan = outcome.pruned, outcome.pruned.plan
    verb = "taken out" if plan.mode == "remove" else "masked"
    facts = [
        pruned.checkpoint.env_id,
        f"agent step {grouped(pruned.checkpoint.agent_step)}" if pruned.checkpoint.agent_step is not None else None,
        f"tau {pruned.tau:g}",
        f"{counted(plan.pruned, 'neuron')} of {grouped(plan.neurons)} {verb} ({percent(plan.share)})",
    ]
    return " · ".join(fact for fact in facts if fact)


def _grids(outcome: PruneOutcome) -> Iterator[Grid]:
    yield _layers(outcome)
    yield _effect(outcome)
    yield _cost(outcome)
    if outcome.returns is not None:
        yield _returns(outcome)
    if outcome.sweep is not None:
        yield _sweep(outcome.sweep)


def _layers(outcome: PruneOutcome) -> Grid:
    rows = []
    for layer in outcome.pruned.plan:
        notes = {"refused": layer.refused, "masked, not narrowed": layer.unnarrowed, "not exact": layer.inexact}
        note = next((f"{kind}: {reason}" for kind, reason in notes.items() if reason is not None), "")
        counts = grouped(layer.size), grouped(layer.chosen), grouped(layer.pruned), percent(layer.share)
        rows.append((printable(layer.name), *counts, printable(note)))
    return Grid(("layer", "neurons", "dormant", "pruned", "share", ""), tuple(rows))


CHANGES = (
    "outputs move by\nat most",
    "\non average",
    "of the largest\noutput",
    "same greedy\naction",
    "ΔQ over\naction gap",
)


def _change(change: OutputChange, *, acting: bool) -> tuple[str, ...]:
    moved = number(change.largest), number(change.mean), number(change.relative)
    if not acting:
        return moved
    agreement = "" if change.agreement is None else percent(change.agreement)
    return *moved, agreement, "" if change.gap_ratio is None else number(change.gap_ratio)


def _changes(outcome: PruneOutcome) -> Iterator[tuple[str, OutputChange]]:
    effect, plan = outcome.pruned.effect, outcome.pruned.plan
    yield f"on the sample ({grouped(effect.sample.observations)} observations)", effect.sample
    if effect.held_out is not None:
        found, unseen = effect.held_out.found, effect.held_out.unseen
        what = f"{counted(effect.held_out.pruned, 'neuron')} of one half"
        yield f"{what}, on that half ({grouped(found.observations)})", found
        yield f"{what}, on the other ({grouped(unseen.observations)})", unseen
    if effect.controls is not None:
        draws = len(effect.controls.random)
        yield f"control: {plan.pruned} random ones, mean of {draws}", effect.controls.random_mean
        yield f"control: the {plan.pruned} with the highest scores", effect.controls.strongest


def _effect(outcome: PruneOutcome) -> Grid:
    """Networks that do not give a value for each action have no greedy action to compare."""
    acting = outcome.pruned.effect.sample.agreement is not None
    rows = tuple((what, *_change(change, acting=acting)) for what, change in _changes(outcome))
    if not acting:
        return Grid(("effect", *CHANGES[:3]), rows)
    note = (
        "ΔQ over action gap: the largest change of any action's value, over the gap between the best two, both averaged"
        " over observations"
    )
    return Grid(("effect", *CHANGES), rows, note=note)


def _cost(outcome: PruneOutcome) -> Grid:
    before, after = outcome.pruned.effect.before, outcome.pruned.effect.after
    rows = [
        ("parameters", before.parameters, after.parameters),
        ("of them 0", before.zeros, after.zeros),
        ("bytes of parameters", before.bytes, after.bytes),
        ("operations an observation", before.flops, after.flops),
    ]
    return Grid(("cost", "before", "after", "saved"), tuple(_saving(*row) for row in rows))


def _saving(what: str, before: int, after: int) -> tuple[str, ...]:
    saved = "" if what == "of them 0" or not before else percent(1 - after / before)
    return what, grouped(before), grouped(after), saved


def _returns(outcome: PruneOutcome) -> Grid:
    assert outcome.returns is not None, "asked for only where there are some"
    rows = tuple(
        (name, number(each.estimate), f"{number(each.low)} to {number(each.high)}")
        for name, each in outcome.returns.intervals.items()
    )
    episodes = counted(len(outcome.returns.before), "episode")
    chance = percent(outcome.returns.epsilon)
    note = f"{outcome.returns.env_id}, {episodes} each, {chance} of actions random; the intervals are bootstrapped"
    return Grid(("return", "mean", "95 % interval"), rows, note=note)


def _sweep(sweep: PruneSweep) -> Grid:
    others = ("held out", "random", "highest")
    columns = ("tau", "pruned", "share", "outputs move by\nat most", *others, "same greedy\naction", *others)
    rows = []
    for point in sweep.points:
        changes = [
            point.change,
            point.held_out.unseen if point.held_out else None,
            point.controls.random_mean if point.controls else None,
            point.controls.strongest if point.controls else None,
        ]
        moved = [number(change.largest) if change else "" for change in changes]
        agreed = [percent(change.agreement) if change and change.agreement is not None else "" for change in changes]
        rows.append((f"{point.tau:g}", grouped(point.pruned), percent(point.share), *moved, *agreed))
    return Grid(columns, tuple(rows))


def _origins(outcome: PruneOutcome) -> Iterator[str]:
    for what, source in (("checkpoint", outcome.pruned.source), ("sample", outcome.pruned.sample)):
        if source is not None:
            yield f"{what}: {source.path} ({source.format}, sha256 {source.sha256})"
    if outcome.written is not None:
        path, size, sha256 = (outcome.written[name] for name in ("path", "bytes", "sha256"))
        yield f"pruned: {path} ({grouped(size)} bytes, sha256 {sha256})"
