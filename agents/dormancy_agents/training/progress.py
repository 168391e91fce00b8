"""The progress bar of a run: return, dormancy, time left; on stderr, and only where a person looks at it."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["ProgressBar"]

REFRESH_SECONDS = 0.2


@final
class ProgressBar:
    """Counts agent steps. Silent when stderr is not a terminal or `shown` is False."""

    def __init__(self, agent_steps: int, *, shown: bool = True) -> None:
        self._bar: Progress | None = None
        self._texts: dict[str, Any] = {"episode_return": "-", "dormancy": "-"}
        self._agent_step = 0
        self._next = 0.0
        if shown and sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task("agent steps", total=agent_steps, **self._texts)

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._draw()
            self._bar.stop()

    def episode(self, mean_return: float) -> None:
        """Show the mean return of the latest episodes."""
        self._texts["episode_return"] = f"{mean_return:.1f}"

    def dormancy(self, fraction: float) -> None:
        """Show the latest dormant fraction of the network."""
        self._texts["dormancy"] = f"{fraction:.1%}"

    def evaluating(self, played: int, episodes: int) -> None:
        """Show how many episodes of an evaluation are over; after the last one, agent steps are counted again."""
        if self._bar is not None:
            text = "agent steps" if played == episodes else f"evaluation {played}/{episodes}"
            self._bar.update(self._task, description=text, refresh=True)

    def note(self, message: str) -> None:
        """Show a line that must be seen, above the bar or on stderr, also where no bar is shown."""
        if self._bar is not None:
            self._bar.console.print(f"warning: {message}", markup=False, highlight=False, soft_wrap=True)
        else:
            print(f"warning: {message}", file=sys.stderr)

    def at(self, agent_step: int) -> None:
        """Move to `agent_step`; redrawn a few times a second at most."""
        self._agent_step = agent_step
        if self._bar is not None and (now := time.monotonic()) >= self._next:
            self._next = now + REFRESH_SECONDS
            self._draw()

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._agent_step, refresh=True, **self._texts)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("return {task.fields[episode_return]}  dormant {task.fields[dormancy]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False)
