"""Scans kept on disk: a scan that was killed goes on where it was, and an audit scans only what is new.

A folder with one file a scan, named by what the scan depends on: the SHA-256 of checkpoint, sample and references, what
was asked, and the versions of what computes it. Each is written under a temporary name and renamed, and carries
the SHA-256 of its content: what is damaged, cut short or of another kind is scanned anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from dormancy._version import versions
from dormancy.errors import InputError, OutputError

if TYPE_CHECKING:
    from dormancy_cli.scan.tasks import Task

__all__ = ["Key", "discard", "is_of", "key_of", "prepare", "read", "sample_of", "write"]

SCHEMA = "dormancy.cache/1"
MOST_BYTES = 1 << 28


@final
@dataclass(frozen=True)
class Key:
    """What a scan depends on, as one hash; and the hashes of the two files that the scan itself names."""

    name: str
    checkpoint: str
    sample: str


def sample_of(task: Task) -> Path | None:
    """Return the sample that the checkpoint will be looked at with: the one that was named, or the one beside it."""
    from dormancy.io import find_sample

    return task.options.sample or find_sample(task.path)


def key_of(task: Task) -> Key | None:
    """Return what names the scan of this task, None where a file cannot be read: the scan will say so better."""
    from dormancy.io import sha256_file

    sample = sample_of(task)
    try:
        hashes = [
            None if path is None else sha256_file(path) for path in (task.path, sample, task.first, task.previous)
        ]
    except InputError:
        return None
    if sample is None:
        return None
    document = json.dumps([SCHEMA, hashes, task.in_run, _asked(task), versions()], sort_keys=True)
    return Key(_sha256(document), str(hashes[0]), str(hashes[1]))


def _asked(task: Task) -> dict[str, Any]:
    """Return the options, less those that name files: these count by their content."""
    from dormancy.metrics import METRICS

    options = {
        name: value for name, value in vars(task.options).items() if name not in ("sample", "reference", "hints")
    }
    hints = None if task.options.hints is None else asdict(task.options.hints)
    formulas = {name: (METRICS[name].formula, METRICS[name].default) for name in METRICS}
    return options | {"hints": hints, "formulas": formulas}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(folder: Path) -> None:
    """Make the folder where there is none. Raises `OutputError` when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"{folder}: cannot keep scans there: {reason}; give another --cache") from error


def read(folder: Path, key: Key) -> str | None:
    """Return the scan that is kept under this key; None where there is none, or none that is whole."""
    path = _file(folder, key)
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        entry = json.loads(path.read_text(encoding="utf-8"))
        text = entry["scan"]
        whole = entry["schema"] == SCHEMA and entry["key"] == key.name and entry["sha256"] == _sha256(text)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return text if whole and is_of(text, key) else None


def is_of(text: str, key: Key) -> bool:
    """Whether a scan is of the files that the key was made from: a file may be exchanged between two looks at it."""
    scan = json.loads(text)
    return bool(scan["checkpoint"]["sha256"] == key.checkpoint and scan["sample"]["sha256"] == key.sample)


def write(folder: Path, key: Key, text: str) -> None:
    """Keep a scan. Raises `OutputError` when it cannot be written."""
    from dormancy.io import atomic_path

    entry = {"schema": SCHEMA, "key": key.name, "sha256": _sha256(text), "scan": text}
    with atomic_path(_file(folder, key), force=True) as temporary:
        temporary.write_text(json.dumps(entry), encoding="utf-8")


def discard(folder: Path) -> None:
    """Remove what was kept, and the folder unless something else lies in it."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*.scan.json"):
            path.unlink()
        folder.rmdir()


def _file(folder: Path, key: Key) -> Path:
    return folder / f"{key.name}.scan.json"
