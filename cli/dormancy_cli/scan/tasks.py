"""One checkpoint to scan: what is asked of it, and the work itself, in this process or in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from dormancy_cli.shared.paths import Failure

if TYPE_CHECKING:
    from dormancy.io import Hints

__all__ = ["Done", "ScanOptions", "Task", "plan"]


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
@dataclass(frozen=True)
class Task:
    """One checkpoint, with those of its run that it is compared with: the first one, and the one before it.

    `in_run` says that the run has several: for its first one, metrics that compare are left out. `cache` is a folder
    where scans are kept and looked for.
    """

    path: Path
    options: ScanOptions
    first: Path | None = None
    previous: Path | None = None
    in_run: bool = False
    cache: Path | None = None


@final
@dataclass(frozen=True)
class Done:
    """A scan as JSON, schema dormancy.scan/1. `remembered` says that it was found in the cache."""

    text: str
    remembered: bool = False


def plan(inputs: Iterable[Path | Failure], options: ScanOptions, cache: Path | None = None) -> list[Task | Failure]:
    """Make a task of every input. It is compared with --reference, else with others of its run, in the order given."""
    found = list(inputs)
    sizes = Counter(each.absolute().parent for each in found if isinstance(each, Path))
    runs: dict[Path, list[Path]] = {}
    tasks: list[Task | Failure] = []
    for each in found:
        if isinstance(each, Failure):
            tasks.append(each)
            continue
        folder = each.absolute().parent
        tasks.append(_task(each, options, runs.setdefault(folder, []), sizes[folder] > 1, cache))
        runs[folder].append(each)
    return tasks


def _task(path: Path, options: ScanOptions, before: list[Path], in_run: bool, cache: Path | None) -> Task:
    if options.reference is not None:
        return Task(path, options, options.reference, options.reference, cache=cache)
    if options.metrics is None or not in_run:  # no metric that is measured by default compares
        return Task(path, options, cache=cache)
    first, previous = (before[0], before[-1]) if before else (None, None)
    return Task(path, options, first, previous, True, cache)
