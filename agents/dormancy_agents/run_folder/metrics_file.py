"""``metrics.jsonl``: rows that are appended whole, survive a full disk, and can be cut back to a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from dormancy.errors import FileError
from dormancy.io import printable
from dormancy.io.files import why_unwritable

__all__ = ["MetricsFile"]


@final
class MetricsFile:
    """Appends rows; a row that cannot be written waits in memory for the next one, and `warn` is told.

    Opened with the `size` that a resume state knows, it is cut back to that: later rows will be written again.
    Raises `FileError` when it is shorter, `OSError` when it cannot be opened.
    """

    def __init__(self, path: Path, warn: Callable[[str], None], size: int = 0) -> None:
        self._path, self._warn = path, warn
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if os.fstat(self._descriptor).st_size < size:
            os.close(self._descriptor)
            raise FileError(
                f"{printable(path)}: shorter than when the run was saved; restore it, or start anew elsewhere"
            )
        os.ftruncate(self._descriptor, size)
        self.size = size
        self._waiting = b""

    def append(self, row: dict[str, Any]) -> None:
        """Write a row, after those that wait."""
        self._waiting += json.dumps(row, allow_nan=False).encode() + b"\n"
        try:
            self._write()
        except OSError as error:
            self._warn(f"{why_unwritable(self._path, error)}; rows wait in memory, training goes on")

    def _write(self) -> None:
        """Write what waits, all of it or nothing, so that no reader ever finds half a row before another."""
        position = self.size
        try:
            os.lseek(self._descriptor, position, os.SEEK_SET)
            view = memoryview(self._waiting)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, position)
            raise
        self.size += len(self._waiting)
        self._waiting = b""

    def flush(self) -> None:
        """Write what waits and bring everything to the disk; raises `OSError` when that fails."""
        self._write()
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Write what waits, if it can be written now, and close."""
        try:
            self._write()
        except OSError as error:
            self._warn(f"{why_unwritable(self._path, error)}; its last rows are lost")
        os.close(self._descriptor)
