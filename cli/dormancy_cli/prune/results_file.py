"""What `dormancy prune` wrote earlier, read back: results for the report, and the record in a pruned checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dormancy.errors import FileError, FormatError
from dormancy_cli.prune.run import SCHEMA

__all__ = ["history", "read_prunings"]


def read_prunings(paths: Sequence[Path]) -> list[Mapping[str, Any]]:
    """Read prune results, in the order given.

    Raises `FileError` when one cannot be read or is no JSON, `FormatError` when it is something else or not whole.
    """
    return [_read(path) for path in paths]


def _read(path: Path) -> Mapping[str, Any]:
    from dormancy.report.content.sections.pruning import pruning_section

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as a prune result: {error}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: not JSON: {error}; write it with dormancy prune --format json") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise FormatError(f"{path}: no prune result; write one with dormancy prune --format json > {path.name}")
    try:
        pruning_section([found])  # whatever the report will ask of it, asked now
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"{path}: not a whole prune result ({type(error).__name__}: {error}); prune again") from error
    return found


def history(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Say in a line each what was pruned from a checkpoint, as its metadata tell; what is not a record is left out.

    >>> record = {"pruned": 3, "neurons": 12, "mode": "mask", "tau": 0.1, "source": {"sha256": "ab"}}
    >>> list(history({"pruning": [record]}))
    ['3 of 12 neurons masked at tau 0.1, from the file of sha256 ab']
    """
    records = metadata.get("pruning")
    for record in records if isinstance(records, list) else ():
        if not isinstance(record, Mapping):
            continue
        source = record.get("source")
        origin = f", from the file of sha256 {source.get('sha256')}" if isinstance(source, Mapping) else ""
        done = "taken out" if record.get("mode") == "remove" else "masked"
        counts = f"{record.get('pruned')} of {record.get('neurons')}"
        yield f"{counts} neurons {done} at tau {record.get('tau')}{origin}"
