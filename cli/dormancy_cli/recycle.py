"""`dormancy recycle`: give the dormant neurons of a checkpoint a new start, and say what that does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dormancy_cli.shared import options
from dormancy_cli.shared.console import Reporter, refuse_overwrite, render, result_console, write_result

if TYPE_CHECKING:
    from rich.console import Console

    from dormancy.recycle import RecycledCheckpoint

__all__ = ["recycle"]

FORMATS = ("table", "json")
SEMANTICS = ("paper", "dopamine", "community")
SCHEMA = "dormancy.recycle/1"


def _option(help_: str, metavar: str | None = None, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_, metavar=metavar, **more)


def recycle(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The file is not changed.")],
    tau: Annotated[
        float, _option("Recycle neurons with score <= TAU.", "TAU", "--tau", "-t", callback=options.check_tau)
    ] = 0.1,
    output: Annotated[Path | None, _option("Write the new checkpoint here.", "FILE", "--output", "-o")] = None,
    dry_run: Annotated[bool, _option("Plan and measure, write nothing.", None, "--dry-run")] = False,
    sample: options.Sample = None,
    rows: Annotated[
        int | None, _option("Judge by the first N observations; default: half of them, at most 1024.", "N", min=1)
    ] = None,
    layers: options.Layers = None,
    semantics: Annotated[
        str, _option("Whose ReDo; see docs/recycling.md.", "|".join(SEMANTICS), callback=options.one_of(SEMANTICS))
    ] = "paper",
    seed: Annotated[int, _option("Seed of the fresh weights.", "N", min=0)] = 0,
    format: Annotated[
        str, _option("How to give the result.", "|".join(FORMATS), callback=options.one_of(FORMATS))
    ] = "table",
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> int:
    """Recycle a checkpoint's dormant neurons and measure the effect.

    Incoming weights are drawn anew, outgoing ones set to zero. At tau 0 the outputs on the observations that neurons
    were judged by do not change in any bit; the line about unseen observations says what happens elsewhere.
    """
    target = None if dry_run else output
    if target is not None:
        refuse_overwrite(target, force=force)
    from dormancy.io import save_checkpoint
    from dormancy.recycle import recycle_checkpoint

    found = recycle_checkpoint(checkpoint, sample, tau, layers=layers, semantics=semantics, seed=seed, rows=rows)
    if target is not None:
        save_checkpoint(target, found.checkpoint, force=force)
    _give(found, format)
    reporter = Reporter(quiet=quiet)
    for note in found.plan.notes:
        reporter.warning(note)
    for name, caveat in found.plan.caveats.items():
        reporter.warning(f"layer {name!r}: live neurons move too, {caveat}")
    reporter.note(f"{target}: written" if target else "no checkpoint was written; name one with --output FILE")
    return 0


def _give(found: RecycledCheckpoint, format: str) -> None:
    if format == "json":
        content = {"schema": SCHEMA, **found.to_dict()}
        write_result(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", None, force=False)
    elif result_console().is_terminal:
        _draw(result_console(), found)
    else:
        write_result(render(lambda console: _draw(console, found)), None, force=False)


def _draw(console: Console, found: RecycledCheckpoint) -> None:
    from rich.text import Text

    from dormancy_cli.shared.tables import new_table
    from dormancy_cli.shared.text import counted, grouped, number, percent, printable

    plan = found.plan
    console.print(Text(printable(found.source.path if found.source else "network"), style="bold"))
    console.print(
        Text(f"tau {found.tau:g} · {counted(plan.recycled, 'neuron')} of {grouped(plan.neurons)} recycled"), end="\n\n"
    )
    table = new_table()
    for column in ("layer", "neurons", "recycled", "share", ""):
        table.add_column(column, justify="right" if column in ("neurons", "recycled", "share") else "left")
    for layer in plan:
        note = f"refused: {layer.refused}" if layer.refused else f"caveat: {layer.caveat}" if layer.caveat else ""
        counts = grouped(layer.size), grouped(layer.neurons.size), percent(layer.share)
        table.add_row(Text(printable(layer.name)), *counts, Text(printable(note)))
    console.print(table)
    console.print()
    changes = new_table()
    for column in ("outputs move", "at most", "on average", "of a spread of", "greedy actions that change"):
        changes.add_column(column, justify="left" if column == "outputs move" else "right")
    for name, effect in (("where neurons were judged", found.scored), ("on unseen observations", found.unseen)):
        if effect is not None:
            greedy = "" if effect.greedy_changes is None else percent(effect.greedy_changes)
            changes.add_row(name, number(effect.largest), number(effect.mean), number(effect.spread), greedy)
    console.print(changes)
