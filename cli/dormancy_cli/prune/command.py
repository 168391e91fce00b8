"""`dormancy prune`: take dormant neurons out of a checkpoint, and say what that did."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dormancy.errors import OutputError, UsageError
from dormancy.text.jsonable import as_json
from dormancy_cli.prune import gates as pruning_gates
from dormancy_cli.prune.run import PruneOptions, PruneOutcome, carry_out
from dormancy_cli.shared import options
from dormancy_cli.shared.console import Reporter, refuse_overwrite, render, result_console, write_result

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["prune"]

FORMATS = ("table", "json", "md")
MODES = ("mask", "remove")
GATE_FAILED = 1


def _option(help_: str, metavar: str | None = None, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_, metavar=metavar, **more)


def prune(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="What to prune; the file is not changed.")],
    tau: Annotated[
        float, _option("Prune neurons with score <= TAU.", "TAU", "--tau", "-t", callback=options.check_tau)
    ] = 0.0,
    mode: Annotated[
        str,
        _option(
            "Zero the weights that read a neuron, or take it out: a narrower network in a smaller file.",
            "|".join(MODES),
            callback=options.one_of(MODES),
        ),
    ] = "mask",
    output: Annotated[Path | None, _option("Write the pruned checkpoint here.", "FILE", "--output", "-o")] = None,
    copy_sample: Annotated[
        bool, _option("Also put the sample beside the pruned checkpoint, where scan finds it.", None, "--copy-sample")
    ] = False,
    dry_run: Annotated[bool, _option("Measure everything, write no checkpoint.", None, "--dry-run")] = False,
    sample: options.Sample = None,
    layers: options.Layers = None,
    keep_one: Annotated[
        bool, _option("Keep the best neuron of a layer that is all dormant.", None, "--keep-one")
    ] = False,
    inexact: Annotated[bool, _option("Also where even a silent neuron moves the outputs.", None, "--inexact")] = False,
    max_delta: Annotated[
        list[str] | None, _option("Exit 1 when an output moves by more: 0.01, or held-out=0.01. Repeatable.", "X")
    ] = None,
    min_agreement: Annotated[
        list[str] | None, _option("Exit 1 when fewer greedy actions agree: 0.99, or held-out=99%. Repeatable.", "SHARE")
    ] = None,
    episodes: Annotated[int, _option("Play N episodes with the network before and after.", "N", min=0)] = 0,
    env: Annotated[str | None, _option("Environment of the episodes; default: the checkpoint's own.", "ID")] = None,
    epsilon: Annotated[float, _option("Share of random actions in the episodes.", "SHARE", min=0.0, max=1.0)] = 0.001,
    sweep: Annotated[bool, _option("Also measure the effect at every tau of a grid.", None, "--sweep")] = False,
    grid: Annotated[str | None, _option("The grid of --sweep; default: 12 taus from 0 to 1.", "TAU,...")] = None,
    png: Annotated[Path | None, _option("Draw the sweep, effect against pruned share, into this file.", "FILE")] = None,
    draws: Annotated[int, _option("Random sets of neurons to compare with; 0: no controls.", "N", min=0)] = 5,
    seed: Annotated[int, _option("Seed of the random sets and of the episodes.", "N", min=0)] = 0,
    format: Annotated[
        str, _option("How to give the result.", "|".join(FORMATS), callback=options.one_of(FORMATS))
    ] = "table",
    key: options.Key = None,
    arch: options.Arch = None,
    activation: options.Activation = None,
    input_scale: options.InputScale = None,
    layout: options.Layout = None,
    model: options.Model = None,
    trust: options.Trust = False,
    native: Annotated[
        bool, _option("Write our own format, also where the checkpoint's own could be.", None, "--native")
    ] = False,
    device: options.Device = None,
    batch_size: options.Batch = 64,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Take a checkpoint's dormant neurons out and measure the effect.

    What is measured: how far outputs and greedy actions move on the sample, on a half of it that the neurons were not
    looked for in, and when as many random or high-scoring neurons are masked instead. A failed gate writes nothing.
    """
    gates = [pruning_gates.parse("--max-delta", text) for text in max_delta or []]
    gates += [pruning_gates.parse("--min-agreement", text) for text in min_agreement or []]
    asked = PruneOptions(
        checkpoint=checkpoint,
        tau=tau,
        mode="remove" if mode == "remove" else "mask",
        sample=sample,
        layers=layers,
        keep_one=keep_one,
        allow_inexact=inexact,
        draws=draws,
        seed=seed,
        episodes=episodes,
        epsilon=epsilon,
        env_id=env,
        grid=_grid(grid) if sweep or grid is not None or png is not None else None,
        gates=tuple(gates),
        hints=options.hints(key, arch, activation, input_scale, layout, model, trust=trust),
        native=native,
        device=device,
        batch_size=batch_size,
    )
    target = None if dry_run else output
    copy = target.with_suffix(".h5") if target is not None and copy_sample else None
    _check_targets(checkpoint, [target, copy, png], force=force)
    options.require_device(device)
    reporter = Reporter(quiet=quiet, verbose=verbose)
    outcome = carry_out(asked, reporter)
    if target is not None and outcome.passed:
        outcome = outcome.saved(asked, target, copy, force=force)
    if png is not None:
        _draw_png(png, outcome, force=force)
    _give(outcome, format, verbose=verbose)
    return _finish(outcome, reporter, output, png)


