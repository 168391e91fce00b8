"""From a path to a `Checkpoint`, whatever kind of file it is."""

from __future__ import annotations

import os

from dormancy.errors import FormatError
from dormancy.io import native as _native  # registers its reader; later formats are listed beside it
from dormancy.io.candidate import READERS, open_candidate
from dormancy.io.checkpoint import Checkpoint
from dormancy.io.files import printable

__all__ = ["load_checkpoint"]

_FORMATS = (_native,)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint; its kind is told by its content. `source` says where it came from, with the file's SHA-256.

    Nothing in the file is executed. Parameters that are not finite are read as they are: see `Checkpoint.nonfinite`.
    Raises `FileError` when the file is missing, not a regular file or damaged, `UnsafeFileError` when loading it would
    run code or exhaust the machine, and `FormatError` when it is of no kind that is known here.
    """
    with open_candidate(path) as candidate:
        for name in READERS:
            reader = READERS[name]
            if reader.sniff(candidate):
                return reader.read(candidate)
        known = ", ".join(READERS)
        raise FormatError(f"{printable(path)}: not a checkpoint but {candidate.seen()}; formats that are read: {known}")
