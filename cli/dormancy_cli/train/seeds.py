"""`dormancy train --seeds N`: one process a seed, each with a run folder of its own, ``seed0``, ``seed1``, ..."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from dormancy.errors import PartialFailure
from dormancy_cli.shared.console import Reporter
from dormancy_cli.shared.text import printable

__all__ = ["Job", "cores", "seed_folders", "train_seeds"]

POLL_SECONDS = 0.1
SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


@final
@dataclass(frozen=True)
class Job:
    """One seed: its run folder, and the `dormancy` command, without ``--out``, that trains it."""

    folder: Path
    command: tuple[str, ...]


@final
class _Process:
    """A job that runs, in a session of its own: a Ctrl-C is passed on once, not delivered twice."""

    def __init__(self, job: Job, errors: Path) -> None:
        self.job, self._errors = job, errors
        self.told = 0
        command = [sys.executable, "-m", "dormancy_cli", *job.command, "--out", str(job.folder)]
        with errors.open("wb") as stream:
            self.running = subprocess.Popen(command, stderr=stream, start_new_session=True)  # noqa: S603

    def last_words(self) -> str:
        """Return the last line that it wrote on stderr."""
        lines = self._errors.read_text("utf-8", "replace").strip().splitlines()
        return printable(lines[-1].removeprefix("error: ")) if lines else f"left with {self.running.returncode}"


def train_seeds(jobs: Sequence[Job], reporter: Reporter, at_once: int | None = None) -> int:
    """Run all jobs, as many at once as there are cores, and return the exit code: that of a signal, or 0.

    A signal is passed on to all, and no further ones are begun. One that fails does not stop the others; raises
    `PartialFailure` in the end, in one line.
    """
    waiting, running, done = list(jobs), list[_Process](), list[_Process]()
    with _signals() as caught, tempfile.TemporaryDirectory(prefix="dormancy-seeds-") as folder:
        while running or (waiting and not caught):
            while waiting and not caught and len(running) < (at_once or cores()):
                running.append(_Process(waiting[0], Path(folder) / str(len(waiting))))
                waiting.pop(0)
            time.sleep(POLL_SECONDS)
            _pass_on(caught, running)
            for process in [each for each in running if each.running.poll() is not None]:
                running.remove(process)
                done.append(process)
                reporter.note(f"{process.job.folder}: {_ended(process)}")
        failed = [process for process in done if process.running.returncode not in (0, *_expected(caught))]
        words = "; ".join(f"{process.job.folder}: {process.last_words()}" for process in failed)
    if failed:
        raise PartialFailure(f"{len(failed)} of {len(jobs)} seeds failed: {words}")
    return 128 + caught[0] if caught else 0


def seed_folders(folder: Path) -> list[str]:
    """Return the names ``seed0``, ``seed1``, ... that are in a folder, in the order of the seeds."""
    numbers = (path.name.removeprefix("seed") for path in folder.glob("seed*"))
    return [f"seed{number}" for number in sorted((each for each in numbers if each.isdecimal()), key=int)]


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ended(process: _Process) -> str:
    code = process.running.returncode
    return "finished" if code == 0 else f"left with {code}: {process.last_words()}"


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect signals in the list that is given, and put the former handlers back at the end."""
    caught: list[int] = []

    def catch(number: int, frame: Any) -> None:
        caught.append(number)

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, catch) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_on(caught: list[int], running: Sequence[_Process]) -> None:
    for process in running:
        for number in caught[process.told :]:
            process.running.send_signal(number)
        process.told = len(caught)


def _expected(caught: Sequence[int]) -> list[int]:
    return [128 + number for number in caught] + [-number for number in caught]
