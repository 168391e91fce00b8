"""Watching a network while it trains, from any training loop."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from torch import nn

from dormancy.errors import DormancyError, OutputError, UsageError
from dormancy.graph.trace import uncompiled
from dormancy.io import printable
from dormancy.io.files import why_unwritable
from dormancy.probing.probe import BATCH, Observations
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.scanner import scan
from dormancy.scanning.series import DormancySeries
from dormancy.taus import Taus, checked_taus

__all__ = ["Monitor", "ScalarWriter", "publish", "reason_of", "scalars"]


class ScalarWriter(Protocol):
    """What curves are written to: TensorBoard's ``SummaryWriter`` is one."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Add one point to the curve `tag`."""


@final
class Monitor:
    """Scans `model` on every `every`-th call of `step`, and keeps what it found as a `DormancySeries`.

    The scans are those of `dormancy.scan`, with the same `tau`, `metrics`, `layers`, `batch_size`, `input_scale` and
    `activations`, and leave as little behind: training goes on bit for bit as without a monitor. What a scan costs is
    one forward pass over the observations that it is given.

    `callback` is called with each `DormancyScan`. `jsonl` names a new file that gets one line a scan, schema
    ``dormancy.scan/1``, which ``dormancy report`` reads. `writer` gets curves, and histograms if it takes them: see
    `publish`. `name` is the name of the series, and the first part of the curves' names.

    A network or sample that cannot be scanned raises at the first use: see `check` and `step`. After one scan has
    worked, a failure does not end the training: it warns once (`UserWarning`), `stopped` holds the reason, and
    nothing is scanned any more. With `strict`, it raises. What `callback` raises is always passed on.

    Raises `UsageError` for an `every` below 1 or a bad tau, `OutputError` when `jsonl` exists or cannot be written.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> monitor = Monitor(model, every=100)
    >>> for _ in range(300):
    ...     _ = monitor.step(lambda: torch.rand(64, 2))
    >>> monitor.series.steps
    (100, 200, 300)
    """

    def __init__(
        self,
        model: nn.Module,
        every: int = 1000,
        tau: Taus = 0.1,
        *,
        name: str = "dormancy",
        metrics: Sequence[str] | None = None,
        layers: str | None = None,
        batch_size: int = BATCH,
        input_scale: float | None = None,
        activations: Mapping[str, str] | None = None,
        callback: Callable[[DormancyScan], object] | None = None,
        jsonl: str | os.PathLike[str] | None = None,
        writer: ScalarWriter | None = None,
        strict: bool = False,
    ) -> None:
        if every < 1:
            raise UsageError(f"every must be 1 or more calls of step, not {every}")
        self.model: nn.Module = uncompiled(model)
        self.every = every
        self.taus = checked_taus(tau)
        self.name = name
        self.steps = 0
        self.strict = strict
        self.stopped: str | None = None
        self._checked = False
        self._options: dict[str, Any] = {
            "metrics": metrics,
            "layers": layers,
            "batch_size": batch_size,
            "input_scale": input_scale,
            "activations": activations,
        }
        self._scans: list[DormancyScan] = []
        self._callback = callback
        self._writer = writer
        self._lines = None if jsonl is None else _new_file(Path(jsonl))

    @property
    def due(self) -> bool:
        """Whether the next call of `step` will scan."""
        return (self.steps + 1) % self.every == 0

    @property
    def series(self) -> DormancySeries:
        """All scans so far; a series may be empty."""
        return DormancySeries.of(self.name, self._scans)

    @property
    def last(self) -> DormancyScan | None:
        """The latest scan, if there is one."""
        return self._scans[-1] if self._scans else None

    def step(
        self, observations: Observations | Callable[[], Observations], *, agent_step: int | None = None
    ) -> DormancyScan | None:
        """Count one gradient step, and scan when it is time; call it after ``optimizer.step()``.

        `observations` is what `dormancy.scan` takes, (N, ...), or a function that returns it and is called only when a
        scan is due (let it draw from a random generator of its own, so that it takes no numbers from the training).
        `agent_step` is kept with the scan. Returns the scan, or None when it was not time or the monitor has stopped.

        The first call runs `check` on observations that are not a function. Until a check or a scan has worked, this
        raises what `scan` raises.
        """
        self.steps += 1
        if self.steps % self.every == 0:
            return self.scan(observations, gradient_step=self.steps, agent_step=agent_step)
        if self.steps == 1 and not callable(observations) and not self._checked:
            self.check(observations)
        return None

    def check(self, observations: Observations | Callable[[], Observations]) -> None:
        """Scan once and keep nothing: call it before a training to learn whether the network can be scanned.

        Raises what `scan` raises, whatever `strict` is.
        """
        self._scan(observations)
        self._checked = True

    def scan(
        self,
        observations: Observations | Callable[[], Observations],
        *,
        gradient_step: int | None = None,
        agent_step: int | None = None,
    ) -> DormancyScan | None:
        """Scan now, whatever the period, and keep the result together with these steps.

        Returns None when the monitor has stopped. Raises what `scan` raises until a check or a scan has worked, and
        always with `strict`.
        """
        if self.stopped is not None:
            return None
        try:
            found = replace(self._scan(observations), gradient_step=gradient_step, agent_step=agent_step)
            self._scans.append(found)
            self._publish(found)
        except Exception as error:
            if self.strict or not self._checked:
                raise
            self.stopped = reason_of(error)
            warnings.warn(
                f"the monitor {self.name!r} stopped after {len(self._scans)} scans, the training continues: "
                f"{self.stopped} (Monitor(..., strict=True) raises instead)",
                stacklevel=2,
            )
            return None
        self._checked = True
        if self._callback is not None:
            self._callback(found)
        return found

    def _scan(self, observations: Observations | Callable[[], Observations]) -> DormancyScan:
        return scan(self.model, observations() if callable(observations) else observations, self.taus, **self._options)

    def _publish(self, found: DormancyScan) -> None:
        step = next((step for step in (found.gradient_step, found.agent_step) if step is not None), len(self._scans))
        if self._lines is not None:
            _append(self._lines, found)
        if self._writer is not None:
            publish(self._writer, found, step, self.name)


