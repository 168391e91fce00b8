"""From a path to a `Checkpoint`, whatever kind of file it is."""

from __future__ import annotations

import os

from dormancy.errors import FormatError, UsageError
from dormancy.io.checkpoints.checkpoint import Checkpoint
from dormancy.io.checkpoints.formats import flax as _flax
from dormancy.io.checkpoints.formats import native as _native
from dormancy.io.checkpoints.formats import pickled_module as _pickled
from dormancy.io.checkpoints.formats import safetensors as _safe
from dormancy.io.checkpoints.formats import stable_baselines3 as _sb3
from dormancy.io.checkpoints.formats import state_dict as _bare
from dormancy.io.checkpoints.formats import torch_programs as _programs
from dormancy.io.checkpoints.hints import Hints
from dormancy.io.checkpoints.reader import READERS, Candidate, CheckpointReader, open_candidate
from dormancy.text.escape import printable

__all__ = ["load_checkpoint", "reader_of"]

_FORMATS = (_native, _bare, _flax, _pickled, _programs, _safe, _sb3)

_FLAGS = "--key, --arch, --activation, --input-scale, --layout and --model"


def load_checkpoint(path: str | os.PathLike[str], hints: Hints | None = None) -> Checkpoint:
    """Read a checkpoint; its kind is told by its content. `source` says where it came from, with the file's SHA-256.

    `hints` answer what a foreign file does not say of its network; see `Hints`. Nothing in the file is executed, save a
    program that `hints` trust.
    Parameters that are not finite are read as they are: see `Checkpoint.nonfinite`.
    Raises `FileError` when the file is missing, not a regular file or damaged, `UnsafeFileError` when loading it would
    run code or exhaust the machine, `FormatError` when it is of no kind that is known here, and `ArchitectureUnknown`
    when its network cannot be told: the message names the hints to give.
    """
    with open_candidate(path, hints) as candidate:
        name, reader = reader_of(candidate)
        if name == _native.FORMAT and candidate.hints not in (Hints(), Hints(trust=True)):
            raise UsageError(f"{printable(path)}: says itself what its network is; leave out {_FLAGS}")
        return reader.read(candidate)


def reader_of(candidate: Candidate) -> tuple[str, CheckpointReader]:
    """Return the format of a file and who reads it; raises `FormatError` when it is of no known kind."""
    for name in READERS:
        if READERS[name].sniff(candidate):
            return name, READERS[name]
    file, known = printable(candidate.path), ", ".join(READERS)
    raise FormatError(f"{file}: not a checkpoint but {candidate.seen()}; formats that are read: {known}")
