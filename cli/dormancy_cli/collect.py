"""Scan many checkpoints one after the other, keep what fails apart, and put each run's scans together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from dormancy.errors import DormancyError, InputError, PartialFailure
from dormancy_cli.inputs import Failure, series_name

if TYPE_CHECKING:
    from dormancy.io import Hints
    from dormancy.result import DormancyScan
    from dormancy.series import DormancySeries

__all__ = ["Collection", "Group", "ScanOptions", "collect", "failure_code", "warnings"]


@final
@dataclass(frozen=True)
class ScanOptions:
    """What is asked of every checkpoint alike."""

    taus: tuple[float, ...] = (0.1,)
    metrics: tuple[str, ...] | None = None
    layers: str | None = None
    sample: Path | None = None
    device: str | None = None
    batch_size: int = 64
    reference: Path | None = None
    hints: Hints | None = None
    activations: tuple[tuple[str, str], ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Group:
    """The scans of one run. `series` is None where they are not of one network; `problem` says so.

    `folder` is where its checkpoints lie.
    """

    name: str
    scans: tuple[DormancyScan, ...]
    series: DormancySeries | None
    problem: str | None = None
    folder: Path | None = None


@final
@dataclass(frozen=True, eq=False)
class Collection:
    """All that was scanned, run by run, and all that could not be."""

    groups: tuple[Group, ...]
    failures: tuple[Failure, ...]

    @property
    def scans(self) -> list[DormancyScan]:
        """Every scan, run after run."""
        return [scan for group in self.groups for scan in group.scans]


def collect(
    inputs: Iterable[Path | Failure], options: ScanOptions, on_failure: Callable[[Failure], None]
) -> Collection:
    """Scan every input; call `on_failure` as each one fails, and go on with the next."""
    runs: dict[str, list[DormancyScan]] = {}
    failures = []
    for path, result in _scan_each(inputs, options):
        if isinstance(result, Failure):
            failures.append(result)
            on_failure(result)
        else:
            runs.setdefault(str(path.absolute().parent), []).append(result)
    groups = tuple(_group(Path(folder), scans) for folder, scans in runs.items())
    return Collection(groups, tuple(failures))


def _scan_each(inputs: Iterable[Path | Failure], options: ScanOptions) -> Iterator[tuple[Path, DormancyScan | Failure]]:
    for item in inputs:
        if isinstance(item, Failure):
            yield Path(item.path), item
            continue
        try:
            yield item, _scan(item, options)
        except InputError as error:
            yield item, Failure(str(item), error)


def _scan(path: Path, options: ScanOptions) -> DormancyScan:
    from dormancy.io import load_checkpoint
    from dormancy.scanning import scan_checkpoint

    return scan_checkpoint(
        load_checkpoint(path, options.hints),
        options.sample,
        options.taus,
        metrics=options.metrics,
        device=options.device,
        layers=options.layers,
        batch_size=options.batch_size,
        reference=load_checkpoint(options.reference, options.hints) if options.reference else None,
        activations=dict(options.activations),
    )


def _group(folder: Path, scans: Sequence[DormancyScan]) -> Group:
    from dormancy.series import DormancySeries

    name = series_name(folder / "any")

    try:
        series = DormancySeries.of(name, scans)
    except DormancyError as error:
        return Group(name, tuple(scans), None, str(error), folder)
    return Group(name, series.scans, series, folder=folder)


def failure_code(collection: Collection) -> int:
    """Return 0 when nothing failed, 4 when something did, 3 when nothing else was there."""
    if not collection.failures:
        return 0
    return PartialFailure.exit_code if collection.groups else InputError.exit_code


def warnings(collection: Collection) -> Iterator[str]:
    """Give each warning once a run, with the checkpoints that it is about."""
    for group in collection.groups:
        about: dict[str, list[DormancyScan]] = {}
        for scan in group.scans:
            for text in dict.fromkeys(scan.warnings):
                about.setdefault(text, []).append(scan)
        for text, scans in about.items():
            yield f"{_where(group, scans)}: {text}"


def _where(group: Group, scans: Sequence[DormancyScan]) -> str:
    if len(scans) == 1 and scans[0].checkpoint is not None:
        return scans[0].checkpoint.path
    return f"{group.name}, {'all' if len(scans) == len(group.scans) else len(scans)} checkpoints"