def reason_of(error: Exception) -> str:
    """Return what an exception says in one line, with its class where it is not one of this library."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, DormancyError) else f"{type(error).__name__}: {text}"


def publish(writer: ScalarWriter, found: DormancyScan, step: int, name: str) -> None:
    """Give a writer the curves of a scan, and, where it has ``add_histogram``, the finite scores of each layer.

    Curves are called `name`/tag (see `scalars`), histograms `name`/scores/layer.
    """
    for tag, value in scalars(found):
        writer.add_scalar(f"{name}/{tag}", value, step)
    add_histogram = getattr(writer, "add_histogram", None)
    for layer in found.layers if add_histogram else ():
        scores = layer.scores[np.isfinite(layer.scores)]
        if add_histogram and scores.size:
            add_histogram(f"{name}/scores/{layer.name}", scores, step)


def scalars(found: DormancyScan) -> Iterator[tuple[str, float]]:
    """Name what of a scan makes a curve: ``fraction@0.1``, ``fraction@0.1/fc1``, ``srank/fc2`` and so on.

    Values that are not finite are left out.
    """
    for tau in found.taus:
        yield f"fraction@{tau:g}", found.fraction(tau)
        for layer in found.layers:
            yield f"fraction@{tau:g}/{layer.name}", layer.fraction(tau)
    for name, measurement in found.measurements.items():
        for layer_name, value in measurement.layers.items():
            if math.isfinite(value):
                yield f"{name}/{layer_name}", float(value)


def _new_file(path: Path) -> Path:
    try:
        path.open("x").close()
    except FileExistsError as error:
        raise OutputError(f"{printable(path)}: already exists; name a new file for this run") from error
    except OSError as error:
        raise OutputError(why_unwritable(path, error)) from error
    return path


def _append(path: Path, found: DormancyScan) -> None:
    """Add one line in a single write, so that a run that is killed leaves whole lines."""
    line = json.dumps(found.to_dict(), allow_nan=False, separators=(",", ":")) + "\n"
    try:
        with path.open("ab", buffering=0) as stream:
            stream.write(line.encode())
    except OSError as error:
        raise OutputError(why_unwritable(path, error)) from error
