"""What a run leaves behind.

::

    run.json                        configuration, network, versions, and how the run ended
    metrics.jsonl                   one JSON object a line; `kind` says which
    checkpoints/step_000020000.pt   by agent step
    samples/step_000020000.h5       the replay sample that belongs to it
    resume/                         what is needed to go on bit for bit (see `resume`)
    tensorboard/events.out...       the same numbers for TensorBoard, where they are wanted

Every row of ``metrics.jsonl`` has `kind`, `agent_step`, `gradient_step` and `wall_seconds` (since the start), and

- ``episode``: `episode`, `return` (undiscounted, rewards unclipped), `length_agent_steps`
- ``learning``: `loss` (mean Huber loss since the last such row; algorithms with several losses have one field each),
  `epsilon`, `agent_steps_per_second`, `gradient_steps_per_second`, `replay_transitions`
- ``dormancy``: `observations`, `dormant_fraction` by tau, `layers` (`neurons` and `dormant_fraction` by tau, by layer),
  `srank` by layer, `checkpoint` (the name of the checkpoint it belongs to, or null)
- ``evaluation``: `episodes`, `returns` of each, `mean_return`, `mean_length` in agent steps: played without exploration
- ``recycling``: `recycler`, `tau`, `recycled` (how many neurons, by layer), `parameters` (that a reset renewed),
  `refused` (layers whose neurons are not recycled, for that would not be exact; `dormancy recycle` says why)
- ``pruning``: `tau`, `pruned` (how many neurons were found, by layer), `off` (how many are off altogether, by layer)
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from dormancy.errors import FileError, OutputError, UsageError
from dormancy.io import Checkpoint, ReplaySample, atomic_path, printable, save_checkpoint, save_sample
from dormancy.io.files import require_regular_file, why_unwritable
from dormancy.scanning.result import DormancyScan
from dormancy.text.escape import one_line
from dormancy_agents.errors import AlreadyFinished
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.run_folder.lock import LOCK, FolderLock
from dormancy_agents.run_folder.metrics_file import MetricsFile
from dormancy_agents.run_folder.resume import ResumeStore
from dormancy_agents.run_folder.tensorboard import TensorBoard, require_tensorboard

__all__ = ["RunFolder", "checkpoint_name", "recorded_config", "recorded_run"]

SCHEMA = "dormancy.run/1"


def checkpoint_name(agent_step: int) -> str:
    """Name a checkpoint and its sample by agent step, so that names sort as the steps do.

    >>> checkpoint_name(20000)
    'step_000020000'
    """
    return f"step_{agent_step:09d}"


OURS = ("run.json", "metrics.jsonl", "checkpoints", "samples", "resume", "tensorboard", LOCK)
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
MAY_DIFFER = ("agent_steps", "tensorboard")
"""What may be changed when a run is resumed: nothing that happened so far depends on it."""


def recorded_config(path: Path, algorithm: str) -> dict[str, Any]:
    """Return the configuration in a ``run.json``.

    Raises `FileError` when it is none, `UsageError` when it is of another algorithm.
    """
    found = recorded_run(path)
    if found["algorithm"] != algorithm:
        named = printable(found["algorithm"], 40)
        raise UsageError(f"{printable(path.parent)} is a run of {named}: use `dormancy train {named}`")
    config: dict[str, Any] = found["config"]
    return config


def recorded_run(path: Path) -> dict[str, Any]:
    """Return what a ``run.json`` says: algorithm, threads, config, versions, status.

    Raises `FileError` when it is none.
    """
    try:
        found = json.loads(require_regular_file(path).read_text(encoding="utf-8"))
        if not all(isinstance(found[name], dict) for name in ("config", "versions")):
            raise TypeError("config or versions are no tables")
        status = str(found.get("status", ""))
        return {name: found[name] for name in ("algorithm", "threads", "config", "versions")} | {"status": status}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = one_line(error, 80)
        raise FileError(f"{printable(path)}: not the description of a run ({reason}); restore it") from error


def _flat(about: Mapping[str, Any]) -> dict[str, Any]:
    return {"algorithm": about["algorithm"], "threads": about["threads"], **about["config"], **about["versions"]}


def _silent(message: str) -> None:
    pass


@final
class RunFolder:
    """The folder of one run, written so that it is consistent at every moment.

    Each file is written under a temporary name and renamed; a sample is there before its checkpoint. Used in a `with`
    statement, it keeps other trainers out and records how the run ended. With `resume`, a folder that holds a run of
    the same configuration and versions is gone on with: from its latest state, or from the beginning where it was
    killed or failed and has none. `warn` is told so, and what could not be written while training went on.
    """

    def __init__(
        self,
        path: Path,
        description: Mapping[str, Any],
        *,
        resume: bool = False,
        tensorboard: bool = False,
        warn: Callable[[str], None] = _silent,
    ) -> None:
        if tensorboard:
            require_tensorboard()
        self.path = path
        self.store = ResumeStore(path / "resume")
        self.warn = warn
        self.resumed: dict[str, Any] | None = None
        self._description = {"schema": SCHEMA, **json.loads(json.dumps(description))}
        self._resume = resume
        self._tensorboard = tensorboard
        self._board: TensorBoard | None = None
        self._started = time.monotonic()
        self._stack = ExitStack()
        self.status = "finished"

    def __enter__(self) -> Self:
        """Make the folder, or take up what is in it.

        Raises `OutputError` where there is something already and `resume` was not asked for, or where another process
        trains; `UsageError` when what is there is another run, or one that cannot go on to so many agent steps;
        `AlreadyFinished` when it is finished without a state; `FileError` and its kin when it is damaged.
        """
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def _open(self, stack: ExitStack) -> None:
        try:
            self._require_free()
            self.path.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FolderLock(self.path))
            self._require_free()  # once more: another trainer may have come and gone before the lock was ours
            for name in ("checkpoints", "samples"):
                (self.path / name).mkdir(exist_ok=True)
            if self._resume:
                self._take_up()
            size = self.resumed["metrics_bytes"] if self.resumed else 0
            self._saved_bytes = size
            self._metrics = MetricsFile(self.path / "metrics.jsonl", self.warn, size)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be made: {error.strerror}; choose another --out") from error
        stack.callback(self._metrics.close)
        if self._tensorboard:
            self._board = TensorBoard(
                self.path / "tensorboard", after=self.resumed["agent_step"] if self.resumed else 0
            )
            stack.callback(self._board.close)
        self._describe("running")

    def _require_free(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise OutputError(f"{self.path} exists and is kept as it is; choose another --out")
        found = {entry.name for entry in self.path.iterdir() if not TEMPORARY.fullmatch(entry.name)}
        if self._resume and found - set(OURS):
            other = printable(sorted(found - set(OURS))[0], 60)
            raise OutputError(f"{self.path} holds {other!r}, which no run leaves: no folder to resume in; check --out")
        if not self._resume and found - {LOCK}:
            hint = "; go on with its run by --resume, or" if "run.json" in found else ";"
            raise OutputError(f"{self.path} exists and is kept as it is{hint} choose another --out")

    def _take_up(self) -> None:
        """Check that the run found here is the one asked for, and load its latest state, if it has any."""
        for path in [*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")]:
            if TEMPORARY.fullmatch(path.name):
                path.unlink()  # of a process that was killed while it wrote; the lock says that it is gone
        before = recorded_run(self.path / "run.json") if (self.path / "run.json").exists() else None
        if before is not None:
            self._require_same(before)
        if self.store.find():
            self._require_ahead()
            self.resumed = self.store.load()
            self._started -= float(self.resumed["wall_seconds"])
        elif before is not None:
            self._require_unfinished(before)
            self.warn(f"{self.path} has no state to resume from (resume/): it begins anew")

    def _require_ahead(self) -> None:
        """Raise `UsageError` when the run has taken more agent steps than it is to take now."""
        names = [path.stem.removeprefix("step_") for path in (self.path / "checkpoints").glob("step_*.pt")]
        taken = max(self.store.agent_step, *(int(name) for name in names if name.isdecimal()), 0)
        wanted = self._description["config"]["agent_steps"]
        if wanted < taken:
            raise UsageError(
                f"{self.path} has taken {taken} agent steps already, more than {wanted}: give --steps {taken} or more"
            )

    def _require_unfinished(self, before: Mapping[str, Any]) -> None:
        """Raise when a run without a state came to its end: beginning anew would cut off what it left."""
        steps, wanted = before["config"].get("agent_steps"), self._description["config"]["agent_steps"]
        if before["status"] == "finished" and steps == wanted:
            raise AlreadyFinished(f"{self.path} is finished: {steps} agent steps")
        if before["status"].startswith(("finished", "stopped")):
            raise UsageError(
                f"{self.path} is {before['status']} and keeps no state to go on from (resume/): "
                "nothing was changed; choose another --out"
            )

    def _require_same(self, before: Mapping[str, Any]) -> None:
        """Raise `UsageError` when the run found here was made with other values or versions."""
        now, then = _flat(self._description), _flat(before)
        for name in [*now, *then]:
            if name not in MAY_DIFFER and then.get(name) != now.get(name):
                raise UsageError(
                    f"{self.path} was trained with {name} = {printable(then.get(name), 60)}, not "
                    f"{printable(now.get(name), 60)}: it cannot go on bit for bit; use the former, or another --out"
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record how the run ended, whatever ended it."""
        if error is not None:
            self.status = f"failed: {type(error).__name__}: {error}"
        with self._stack:
            try:
                self._describe(self.status)
            except OutputError as unwritten:
                self.warn(str(unwritten))

    def _describe(self, status: str) -> None:
        content = {**self._description, "status": status, "wall_seconds": self.seconds()}
        with atomic_path(self.path / "run.json", force=True) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def seconds(self) -> float:
        """Return the seconds that the run has taken so far, those before it was resumed included."""
        return round(time.monotonic() - self._started, 3)

    def row(self, kind: str, agent_step: int, gradient_step: int, **values: Any) -> None:
        """Append a row to ``metrics.jsonl``; on a full disk, rows wait in memory."""
        common = {"kind": kind, "agent_step": agent_step, "gradient_step": gradient_step}
        self._metrics.append({**common, "wall_seconds": self.seconds(), **values})
        if self._board is not None:
            self._board.row(kind, agent_step, values)

    def scanned(self, found: DormancyScan, agent_step: int) -> None:
        """Take in a whole scan, of which a row holds the gist: for TensorBoard, where it is wanted."""
        if self._board is not None:
            self._board.scanned(found, agent_step)

    def save(self, checkpoint: Checkpoint, sample: ReplaySample) -> str:
        """Write a checkpoint and the sample that belongs to it, the sample first; return their name.

        A resumed run comes to the same step with the same numbers once more: it replaces the files, in one step each.
        """
        assert checkpoint.agent_step is not None, "a checkpoint of a run knows its step"
        name = checkpoint_name(checkpoint.agent_step)
        path, beside = self.path / "checkpoints" / f"{name}.pt", self.path / "samples" / f"{name}.h5"
        try:
            save_sample(beside, sample, force=self._resume)
            save_checkpoint(path, checkpoint, force=self._resume)
        except OutputError:
            if not path.exists():
                with suppress(OSError):
                    beside.unlink(missing_ok=True)
            raise
        return name

    def save_resume(self, agent_step: int, state: Mapping[str, Any], replay: Replay) -> None:
        """Write what is needed to go on from here; raises `OutputError` when the disk is full."""
        try:
            self._metrics.flush()
        except OSError as error:
            raise OutputError(why_unwritable(self.path / "metrics.jsonl", error)) from error
        sizes = {"metrics_bytes": self._metrics.size, "wall_seconds": self.seconds()}
        self.store.save(agent_step, {**state, **sizes}, replay)
        self._saved_bytes = self._metrics.size

    def is_saved(self, agent_step: int) -> bool:
        """Whether the latest state to resume from is of this step and knows every row."""
        return self.store.agent_step == agent_step and self._saved_bytes == self._metrics.size
