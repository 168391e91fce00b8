"""Stopping in good order: a signal asks, the loop answers at the end of its step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self, final

__all__ = ["StopRequest"]


def _heard() -> list[int]:
    names = ("SIGINT", "SIGTERM", "SIGUSR1")  # the last is not known on every system
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@final
class StopRequest:
    """Turns the first SIGINT, SIGTERM or SIGUSR1 into a request; a second SIGINT interrupts at once.

    Schedulers of clusters send SIGUSR1 when a job's time is nearly over.

    `signal` is the number of the signal that came, or None. Outside the main thread Python delivers none.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Begin to listen."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._caught) for number in _heard()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the former handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None
