"""Where checkpoints and their samples lie: a run folder, or any folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from dormancy.errors import FileError
from dormancy.io.files import open_regular_file
from dormancy.io.safety.torch_zip import list_members
from dormancy.text.escape import one_line, printable

__all__ = ["CHECKPOINT_SUFFIXES", "find_sample", "list_checkpoints", "list_runs"]

CHECKPOINT_SUFFIXES = (".pt", ".pth")
FOREIGN_SUFFIXES = (".cleanrl_model", ".msgpack", ".safetensors", ".zip")
"""Taken where a folder has none of the former, and only one kind of these; a zip must be an agent's."""


def list_checkpoints(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the checkpoints of a run folder (its ``checkpoints/``) or of a plain folder, in the order of their steps.

    Numbers in names count as numbers: ``step_9.pt`` comes before ``step_10.pt``. Hidden files are left out. Where no
    ``.pt`` or ``.pth`` is there, agents of Stable-Baselines3 (``.zip``), ``.safetensors``, ``.cleanrl_model`` or
    ``.msgpack`` are taken. Raises `FileError` when there are none, when they are of several kinds, and when `folder` is
    not a folder that can be read.
    """
    root = Path(folder)
    try:
        if not root.is_dir():
            reason = "not a folder" if root.exists() else "no such folder"
            raise FileError(f"{printable(root)}: {reason}; check the path")
        found = _checkpoints(root / "checkpoints") or _checkpoints(root)
    except (OSError, ValueError) as error:
        raise FileError(f"{printable(root)}: cannot be read: {one_line(error)}") from error
    if not found:
        raise FileError(f"{printable(root)}: no checkpoints (*.pt) here nor in checkpoints/; name the folder of a run")
    return found


def list_runs(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the run folders right below a folder, in natural order: those with a ``run.json`` or ``checkpoints``.

    Empty when there are none, and when `folder` is no folder or cannot be read.
    """
    try:
        below = [each for each in Path(folder).iterdir() if each.is_dir() and not each.name.startswith(".")]
        runs = [each for each in below if (each / "run.json").is_file() or (each / "checkpoints").is_dir()]
    except (OSError, ValueError):
        return []
    return sorted(runs, key=natural_order)


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file()]
    own = [file for file in files if file.suffix in CHECKPOINT_SUFFIXES]
    return sorted(own or _foreign(folder, files), key=natural_order)


def _foreign(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Return the checkpoints of other libraries, which must be of one kind."""
    kinds: dict[str, list[Path]] = {}
    for file in files:
        if file.suffix in FOREIGN_SUFFIXES and (file.suffix != ".zip" or _is_agent(file)):
            kinds.setdefault(file.suffix, []).append(file)
    if len(kinds) > 1:
        found, first = ", ".join(f"*{suffix}" for suffix in sorted(kinds)), min(kinds)
        raise FileError(
            f"{printable(folder)}: holds checkpoints of several kinds ({found}); name one kind, such as "
            f"'{printable(folder)}/*{first}'"
        )
    return next(iter(kinds.values()), [])


def _is_agent(file: Path) -> bool:
    """Whether a zip has the members of an agent of Stable-Baselines3; archives of other things are left out."""
    try:
        with open_regular_file(file) as stream:
            return {"data", "policy.pth"} <= set(list_members(stream, file))
    except FileError:
        return False


def natural_order(file: Path) -> list[tuple[int, int, str]]:
    """Return a sort key under which numbers in names count as numbers.

    >>> sorted([Path("step_10.pt"), Path("step_9.pt")], key=natural_order)[0].name
    'step_9.pt'
    """
    pieces = re.split(r"([0-9]+)", file.name)
    return [(0, int(piece), piece) if piece.isascii() and piece.isdigit() else (1, 0, piece) for piece in pieces]


def find_sample(checkpoint: str | os.PathLike[str]) -> Path | None:
    """Return the sample that belongs to a checkpoint, or None.

    Looked for in this order: ``../samples/<stem>.h5`` when the checkpoint lies in a ``checkpoints`` folder,
    ``<stem>.h5`` beside it, ``samples/<stem>.h5`` beside it.
    """
    file = Path(checkpoint)
    name = f"{file.stem}.h5"
    places = [file.parent / name, file.parent / "samples" / name]
    # ../samples by name, not by "..": through a symbolic link that would be another folder. Named as the checkpoint is
    # named where that can be done, so that a report does not tell where on a disk it was made.
    folder = file.parent if file.parent.name == "checkpoints" else file.parent.absolute()
    if folder.name == "checkpoints":
        places.insert(0, folder.parent / "samples" / name)
    return next((place for place in places if place.is_file()), None)
