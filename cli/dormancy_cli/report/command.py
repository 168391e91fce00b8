"""`dormancy report`: what was found, as one page to look at, as figures, or as tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dormancy.errors import InputError, PartialFailure
from dormancy_cli.prune.results_file import read_prunings
from dormancy_cli.report.gather import Gathered, Gatherer, parse_neurons
from dormancy_cli.report.live import check_live, follow
from dormancy_cli.report.output import FORMATS, Target, target_path
from dormancy_cli.scan.tasks import ScanOptions
from dormancy_cli.shared import options
from dormancy_cli.shared.console import Reporter, refuse_overwrite

__all__ = ["report"]


def report(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULT", help="Run folders, checkpoints, or scans saved with scan -o FILE.json."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; default: report.html.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write every figure as PNG into this folder.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The title of the page.")] = None,
    format: Annotated[
        str,
        typer.Option(metavar="|".join(FORMATS), callback=options.one_of(FORMATS), help="Tables go to standard output."),
    ] = "html",
    pruning: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Add a chapter on what prune --format json measured. Repeatable."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="SETTING",
            help="Compare runs that differ in this setting, such as recycler, over their seeds; seed: only over those.",
        ),
    ] = None,
    neurons: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER:N", help="Show the activation maps of this neuron, too. Repeatable."),
    ] = None,
    live: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", min=1, help="Write the page again and again until the runs end, or until Ctrl-C."
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    sample: options.Sample = None,
    taus: options.Taus = None,
    layers: options.Layers = None,
    device: options.Device = None,
    allow_large: Annotated[bool, typer.Option("--allow-large", help="Write a page of more than 10 MB, too.")] = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> int:
    """Turn runs or saved scans into one page with everything in it."""
    options.require_device(device)
    reporter = Reporter(quiet=quiet)
    prunings = tuple(read_prunings(pruning or []))
    target = Target(format, target_path(format, output), png, title, force, allow_large, prunings, compare)
    target.check()
    refuse_overwrite(target.path, force=force)
    asked = ScanOptions(taus=tuple(taus or (0.1,)), layers=layers, sample=sample, device=device)
    look = compare is None and (format in ("html", "json") or png is not None)
    gatherer = partial(Gatherer, asked, reporter, look=look, wanted=parse_neurons(neurons))
    show = partial(_open, target.path if open_ else None)
    if live is not None:
        check_live(results, target)
        gathered = follow(results, lambda cache: gatherer(cache=cache), target, live, reporter, show)
    else:
        gathered = gatherer().gather(results)
        if gathered.series:
            target.write(gathered, reporter)
            show()
    return _code(gathered)


def _code(gathered: Gathered) -> int:
    if not gathered.failures:
        return 0
    return PartialFailure.exit_code if gathered.series else InputError.exit_code


def _open(page: Path | None) -> None:
    if page is not None:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())
