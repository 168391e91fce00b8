"""What a report is made of: saved scans, fresh scans, what runs wrote about themselves, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final

import typer

from dormancy.errors import DormancyError, InputError, UsageError
from dormancy_cli.scan.collect import collect
from dormancy_cli.scan.results_file import SUFFIXES, read_results
from dormancy_cli.scan.tasks import ScanOptions, plan
from dormancy_cli.shared.console import Reporter
from dormancy_cli.shared.paths import Failure, expand

if TYPE_CHECKING:
    from dormancy.activation_maps.maps import Convolutions
    from dormancy.io import TrainingRecord
    from dormancy.scanning.result import DormancyScan
    from dormancy.scanning.series import DormancySeries

__all__ = ["Gathered", "Gatherer", "parse_neurons"]

Wanted: TypeAlias = tuple[str, int]
Stamp: TypeAlias = tuple[str, int, int]


@final
@dataclass(frozen=True, eq=False)
class Gathered:
    """What there is to report on: series, each with what is known of its run, and what could not be read."""

    series: tuple[DormancySeries, ...] = ()
    records: tuple[TrainingRecord | None, ...] = ()
    seen: tuple[Convolutions | None, ...] = ()
    failures: tuple[Failure, ...] = ()

    def and_(self, other: Gathered) -> Gathered:
        """Return both."""
        return Gathered(
            self.series + other.series,
            self.records + other.records,
            self.seen + other.seen,
            self.failures + other.failures,
        )


def parse_neurons(values: Sequence[str] | None) -> tuple[Wanted, ...]:
    """Read ``conv1:5`` or ``conv1:5,7`` as neurons of layers; raise `BadParameter` for anything else.

    >>> parse_neurons(["features.0:5,7"])
    (('features.0', 5), ('features.0', 7))
    """
    found: list[Wanted] = []
    for value in values or ():
        layer, colon, numbers = value.rpartition(":")
        if not (colon and layer and all(each.strip().isdecimal() for each in numbers.split(","))):
            raise typer.BadParameter(f"{value!r} names no neurons; write LAYER:NUMBER, such as conv1:5 or conv1:5,7")
        found += [(layer, int(each)) for each in numbers.split(",")]
    return tuple(found)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return (str(path), 0, 0)
    return (str(path), status.st_mtime_ns, status.st_size)


@final
class Gatherer:
    """Reads and scans inputs, once or again and again: what has failed is complained of once.

    `look` says whether convolutions are looked at, `wanted` which of their neurons besides those of interest. `cache`
    is a folder where scans are kept, so that what has not changed is not scanned again.
    """

    def __init__(
        self,
        asked: ScanOptions,
        reporter: Reporter,
        *,
        look: bool,
        wanted: Sequence[Wanted] = (),
        cache: Path | None = None,
    ) -> None:
        self._asked, self._reporter, self._look, self._wanted = asked, reporter, look, wanted
        self._cache = cache
        self._seen: dict[Stamp, Convolutions | None] = {}
        self._told: set[str] = set()

    def gather(self, arguments: Sequence[str]) -> Gathered:
        """Read what was saved, then scan everything else; checkpoints of one folder are one run."""
        saved = [argument for argument in arguments if _is_saved(argument)]
        read = self._read(saved)
        return read.and_(self._scan(expand([argument for argument in arguments if argument not in saved])))

    def _read(self, saved: Sequence[str]) -> Gathered:
        series: list[DormancySeries] = []
        failures: list[Failure] = []
        for argument in saved:
            try:
                series += read_results(Path(argument))
            except InputError as error:
                failures.append(Failure(argument, error))
                self._complain(failures[-1])
        nothing = (None,) * len(series)
        return Gathered(tuple(series), nothing, nothing, tuple(failures))

    def _scan(self, inputs: Sequence[Path | Failure]) -> Gathered:
        with self._reporter.progress(plan(inputs, self._asked, self._cache), "scanning") as tasks:
            collection = collect(tasks, on_failure=self._complain)
        usable = [(group.series, group.folder) for group in collection.groups if group.series is not None]
        failures = [
            Failure(group.name, InputError(str(group.problem))) for group in collection.groups if group.series is None
        ]
        records = [_record(folder, failures) for _, folder in usable]
        series = tuple(series for series, _ in usable)
        seen = self._looks(series, failures)
        for failure in failures:
            self._complain(failure)
        return Gathered(series, tuple(records), seen, (*collection.failures, *failures))

    def _complain(self, failure: Failure) -> None:
        if str(failure) not in self._told:
            self._reporter.error(failure)
        self._told.add(str(failure))

    def _looks(self, series: Sequence[DormancySeries], failures: list[Failure]) -> tuple[Convolutions | None, ...]:
        """Look at the last checkpoint of every run; a neuron that is asked for has to exist in one of them."""
        if not self._look:
            return (None,) * len(series)
        seen: list[Convolutions | None] = []
        refused: list[UsageError] = []
        for one in series:
            path = Path(one.scans[-1].checkpoint.path) if one.scans and one.scans[-1].checkpoint else None
            try:
                seen.append(None if path is None else self._look_at(path, one.scans[-1]))
            except UsageError as error:
                refused.append(error)
                seen.append(self._look_at(path, one.scans[-1], wanted=()) if path else None)
            except InputError as error:
                failures.append(Failure(str(path), error))
                seen.append(None)
        _require_wanted(self._wanted, seen, refused)
        return tuple(seen)

    def _look_at(self, path: Path, scan: DormancyScan, wanted: Sequence[Wanted] | None = None) -> Convolutions | None:
        from dormancy.activation_maps.maps import see_convolutions

        stamp = _stamp(path)
        if stamp not in self._seen:
            chosen = self._wanted if wanted is None else wanted
            self._seen[stamp] = see_convolutions(path, self._asked.sample, scan, wanted=chosen)
        return self._seen[stamp]


def _require_wanted(
    wanted: Sequence[Wanted], seen: Sequence[Convolutions | None], refused: Sequence[DormancyError]
) -> None:
    """Raise what was said of neurons that no run has."""
    looked = sum(one is not None for one in seen)
    if not wanted or looked > len(refused):
        return
    if refused:
        raise refused[0]
    if seen:
        raise UsageError("--neurons: these runs have no convolutions that see pictures; leave it out")


def _is_saved(argument: str) -> bool:
    path = Path(argument)
    return path.suffix in SUFFIXES and not path.is_dir()


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
