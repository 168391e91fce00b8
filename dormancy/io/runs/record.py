"""What a training run wrote about itself: its configuration, the return of every episode, its evaluations."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dormancy.errors import FileError, FormatError
from dormancy.io.files import require_regular_file
from dormancy.text.escape import one_line, printable

__all__ = ["Evaluation", "TrainingRecord", "read_training"]

Floats: TypeAlias = NDArray[np.float64]
SCHEMA = "dormancy.run/1"
MOST_STEPS = 2**53


def _nothing() -> Floats:
    return np.empty(0)


@final
@dataclass(frozen=True, eq=False)
class Evaluation:
    """Episodes played without exploration after `agent_step` agent steps; `returns` are undiscounted, shape (E,)."""

    agent_step: int
    returns: Floats


@final
@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """One training run: `config` as it was started with, and for each of E episodes its end and its return.

    `steps` counts agent steps, shape (E,), ascending; `returns` are undiscounted, shape (E,), as the agent explored;
    `evaluations` are in the order in which they were played. `last_step` is the last agent step that the run wrote
    anything about, also between episodes. `status` is "running", "finished", or how it ended; empty where the run does
    not say.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    steps: Floats = field(default_factory=_nothing)
    returns: Floats = field(default_factory=_nothing)
    last_step: int = 0
    status: str = ""
    evaluations: tuple[Evaluation, ...] = ()

    @property
    def running(self) -> bool:
        """Whether the run is still training, or was killed before it could say otherwise."""
        return self.status == "running"


def read_training(folder: str | os.PathLike[str]) -> TrainingRecord | None:
    """Read ``run.json`` and ``metrics.jsonl`` of a run folder; None when it has neither.

    A last line without its end is one that a running trainer is writing, and is left out. Raises `FileError` when a
    file cannot be read, `FormatError` when a line is not a row of metrics, naming the line.
    """
    root = Path(folder)
    about, metrics = root / "run.json", root / "metrics.jsonl"
    config, status = _described(about) if about.exists() else (None, "")
    rows = list(_rows(metrics)) if metrics.exists() else None
    return None if config is None and rows is None else _record(config or {}, rows or [], status)


def _text(path: Path) -> str:
    try:
        return require_regular_file(path).read_text(encoding="utf-8") if path.stat().st_size else ""
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{printable(path)}: cannot be read: {one_line(error)}") from error


def _described(path: Path) -> tuple[Mapping[str, Any], str]:
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{printable(path)}: not JSON: {one_line(error)}; restore it or take it away") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("config"), dict):
        raise FormatError(f"{printable(path)}: no description of a run of schema {SCHEMA!r}; take it away")
    return {"algorithm": found.get("algorithm"), **found["config"]}, str(found.get("status") or "")


class _Row(NamedTuple):
    """What a row is about: an episode of training and its return, an evaluation and its returns, or something else."""

    agent_step: int
    value: float | None = None
    evaluated: Floats | None = None


def _rows(path: Path) -> Iterator[_Row]:
    whole, _, _ = _text(path).rpartition("\n")
    last = 0
    for number, line in enumerate(whole.split("\n") if whole else (), start=1):
        try:
            row = _row(json.loads(line))
            if row.agent_step < last:
                raise ValueError(f"agent step {row.agent_step} after {last}")
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise FormatError(
                f"{printable(path)}, line {number}: no row of metrics ({one_line(error)}); correct or remove the line"
            ) from error
        last = row.agent_step
        yield row


def _row(row: Any) -> _Row:
    if not isinstance(row, dict):
        raise TypeError("not an object")
    step, kind = row["agent_step"], row["kind"]
    if type(step) is not int or not 0 <= step < MOST_STEPS:
        raise ValueError("agent_step is no count")
    if kind == "episode":
        return _Row(step, value=_finite(row["return"]))
    if kind == "evaluation":
        returns = row["returns"]
        if not isinstance(returns, list) or not returns:
            raise ValueError("returns is no list of numbers")
        return _Row(step, evaluated=np.array([_finite(value) for value in returns]))
    return _Row(step)


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("return is no finite number")
    return float(value)


def _record(config: Mapping[str, Any], rows: list[_Row], status: str) -> TrainingRecord:
    episodes = [(row.agent_step, row.value) for row in rows if row.value is not None]
    steps, returns = np.array(episodes, dtype=np.float64).reshape(-1, 2).T
    evaluations = tuple(Evaluation(row.agent_step, row.evaluated) for row in rows if row.evaluated is not None)
    return TrainingRecord(config, steps, returns, rows[-1].agent_step if rows else 0, status, evaluations)
