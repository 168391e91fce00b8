"""What a run leaves behind.

::

    run.json                        configuration, network, versions, and how the run ended
    metrics.jsonl                   one JSON object a line; `kind` says which
    checkpoints/step_000020000.pt   by agent step
    samples/step_000020000.h5       the replay sample that belongs to it
    tensorboard/events.out...       the same numbers for TensorBoard, where they are wanted

Every row of ``metrics.jsonl`` has `kind`, `agent_step`, `gradient_step` and `wall_seconds` (since the start), and

- ``episode``: `episode`, `return` (undiscounted, rewards unclipped), `length_agent_steps`
- ``learning``: `loss` (mean Huber loss since the last such row; algorithms with several losses have one field each),
  `epsilon`, `agent_steps_per_second`, `gradient_steps_per_second`, `replay_transitions`
- ``dormancy``: `observations`, `dormant_fraction` by tau, `layers` (`neurons` and `dormant_fraction` by tau, by layer),
  `srank` by layer, `checkpoint` (the name of the checkpoint it belongs to, or null)
- ``recycling``: `recycler`, `tau`, `recycled` (how many neurons, by layer), `parameters` (where a reset renewed them)
- ``pruning``: `tau`, `pruned` (how many neurons were found now, by layer), `off` (how many are off by now, by layer)
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, final

import numpy as np
import torch

from dormancy import __version__
from dormancy.errors import OutputError
from dormancy.io import Checkpoint, ReplaySample, atomic_path, save_checkpoint, save_sample
from dormancy.result import DormancyScan
from dormancy_agents.tensorboard import TensorBoard, require_tensorboard

__all__ = ["RunFolder", "checkpoint_name", "versions"]

SCHEMA = "dormancy.run/1"


def checkpoint_name(agent_step: int) -> str:
    """Name a checkpoint and its sample by agent step, so that names sort as the steps do.

    >>> checkpoint_name(20000)
    'step_000020000'
    """
    return f"step_{agent_step:09d}"


def versions() -> dict[str, str]:
    """Return the versions that decide whether a run can be repeated bit for bit."""
    found = {"dormancy": __version__, "python": platform.python_version(), "torch": torch.__version__}
    found["numpy"] = np.__version__
    for module in ("gymnasium", "ale_py"):
        found[module] = str(getattr(__import__(module), "__version__", "unknown"))
    return found


@final
class RunFolder:
    """The folder of one run, written so that it is consistent at every moment.

    Each file is written under a temporary name and renamed; a sample is there before its checkpoint. Used in a `with`
    statement, it records how the run ended.
    """

    def __init__(self, path: Path, description: Mapping[str, Any], *, tensorboard: bool = False) -> None:
        if tensorboard:
            require_tensorboard()
        self.path = path
        self._tensorboard = tensorboard
        self._description = {"schema": SCHEMA, **description}
        self._started = time.monotonic()
        self._metrics: TextIO | None = None
        self._board: TensorBoard | None = None
        self.status = "finished"

    def __enter__(self) -> Self:
        """Make the folder; raise `OutputError` where there is something already."""
        self._make()
        self._metrics = (self.path / "metrics.jsonl").open("x", encoding="utf-8")
        self._describe("running")
        if self._tensorboard:
            self._board = TensorBoard(self.path / "tensorboard")
        return self

    def _make(self) -> None:
        try:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise OutputError(f"{self.path} exists and is kept as it is; choose another --out")
            for name in ("checkpoints", "samples"):
                (self.path / name).mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be made: {error.strerror}; choose another --out") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record how the run ended, whatever ended it."""
        if self._metrics is not None:
            self._metrics.close()
        if self._board is not None:
            self._board.close()
        if error is not None:
            self.status = f"failed: {type(error).__name__}: {error}"
        self._describe(self.status)

    def _describe(self, status: str) -> None:
        content = {**self._description, "status": status, "wall_seconds": self.seconds()}
        with atomic_path(self.path / "run.json", force=True) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def seconds(self) -> float:
        """Return the seconds since the run began."""
        return round(time.monotonic() - self._started, 3)

    def row(self, kind: str, agent_step: int, gradient_step: int, **values: Any) -> None:
        """Append a row to ``metrics.jsonl``."""
        common = {"kind": kind, "agent_step": agent_step, "gradient_step": gradient_step}
        line = json.dumps({**common, "wall_seconds": self.seconds(), **values}, allow_nan=False)
        assert self._metrics is not None, "rows are written inside the with statement"
        self._metrics.write(line + "\n")
        self._metrics.flush()
        if self._board is not None:
            self._board.row(kind, agent_step, values)

    def scanned(self, found: DormancyScan, agent_step: int) -> None:
        """Take in a whole scan, of which a row holds the gist: for TensorBoard, where it is wanted."""
        if self._board is not None:
            self._board.scanned(found, agent_step)

    def save(self, checkpoint: Checkpoint, sample: ReplaySample) -> str:
        """Write a checkpoint and the sample that belongs to it, the sample first; return their name."""
        assert checkpoint.agent_step is not None, "a checkpoint of a run knows its step"
        name = checkpoint_name(checkpoint.agent_step)
        save_sample(self.path / "samples" / f"{name}.h5", sample)
        save_checkpoint(self.path / "checkpoints" / f"{name}.pt", checkpoint)
        return name
