"""Scanning in several processes: answers come in the order of the tasks, and a process that dies takes only its task.

Processes are spawned, not forked: torch does not survive a fork once it has started threads. Each serves one end of a
pipe of its own, so it is always known who works on what; when this process is killed, theirs close and they leave.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from dormancy.errors import DormancyError, InputError
from dormancy_cli.scan.perform import perform
from dormancy_cli.scan.tasks import Done, Task
from dormancy_cli.shared.paths import Failure
from dormancy_cli.shared.processors import cores

__all__ = ["Answer", "run_all"]

Answer: TypeAlias = Done | InputError
SECONDS_TO_LEAVE = 5


def run_all(tasks: Iterable[Task | Failure], jobs: int) -> Iterator[tuple[Task | Failure, Answer]]:
    """Give every task with its answer, in order; `jobs` processes work on them, this one alone when it is 1.

    An input that cannot be used is an answer. Any other error ends the work and is raised, with every process ended.
    """
    if jobs > 1:
        with contextlib.closing(_Pool(jobs).answers(tasks)) as answers:
            yield from answers
        return
    for task in tasks:
        yield task, _known(task) or _answer_here(task)


def _known(task: Task | Failure) -> InputError | None:
    return task.error if isinstance(task, Failure) else None


def _answer_here(task: Any) -> Answer:
    try:
        return perform(task)
    except InputError as error:
        return error


@final
@dataclass(frozen=True)
class _Bug:
    """What a process says of an error that nobody expects."""

    told: str


def _serve(connection: Any, threads: int) -> None:
    """Answer tasks until the other end closes. Ctrl-C is for the process that a person started, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(min(threads, torch.get_num_threads()))
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_answer(connection.recv()))


def _answer(task: Task) -> Done | DormancyError | _Bug:
    try:
        return perform(task)
    except DormancyError as error:
        return error
    except Exception:
        return _Bug(traceback.format_exc())


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C while a process starts, which inherits it: its first seconds would end in a traceback else."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@final
class _Worker:
    """A process and what it is working on."""

    def __init__(self, threads: int) -> None:
        import multiprocessing  # not at the top: `dormancy --help` needs none of it

        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        with _deaf_to_interrupts():
            self.process.start()
        theirs.close()
        self.index: int | None = None
        self.has_died = False

    def give(self, index: int, task: Task) -> None:
        self.index = index
        with contextlib.suppress(OSError):  # a process that died is noticed when its answer is read
            self.connection.send(task)

    def take(self) -> Done | DormancyError | _Bug:
        """Read the answer; a process without one has died."""
        self.index = None
        try:
            found: Done | DormancyError | _Bug = self.connection.recv()
        except (EOFError, OSError):
            self.has_died = True
            self.process.join(SECONDS_TO_LEAVE)
            code = self.process.exitcode
            why = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
            return InputError(f"the process that scanned it ended {why}; out of memory? Try fewer --jobs")
        return found

    def end(self) -> None:
        self.process.terminate()
        self.process.join(SECONDS_TO_LEAVE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


@final
class _Pool:
    """Up to `jobs` processes, each started when there is something for it to do."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._threads = max(1, cores() // jobs)
        self._workers: list[_Worker] = []
        self._answers: dict[int, Answer] = {}

    def answers(self, tasks: Iterable[Task | Failure]) -> Generator[tuple[Task | Failure, Answer], None, None]:
        """Give every task with its answer, in order; end all processes when done, and when something is raised."""
        feed = enumerate(tasks)
        waiting: dict[int, Task | Failure] = {}
        try:
            self._feed(feed, waiting)
            while waiting:
                due = min(waiting)
                while due not in self._answers:
                    self._listen()
                    self._feed(feed, waiting)
                yield waiting.pop(due), self._answers.pop(due)
                self._feed(feed, waiting)
        finally:
            for worker in self._workers:
                worker.end()

    @property
    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.index is not None]

    def _feed(self, feed: Iterator[tuple[int, Task | Failure]], waiting: dict[int, Task | Failure]) -> None:
        """Give out tasks as long as there are any, and somebody has none."""
        while len(self._busy) < self._jobs and (item := next(feed, None)) is not None:
            index, task = item
            waiting[index] = task
            if isinstance(task, Failure):
                self._answers[index] = task.error
            else:
                self._idle().give(index, task)

    def _idle(self) -> _Worker:
        found = next((worker for worker in self._workers if worker.index is None), None)
        if found is None:
            found = _Worker(self._threads)
            self._workers.append(found)
        return found

    def _listen(self) -> None:
        """Wait for at least one answer. Raises an error that is not about an input alone."""
        from multiprocessing.connection import wait

        ready = wait([worker.connection for worker in self._busy])
        for worker in [each for each in self._busy if each.connection in ready]:
            index, answer = worker.index, worker.take()
            if worker.has_died:
                self._workers.remove(worker)
                worker.end()
            if isinstance(answer, _Bug):
                raise RuntimeError(f"in a process of --jobs:\n{answer.told}")
            if isinstance(answer, DormancyError) and not isinstance(answer, InputError):
                raise answer
            self._answers[int(index or 0)] = answer
