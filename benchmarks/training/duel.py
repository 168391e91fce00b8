"""Two measured processes in turns: one works while the other waits, so that both see the same machine."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from training.gate import END
from training.options import Options

Row = dict[str, Any]
PROGRAM = Path(__file__).resolve().parent.parent / "train.py"


class Side:
    """A measured process that waits until it is told to take some agent steps."""

    def __init__(self, worker: str, python: str, options: Options, name: str = "") -> None:
        self.name = name or worker
        threads = {variable: str(options.threads) for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            [python, str(PROGRAM), "dqn", "--worker", worker, "--options", options.line()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads},
        )  # fmt: skip
        self._answer()

    def take(self, agent_steps: int) -> Row:
        """Let it take so many steps; return seconds of the wall and of processors, and those of each part."""
        self._tell(str(agent_steps))
        return self._answer()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> Row:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"error: {self.name} ended with {self._process.wait()}; what it wrote is above")
        row: Row = json.loads(line)
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._tell(END)
            self._process.wait()


def in_turns(sides: Sequence[Side], warmup: int, agent_steps: int, rounds: int) -> dict[str, list[Row]]:
    """Warm both up, throw one slice away, then measure `rounds` slices of each, A B A B ..."""
    found: dict[str, list[Row]] = {side.name: [] for side in sides}
    for side in sides:
        side.take(warmup)
        side.take(agent_steps)
    for turn in range(rounds):
        for side in sides:
            found[side.name].append(side.take(agent_steps))
        print(f"\rround {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def rates(found: dict[str, list[Row]], ratio: float, columns: int = 2) -> list[str]:
    """Return a Markdown table: rates of each side (median of the slices), then the median of the paired ratios."""
    lines = ["| side | agent steps/s | gradient steps/s | processor ms an agent step |", "|---|---:|---:|---:|"]
    for name, rows in found.items():
        rate = statistics.median(row["agent_steps"] / row["seconds"] for row in rows)
        busy = statistics.median(row["busy"] / row["agent_steps"] * 1e3 for row in rows)
        lines.append(f"| {name} | {rate:.1f} | {rate * ratio:.1f} | {busy:.2f} |")
    (ours, mine), *others = found.items()
    for name, theirs in others:
        wall, busy = (_ratios(mine, theirs, key) for key in ("seconds", "busy"))
        lines += ["", f"{name} / {ours}: {wall} of wall time, {busy} of processor time (median, quartiles)."]
    return lines


def _ratios(mine: list[Row], theirs: list[Row], key: str) -> str:
    ratios = [other[key] / own[key] for own, other in zip(mine, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"**{middle:.2f}** ({low:.2f} to {high:.2f})"


def breakdown(found: dict[str, list[Row]], parts: Sequence[str]) -> list[str]:
    """Return a Markdown table: milliseconds of the wall that an agent step spends in each part, and its share."""
    sides = list(found)
    lines = ["| ms an agent step | " + " | ".join(sides) + " |", "|---|" + "---:|" * len(sides)]
    for part in (*parts, "other", "total"):
        cells = [_cell(found[side], part) for side in sides]
        if any(cells):
            lines.append(f"| {part} | " + " | ".join(cells) + " |")
    return lines


def _cell(rows: list[Row], part: str) -> str:
    steps, seconds = (sum(row[key] for row in rows) for key in ("agent_steps", "seconds"))
    spent: Callable[[str], float] = lambda name: sum(row["parts"].get(name, 0.0) for row in rows)  # noqa: E731
    if part == "total":
        return f"{seconds / steps * 1e3:.2f}"
    names = {name for row in rows for name in row["parts"]}
    value = seconds - sum(map(spent, names)) if part == "other" else spent(part)
    return f"{value / steps * 1e3:.2f} ({value / seconds:.0%})" if value else ""
