"""A report on runs that still train, written again and again from their folders until they end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dormancy.errors import FileError, InputError, UsageError
from dormancy_cli.report.gather import Gathered, Gatherer
from dormancy_cli.report.output import Target
from dormancy_cli.shared.console import Reporter

__all__ = ["check_live", "follow", "unfinished"]


def check_live(arguments: Sequence[str], target: Target) -> None:
    """Raise `UsageError` for anything but a page, and `FileError` for a folder that is not there."""
    if target.format != "html" or target.path is None:
        raise UsageError("--live writes a page: leave --format out")
    for argument in arguments:
        if not Path(argument).exists():
            raise FileError(f"{argument}: no such file or folder; --live follows run folders")


def _run_folders(argument: str) -> Iterator[Path]:
    from dormancy.io import list_runs

    folder = Path(argument)
    if folder.is_dir():
        folder = folder.parent if folder.name == "checkpoints" else folder
        yield from [folder] if (folder / "run.json").exists() else list_runs(folder) or [folder]


def unfinished(arguments: Sequence[str]) -> bool:
    """Tell whether any run may still go on: those that do not say how they ended, too."""
    from dormancy.io import read_training

    for folder in (folder for argument in arguments for folder in _run_folders(argument)):
        try:
            record = read_training(folder)
        except InputError:
            return True
        if record is None or record.running or not record.status:
            return True
    return False


def follow(
    arguments: Sequence[str],
    gatherer: Callable[[Path], Gatherer],
    target: Target,
    seconds: int,
    reporter: Reporter,
    written: Callable[[], None],
) -> Gathered:
    """Write the page every `seconds` until all runs have ended; call `written` after the first time.

    A checkpoint is scanned once, however often the page is written. When it ends, and on Ctrl-C, the page is left
    without its reloading. Returns what was gathered last.
    """
    with tempfile.TemporaryDirectory(prefix="dormancy-live-") as cache:
        gathering = gatherer(Path(cache))
        gathered, first = Gathered(), True
        try:
            while True:
                going = unfinished(arguments)  # asked before reading: what ends in between is read once more
                gathered = gathering.gather(arguments)
                page = replace(target, refresh=seconds if going else None, force=target.force or not first)
                page.write(gathered, reporter if first else Reporter(quiet=True))
                if first:
                    written()
                first = False
                if not going:
                    return gathered
                time.sleep(seconds)
        except KeyboardInterrupt:
            if not first:
                replace(target, force=True).write(gathered, Reporter(quiet=True))
            raise
