"""`dormancy scan`: score the neurons of checkpoints, and hold the result against limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dormancy_cli.scan.collect import Collection, collect, warnings
from dormancy_cli.scan.gates import audit as auditing
from dormancy_cli.scan.gates.audit import Audit
from dormancy_cli.scan.output import FORMATS, Target, format_of, give
from dormancy_cli.scan.partial_results import KeptScans, kept_scans
from dormancy_cli.scan.sample_comparison import compare_inputs
from dormancy_cli.scan.tasks import ScanOptions, plan
from dormancy_cli.shared import options
from dormancy_cli.shared.console import Reporter, refuse_overwrite
from dormancy_cli.shared.paths import expand
from dormancy_cli.shared.processors import cores

__all__ = ["scan"]


def scan(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Checkpoints, run folders, patterns, @list.txt, or - for a list."),
    ],
    sample: options.Sample = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Another sample: which neurons are dormant on both, which on one only?"),
    ] = None,
    taus: options.Taus = None,
    metrics: options.Metrics = None,
    layers: options.Layers = None,
    fail_above: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT", help="Exit 1 when more is dormant: 0.3, fc1=0.5; or a metric: grama=0.2. Repeatable."
        ),
    ] = None,
    fail_below: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT", help="Exit 1 when less: srank=100, srank@fc1=100. Repeatable."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An earlier result (-o FILE.json) that changes are measured from."),
    ] = None,
    fail_increase: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT", help="Exit 1 when the share grew by more: 0.05, fc1=0.1. Repeatable."),
    ] = None,
    fail_decrease: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT", help="Exit 1 when it fell by more: srank=10. Repeatable."),
    ] = None,
    same_sample: Annotated[
        bool, typer.Option("--same-sample", help="Refuse a baseline that was measured on another sample.")
    ] = False,
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            callback=options.check_confidence,
            help="Gate the kinder end of this confidence interval (0.95), by resampling the transitions.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="CKPT", help="What drift and churn compare with; default: the first, and the one before, of a run."
        ),
    ] = None,
    key: options.Key = None,
    arch: options.Arch = None,
    activation: options.Activation = None,
    activations_at: options.ActivationsAt = None,
    input_scale: options.InputScale = None,
    layout: options.Layout = None,
    model: options.Model = None,
    trust: options.Trust = False,
    format: Annotated[
        str | None,
        typer.Option(metavar="|".join(FORMATS), callback=options.one_of(FORMATS), help="How to give the result."),
    ] = None,
    output: options.Output = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=0, help="Processes that scan side by side; 0: one a core.")
    ] = 1,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep scans here, and take from here what was scanned before."),
    ] = None,
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
    audit = auditing.limits(
        {
            "--fail-above": fail_above,
            "--fail-below": fail_below,
            "--fail-increase": fail_increase,
            "--fail-decrease": fail_decrease,
        },
        baseline,
        confidence,
        same_sample=same_sample,
    )
    refuse_overwrite(output, force=force)
    options.require_device(device)
    reporter = Reporter(quiet=quiet, verbose=verbose)
    names = _names(metrics, audit)
    hints = options.hints(key, arch, activation, input_scale, layout, model, trust=trust)
    places = tuple((place, name) for place, _, name in (text.partition("=") for text in activations_at or []))
    asked = ScanOptions(tuple(taus or (0.1,)), names, layers, sample, device, batch_size, reference, hints, places)
    target = Target(format or format_of(output), output, force)
    if against is not None:
        audit.refuse("--against")
        return compare_inputs(expand(paths), asked, against, target, reporter, jobs or cores())
    kept = kept_scans(cache, output)
    collection = _collect(paths, asked, reporter, jobs or cores(), kept)
    verdicts = audit.judge(collection, asked.taus[0])
    if collection.groups:
        give(collection, verdicts, target, verbose=verbose)
    kept.settle(collection, reporter)
    for message in warnings(collection):
        reporter.warning(message)
    return auditing.exit_code(collection, verdicts, reporter)


def _names(metrics: list[str] | None, audit: Audit) -> tuple[str, ...] | None:
    """Check the names before any work: a typing error must not cost a scan of a hundred checkpoints."""
    if not metrics and not audit.metrics:
        return None
    from dormancy.metrics import METRICS

    wanted = metrics or [name for name in METRICS if METRICS[name].default]
    named = [name if name == "all" else METRICS[name].name for name in wanted]
    return tuple(dict.fromkeys([*named, *audit.metrics]))


def _collect(paths: list[str], asked: ScanOptions, reporter: Reporter, jobs: int, kept: KeptScans) -> Collection:
    inputs = expand(paths)
    kept.prepare(len(inputs))
    with reporter.progress(plan(inputs, asked, kept.folder), "scanning") as tasks:
        return kept.interruptible(lambda: collect(tasks, on_failure=reporter.error, jobs=jobs), reporter)
