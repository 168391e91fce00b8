"""Scan many checkpoints, keep what fails apart, and put each run's scans together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from dormancy.errors import DormancyError, InputError, PartialFailure
from dormancy_cli.scan.tasks import Task
from dormancy_cli.scan.worker_pool import run_all
from dormancy_cli.shared.paths import Failure, series_name

if TYPE_CHECKING:
    from dormancy.scanning.result import DormancyScan
    from dormancy.scanning.series import DormancySeries

__all__ = ["Collection", "Group", "collect", "failure_code", "warnings"]


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
    """All that was scanned, run by run, and all that could not be; `remembered` scans came from the cache."""

    groups: tuple[Group, ...]
    failures: tuple[Failure, ...]
    remembered: int = 0

    @property
    def scans(self) -> list[DormancyScan]:
        """Every scan, run after run."""
        return [scan for group in self.groups for scan in group.scans]


def collect(tasks: Iterable[Task | Failure], on_failure: Callable[[Failure], None], *, jobs: int = 1) -> Collection:
    """Scan every checkpoint, in `jobs` processes; call `on_failure` for each one that fails, and go on with the next.

    Networks and samples are opened one at a time (a process); what is kept are the scans.
    """
    from dormancy.scanning.result import DormancyScan

    runs: dict[str, list[DormancyScan]] = {}
    failures, remembered = [], 0
    for task, answer in run_all(tasks, jobs):
        path = Path(task.path)
        if isinstance(answer, InputError):
            failures.append(Failure(str(path), answer))
            on_failure(failures[-1])
        else:
            remembered += answer.remembered
            runs.setdefault(str(path.absolute().parent), []).append(DormancyScan.from_dict(json.loads(answer.text)))
    groups = tuple(_group(Path(folder), scans) for folder, scans in runs.items())
    return Collection(groups, tuple(failures), remembered)


def _group(folder: Path, scans: Sequence[DormancyScan]) -> Group:
    from dormancy.scanning.series import DormancySeries

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
