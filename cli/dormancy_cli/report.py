"""`dormancy report`: what was found, as one page to look at, as figures, or as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

import typer

from dormancy.errors import InputError, PartialFailure
from dormancy_cli import options
from dormancy_cli.collect import collect
from dormancy_cli.inputs import Failure, expand
from dormancy_cli.output import Reporter, refuse_overwrite, write_result
from dormancy_cli.pruning_results import read_prunings
from dormancy_cli.results import SUFFIXES, read_results
from dormancy_cli.tasks import ScanOptions, plan
from dormancy_cli.text import counted

if TYPE_CHECKING:
    from dormancy.io import TrainingRecord
    from dormancy.series import DormancySeries

__all__ = ["report"]

FORMATS = ("html", "md", "json", "csv")


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
            metavar="SETTING", help="Compare runs that differ in this setting, such as redo, over their seeds."
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
    target = Target(format, _target_path(format, output), png, title, force, allow_large, prunings, compare)
    refuse_overwrite(target.path, force=force)
    asked = ScanOptions(taus=tuple(taus or (0.1,)), layers=layers, sample=sample, device=device)
    gathered = gather(results, asked, reporter)
    if gathered.series:
        _write(gathered, target, reporter)
        _open(target.path if open_ else None)
    if not gathered.failures:
        return 0
    return PartialFailure.exit_code if gathered.series else InputError.exit_code


@final
@dataclass(frozen=True)
class Target:
    """What is written, and where; a path of None is standard output."""

    format: str
    path: Path | None
    figures: Path | None
    title: str | None
    force: bool
    allow_large: bool
    prunings: tuple[Mapping[str, Any], ...] = ()
    compare: str | None = None


@final
@dataclass(frozen=True, eq=False)
class Gathered:
    """What there is to report on: series, each with what its run wrote about itself, and what could not be read."""

    series: tuple[DormancySeries, ...]
    records: tuple[TrainingRecord | None, ...]
    failures: tuple[Failure, ...]


def _target_path(format: str, output: Path | None) -> Path | None:
    return Path("report.html") if output is None and format == "html" else output


def _write(gathered: Gathered, target: Target, reporter: Reporter) -> None:
    from dormancy.report import write_html, write_png

    series = gathered.series
    beside: dict[str, Any] = {"prunings": target.prunings, "records": gathered.records, "compare": target.compare}
    if target.figures is not None:
        figures = write_png(target.figures, series, force=target.force, **beside)
        reporter.note(f"{target.figures}: {counted(len(figures), 'figure')}")
    if target.format == "html" and target.path is not None:
        write_html(target.path, series, target.force, target.allow_large, title=target.title, **beside)
    else:
        write_result(_as_text(series, target, beside), target.path, force=target.force)
    if target.path is not None:
        reporter.note(target.path)


def _as_text(series: Sequence[DormancySeries], target: Target, beside: Mapping[str, Any]) -> str:
    from dormancy.report import to_csv, to_json, to_markdown

    if target.format == "csv":
        return to_csv(series)
    write = to_json if target.format == "json" else to_markdown
    return write(series, title=target.title, **beside)


def _open(page: Path | None) -> None:
    if page is not None:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def gather(arguments: Sequence[str], asked: ScanOptions, reporter: Reporter) -> Gathered:
    """Read what was saved, then scan everything else; checkpoints of one folder are one run."""
    series: list[DormancySeries] = []
    failures: list[Failure] = []
    saved = [argument for argument in arguments if _is_saved(argument)]
    for argument in saved:
        try:
            series += read_results(Path(argument))
        except InputError as error:
            failures.append(Failure(argument, error))
            reporter.error(failures[-1])
    scanned = _scan(expand([argument for argument in arguments if argument not in saved]), asked, reporter)
    records = (*(None for _ in series), *scanned.records)
    return Gathered((*series, *scanned.series), records, (*failures, *scanned.failures))


def _is_saved(argument: str) -> bool:
    path = Path(argument)
    return path.suffix in SUFFIXES and not path.is_dir()


def _scan(inputs: Sequence[Path | Failure], asked: ScanOptions, reporter: Reporter) -> Gathered:
    with reporter.progress(plan(inputs, asked), "scanning") as tasks:
        collection = collect(tasks, on_failure=reporter.error)
    usable = [(group.series, group.folder) for group in collection.groups if group.series is not None]
    failures = [
        Failure(group.name, InputError(str(group.problem))) for group in collection.groups if group.series is None
    ]
    records = [_record(folder, failures) for _, folder in usable]
    for failure in failures:
        reporter.error(failure)
    return Gathered(tuple(series for series, _ in usable), tuple(records), (*collection.failures, *failures))


def _record(checkpoints: Path | None, failures: list[Failure]) -> TrainingRecord | None:
    """Read what a run wrote about itself; a run whose account is damaged is shown without it, and told."""
    from dormancy.io import read_training

    if checkpoints is None:
        return None
    try:
        return read_training(checkpoints.parent if checkpoints.name == "checkpoints" else checkpoints)
    except InputError as error:
        failures.append(Failure(str(checkpoints), error))
        return None
