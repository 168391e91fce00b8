"""What a measured process needs: a clock for the parts of a step, and a gate that lets some steps pass at a time.

Only the standard library is imported, for this runs inside the other side's environment too.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

END = "end"


class Clock:
    """Adds up the seconds spent in named parts. A part inside another one counts for the outer one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside = False

    def wrap(self, owner: Any, method: str, part: str | Callable[[], str]) -> None:
        """Time every call of `owner.method`, a class's or a single object's, as a part (or as what `part` answers)."""
        original = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return original(*arguments, **options)
            name = part if isinstance(part, str) else part()
            self._inside, start = True, time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                self.seconds[name] += time.perf_counter() - start
                self.calls[name] += 1
                self._inside = False

        setattr(owner, method, timed)

    def take(self) -> tuple[dict[str, float], dict[str, int]]:
        """Return seconds and calls since the last time, and begin anew."""
        found = dict(self.seconds), dict(self.calls)
        self.seconds.clear()
        self.calls.clear()
        return found


class Gate:
    """Stands in front of every environment step: after so many as the parent asked for, it reports and waits.

    The parent writes a number of agent steps a line, or "end"; the answer is one line of JSON on `out`. What the
    measured program prints itself goes to stderr.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._out = clock, sys.stdout
        sys.stdout = sys.stderr
        self._left = self._asked = 0
        self._start = (0.0, 0.0)

    def guard(self, owner: Any, method: str) -> None:
        """Let each call of `owner.method` pass the gate first."""
        original = getattr(owner, method)

        def guarded(*arguments: Any, **options: Any) -> Any:
            self._pass()
            return original(*arguments, **options)

        setattr(owner, method, guarded)

    def _pass(self) -> None:
        if self._left == 0:
            self._report()
            self._wait()
        self._left -= 1

    def _report(self) -> None:
        seconds, busy = (now - then for now, then in zip(_now(), self._start, strict=True))
        parts, calls = self._clock.take()
        row = {"agent_steps": self._asked, "seconds": seconds, "busy": busy, "parts": parts, "calls": calls}
        print(json.dumps(row), file=self._out, flush=True)

    def _wait(self) -> None:
        line = sys.stdin.readline().strip()
        if line in (END, ""):
            raise SystemExit(0)
        self._asked = self._left = int(line)
        self._start = _now()


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