def _grid(text: str | None) -> tuple[float, ...]:
    """Read the taus of a grid; an empty tuple stands for the default."""
    if text is None:
        return ()
    try:
        taus = tuple(float(part) for part in text.split(","))
    except ValueError:
        taus = (math.nan,)
    if not all(math.isfinite(tau) and tau >= 0 for tau in taus):
        raise UsageError(f"--grid {text!r} is no list of taus of 0 or more; write 0,0.01,0.1")
    return taus


def _check_targets(checkpoint: Path, targets: list[Path | None], *, force: bool) -> None:
    """Raise before any work is done when a result could not be written."""
    for path in targets:
        if path is None:
            continue
        if path.exists() and checkpoint.exists() and path.samefile(checkpoint):
            raise UsageError(f"{path} is the checkpoint itself, which is kept as it is; choose another --output")
        refuse_overwrite(path, force=force)
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path}: its folder does not exist; create it first")


def _give(outcome: PruneOutcome, format: str, *, verbose: bool) -> None:
    from dormancy_cli.prune import tables as pruning_tables

    def draw(console: Console) -> None:
        pruning_tables.draw(console, outcome, verbose=verbose)

    if format == "json":
        write_result(as_json(outcome.to_dict()), None, force=False)
    elif format == "md":
        write_result(pruning_tables.to_markdown(outcome), None, force=False)
    elif result_console().is_terminal:
        draw(result_console())
    else:
        write_result(render(draw), None, force=False)


def _draw_png(path: Path, outcome: PruneOutcome, *, force: bool) -> None:
    from dormancy.report.content.sections.pruning import sweep_figure
    from dormancy.report.render.matplotlib_figures import write_figure

    source = outcome.pruned.source
    name = Path(source.path).stem if source else "network"
    write_figure(path, sweep_figure([(name, outcome.to_dict())]), force=force)


def _finish(outcome: PruneOutcome, reporter: Reporter, output: Path | None, png: Path | None) -> int:
    """Say on stderr what to be careful about and where results went."""
    for message in outcome.warnings:
        reporter.warning(message)
    for verdict in outcome.verdicts:
        if not verdict.passed:
            reporter.error(f"gate failed: {verdict}")
    if png is not None:
        reporter.note(png)
    if outcome.written is not None:
        source = outcome.pruned.sample if outcome.written["sample"] is None else None
        sample = f" --sample {source.path}" if source else ""
        reporter.note(f"{output}: look at it with dormancy scan {output}{sample}")
    elif not outcome.passed:
        reporter.note("no checkpoint was written")
    elif output is None:
        reporter.note("no checkpoint was written; name one with --output FILE")
    return 0 if outcome.passed else GATE_FAILED
