"""Where a value was read: path, format and hash of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["Source"]


@final
@dataclass(frozen=True)
class Source:
    """The file something was read from: path as given, kind of file, SHA-256 of its bytes."""

    path: str
    format: str
    sha256: str
