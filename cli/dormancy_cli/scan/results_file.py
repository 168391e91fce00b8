"""Results that `dormancy scan` wrote earlier, read back as series: JSON of every schema, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dormancy.errors import DormancyError, FileError, FormatError
from dormancy.registry import nearest

if TYPE_CHECKING:
    from dormancy.scanning.result import DormancyScan
    from dormancy.scanning.series import DormancySeries

__all__ = ["RESULTS_SCHEMA", "SUFFIXES", "read_results", "read_scans"]

Found = TypeVar("Found")
RESULTS_SCHEMA = "dormancy.results/1"

SUFFIXES = (".json", ".jsonl")
SCHEMAS = [RESULTS_SCHEMA, "dormancy.scan/1", "dormancy.series/1", "dormancy.report/1"]


def read_results(path: Path) -> list[DormancySeries]:
    """Read the series of one result file.

    Raises `FileError` when it cannot be read or is no JSON, `FormatError` when it is JSON of another kind.
    """
    return _whole(path, lambda documents: _series(path, documents))


def read_scans(path: Path) -> list[tuple[str | None, DormancyScan]]:
    """Read the scans of one result file, each with the name of its run; None where the file does not name runs.

    Scans of one run may be of different networks. Raises what `read_results` raises.
    """
    return _whole(path, lambda documents: list(_named(documents)))


def _whole(path: Path, read: Callable[[list[Mapping[str, Any]]], Found]) -> Found:
    documents = [_parse(path, text) for text in _texts(path)]
    try:
        return read(documents)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DormancyError):
            raise
        raise FormatError(f"{path}: not a whole scan result ({type(error).__name__}: {error}); scan again") from error


def _named(documents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str | None, DormancyScan]]:
    for document in documents:
        match document["schema"]:
            case "dormancy.scan/1":
                yield from ((None, scan) for scan in _scans([document]))
            case "dormancy.series/1":
                yield from ((document["name"], scan) for scan in _scans(document["scans"]))
            case "dormancy.report/1":
                yield from _named(document["series"])
            case _:
                yield from ((run["name"], scan) for run in document["runs"] for scan in _scans(run["scans"]))


def _texts(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as a scan result: {error}") from error
    return [line for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else [text]


def _parse(path: Path, text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: not JSON: {error}; was it cut short? Scan again") from error
    if not isinstance(document, dict) or document.get("schema") not in SCHEMAS:
        found = document.get("schema") if isinstance(document, dict) else None
        hint = nearest(str(found), SCHEMAS)
        raise FormatError(
            f"{path}: schema {found!r} is no scan result{hint}; write one with dormancy scan -o scan.json"
        )
    return document


def _series(path: Path, documents: Iterable[Mapping[str, Any]]) -> list[DormancySeries]:
    from dormancy.scanning.series import DormancySeries

    loose: list[Any] = []
    found: list[DormancySeries] = []
    for document in documents:
        match document["schema"]:
            case "dormancy.scan/1":
                loose.append(document)
            case "dormancy.series/1":
                found.append(DormancySeries.from_dict(document))
            case "dormancy.report/1":
                found += [DormancySeries.from_dict(series) for series in document["series"]]
            case _:
                found += [DormancySeries.of(run["name"], _scans(run["scans"])) for run in document["runs"]]
    return [*found, DormancySeries.of(path.stem, _scans(loose))] if loose else found


def _scans(documents: Iterable[Mapping[str, Any]]) -> list[DormancyScan]:
    from dormancy.scanning.result import DormancyScan

    return [DormancyScan.from_dict(document) for document in documents]
