"""`dormancy scan`: score the neurons of checkpoints, and hold the result against limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

import typer

from dormancy_cli import gates, options
from dormancy_cli.collect import Collection, ScanOptions, collect, failure_code, warnings
from dormancy_cli.inputs import expand
from dormancy_cli.output import Reporter, refuse_overwrite, render, result_console, write_result

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["scan"]

FORMATS = ("table", "json", "jsonl", "csv", "md")
GATE_FAILED = 1


def scan(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Checkpoints, run folders, patterns, @list.txt, or - for a list."),
    ],
    sample: options.Sample = None,
    taus: options.Taus = None,
    metrics: options.Metrics = None,
    layers: options.Layers = None,
    fail_above: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE", help="Exit 1 when more is dormant: 0.3, or fc1=0.5 for one layer. Repeatable."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            callback=options.check_confidence,
            help="Gate the lower end of this confidence interval (0.95), by resampling the transitions.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="CKPT", help="An earlier checkpoint, for the metrics drift and churn."),
    ] = None,
    key: options.Key = None,
    arch: options.Arch = None,
    activation: options.Activation = None,
    activations_at: options.ActivationsAt = None,
    input_scale: options.InputScale = None,
    layout: options.Layout = None,
    model: options.Model = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="|".join(FORMATS), callback=options.one_of(FORMATS), help="How to give the result."),
    ] = None,
    output: options.Output = None,
    device: options.Device = None,
    batch_size: options.Batch = 64,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Score the neurons of one or many checkpoints.

    One checkpoint gives one row a layer, several give one row a checkpoint. A checkpoint is looked at with the replay
    sample saved beside it, unless --sample names another.
    """
    limits = [gates.parse(text) for text in fail_above or []]
    refuse_overwrite(output, force=force)
    options.require_device(device)
    reporter = Reporter(quiet=quiet, verbose=verbose)
    names = _names(metrics, resampled=confidence is not None)
    hints = options.hints(key, arch, activation, input_scale, layout, model)
    places = tuple((place, name) for place, _, name in (text.partition("=") for text in activations_at or []))
    asked = ScanOptions(tuple(taus or (0.1,)), names, layers, sample, device, batch_size, reference, hints, places)
    with reporter.progress(expand(paths), "scanning") as inputs:
        collection = collect(inputs, asked, on_failure=reporter.error)
    verdicts = _judge(collection, limits, asked.taus[0], confidence)
    if collection.groups:
        _give(collection, verdicts, Target(format or _format_of(output), output, force), verbose=verbose)
    for message in warnings(collection):
        reporter.warning(message)
    return _exit_code(collection, verdicts, reporter)


def _names(metrics: list[str] | None, *, resampled: bool) -> tuple[str, ...] | None:
    """Check the names before any work: a typing error must not cost a scan of a hundred checkpoints."""
    if not metrics and not resampled:
        return None
    from dormancy.metrics import METRICS

    wanted = metrics or [name for name in METRICS if METRICS[name].default]
    named = [name if name == "all" else METRICS[name].name for name in wanted]
    return tuple(dict.fromkeys([*named, "uncertainty"] if resampled else named))


def _format_of(output: Path | None) -> str:
    suffix = output.suffix.removeprefix(".") if output else ""
    return suffix if suffix in FORMATS else "table"


def _judge(
    collection: Collection, limits: Sequence[gates.Gate], tau: float, confidence: float | None
) -> list[gates.Verdict]:
    return [
        gates.check(gate, scan.checkpoint.path if scan.checkpoint else "?", scan, tau, confidence)
        for scan in collection.scans
        for gate in limits
    ]


@final
@dataclass(frozen=True)
class Target:
    """In what form the result is given, and where."""

    format: str
    path: Path | None
    force: bool


def _give(collection: Collection, verdicts: Sequence[gates.Verdict], target: Target, *, verbose: bool) -> None:
    if target.format != "table":
        text = _as_data(collection, verdicts, target.format)
        write_result(text, target.path, force=target.force)
    elif target.path is None and result_console().is_terminal:
        _draw(result_console(), collection, verbose=verbose)
    else:
        text = render(lambda console: _draw(console, collection, verbose=verbose))
        write_result(text, target.path, force=target.force)


def _as_data(collection: Collection, verdicts: Sequence[gates.Verdict], format: str) -> str:
    from dormancy_cli import formats

    if format == "json":
        return formats.to_json(collection, verdicts)
    write = {"jsonl": formats.to_jsonl, "csv": formats.to_csv, "md": formats.to_markdown}[format]
    return write(collection)


def _draw(console: Console, collection: Collection, *, verbose: bool) -> None:
    from dormancy_cli import tables

    for index, group in enumerate(collection.groups):
        if index:
            console.print()
        if len(group.scans) == 1:
            tables.draw_scan(console, group.scans[0], verbose=verbose)
        else:
            tables.draw_group(console, group, verbose=verbose)


def _exit_code(collection: Collection, verdicts: Sequence[gates.Verdict], reporter: Reporter) -> int:
    """A failed gate outranks failed inputs: it is what was asked, and the failures have been told."""
    failed = list(gates.complaints(verdicts))
    for complaint in failed:
        reporter.error(f"gate failed: {complaint}")
    return GATE_FAILED if failed else failure_code(collection)
