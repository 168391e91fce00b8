"""What a command line names: files, folders, patterns, lists of files and standard input become checkpoint paths."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from dormancy.errors import FileError, InputError

__all__ = ["Failure", "expand", "series_name"]


@final
@dataclass(frozen=True)
class Failure:
    """One input that could not be used, and why."""

    path: str
    error: InputError

    def __str__(self) -> str:
        message = str(self.error)
        return message if self.path in message else f"{self.path}: {message}"


def expand(arguments: Sequence[str]) -> list[Path | Failure]:
    """Turn arguments into checkpoint paths in the order given, each once; what names nothing becomes a `Failure`.

    A folder stands for its checkpoints, or for those of the run folders in it, ``@list.txt`` for the lines of that
    file, ``-`` for those of standard input, and a pattern such as ``runs/*/checkpoints/*.pt`` for what it matches, also
    where the shell left it as it is. ``runs/**`` is every folder below with checkpoints; where a shell made all files
    of it, those that belong to a run folder which is named, too, and are no checkpoints, are left out.
    """
    found: dict[str, Path | Failure] = {}
    for argument in _without_what_runs_hold(arguments):
        for item in _expand_one(argument):
            found.setdefault(item.path if isinstance(item, Failure) else str(item), item)
    return list(found.values())


def _expand_one(argument: str) -> Iterator[Path | Failure]:
    try:
        for name in _names(argument):
            yield from _files(Path(name))
    except InputError as error:
        yield Failure(argument, error)


def _without_what_runs_hold(names: Sequence[str]) -> list[str]:
    """Leave out samples, logs and folders of the run folders that are among the names."""
    folders = {Path(name) for name in names if len(names) > 1 and (Path(name) / "checkpoints").is_dir()}
    return [name for name in names if not _is_held(Path(name), folders)]


def _is_held(path: Path, folders: set[Path]) -> bool:
    run = next((each for each in path.parents if each in folders), None)
    return run is not None and path.relative_to(run).parts[0] != "checkpoints"


def _names(argument: str) -> list[str]:
    if argument == "-":
        return _listed(sys.stdin.read())
    if argument.startswith("@"):
        return _listed(_read_list(Path(argument[1:])))
    if glob.has_magic(argument) and not Path(argument).exists():
        return _matches(argument)
    return [argument]


def _listed(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _read_list(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot read this list of inputs: {error}") from error


def _matches(pattern: str) -> list[str]:
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if Path(pattern).name == "**":
        names = [name for name in _without_what_runs_hold(names) if _has_checkpoints(Path(name))]
    if not names:
        raise FileError(f"{pattern}: no file matches this pattern")
    return names


def _has_checkpoints(folder: Path) -> bool:
    from dormancy.io import list_checkpoints

    try:
        return bool(list_checkpoints(folder))
    except InputError:
        return False


def _files(path: Path) -> Iterator[Path | Failure]:
    """A folder fails alone: the other matches of its pattern are still used."""
    if not path.is_dir():
        yield path
        return
    from dormancy.io import list_checkpoints, list_runs

    try:
        yield from list_checkpoints(path)
    except InputError as error:
        runs = list_runs(path)
        for run in runs:
            yield from _of_run(run)
        if not runs:
            yield Failure(str(path), error)


def _of_run(run: Path) -> Iterator[Path | Failure]:
    from dormancy.io import list_checkpoints

    try:
        yield from list_checkpoints(run)
    except InputError as error:
        yield Failure(str(run), error)


def series_name(checkpoint: Path) -> str:
    """Name the training run that a checkpoint belongs to: its folder, or the run folder above ``checkpoints``.

    >>> series_name(Path("runs/pong/checkpoints/step_1.pt")), series_name(Path("saved/a.pt"))
    ('pong', 'saved')
    """
    folder = checkpoint.absolute().parent
    return (folder.parent if folder.name == "checkpoints" else folder).name or str(folder)
