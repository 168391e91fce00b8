"""Watching a network while it trains, from any training loop."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from torch import nn

from dormancy.errors import OutputError, UsageError
from dormancy.io import printable
from dormancy.io.files import why_unwritable
from dormancy.probing.probe import BATCH, Observations
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.scanner import scan
from dormancy.scanning.series import DormancySeries
from dormancy.taus import Taus, checked_taus

__all__ = ["Monitor", "ScalarWriter", "publish", "scalars"]


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
    ) -> None:
        if every < 1:
            raise UsageError(f"every must be 1 or more calls of step, not {every}")
        self.model: nn.Module = getattr(model, "_orig_mod", model)  # what torch.compile wraps, which cannot be traced
        self.every = every
        self.taus = checked_taus(tau)
        self.name = name
        self.steps = 0
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
        `agent_step` is kept with the scan. Returns the scan, or None when it was not time. Raises what `scan` raises.
        """
        self.steps += 1
        if self.steps % self.every:
            return None
        now = observations() if callable(observations) else observations
        return self.scan(now, gradient_step=self.steps, agent_step=agent_step)

    def scan(
        self, observations: Observations, *, gradient_step: int | None = None, agent_step: int | None = None
    ) -> DormancyScan:
        """Scan now, whatever the period says, and keep what was found together with these steps."""
        found = scan(self.model, observations, self.taus, **self._options)
        found = replace(found, gradient_step=gradient_step, agent_step=agent_step)
        self._scans.append(found)
        self._publish(found)
        return found

    def _publish(self, found: DormancyScan) -> None:
        step = next((step for step in (found.gradient_step, found.agent_step) if step is not None), len(self._scans))
        if self._lines is not None:
            _append(self._lines, found)
        if self._writer is not None:
            publish(self._writer, found, step, self.name)
        if self._callback is not None:
            self._callback(found)


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
