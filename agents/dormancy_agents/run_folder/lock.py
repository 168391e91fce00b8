"""One trainer a folder: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, final

from dormancy.errors import OutputError
from dormancy.io import printable

__all__ = ["LOCK", "FolderLock"]

LOCK = ".lock"


@final
class FolderLock:
    """Held in a `with` statement; raises `OutputError` while another process holds it, naming that process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock."""
        descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(descriptor)
        except OSError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise OutputError(
                f"{printable(self._folder)}: process {printable(holder or '?', 20)} is training in this folder; "
                "stop it, or choose another --out"
            ) from error
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # a full disk: the lock holds without the number in it
            os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back. The file stays: removing it would let two others hold two locks of one name."""
        os.close(self._descriptor)


def _take(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # a system without such locks: two trainers in one folder are not told apart there
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
