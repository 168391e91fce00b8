"""Giving the result of a scan: in which form, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from dormancy_cli.scan.collect import Collection
from dormancy_cli.scan.gates.verdict import Verdict
from dormancy_cli.shared.console import render, result_console, write_result

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["FORMATS", "Target", "format_of", "give"]

FORMATS = ("table", "json", "jsonl", "csv", "md", "junit")
SUFFIXES = {".xml": "junit"}


@final
@dataclass(frozen=True)
class Target:
    """In what form the result is given, and where."""

    format: str
    path: Path | None
    force: bool


def format_of(output: Path | None) -> str:
    """Tell the form from the suffix of the file: a table where it says nothing.

    >>> format_of(Path("last.json")), format_of(Path("audit.xml")), format_of(None)
    ('json', 'junit', 'table')
    """
    suffix = output.suffix if output else ""
    found = SUFFIXES.get(suffix, suffix.removeprefix("."))
    return found if found in FORMATS else "table"


def give(collection: Collection, verdicts: Sequence[Verdict], target: Target, *, verbose: bool) -> None:
    """Write the result to its file, or to standard output; a table on a terminal is as wide as that."""
    if target.format != "table":
        write_result(_as_data(collection, verdicts, target.format), target.path, force=target.force)
    elif target.path is None and result_console().is_terminal:
        _draw(result_console(), collection, verdicts, verbose=verbose)
    else:
        text = render(lambda console: _draw(console, collection, verdicts, verbose=verbose))
        write_result(text, target.path, force=target.force)


def _as_data(collection: Collection, verdicts: Sequence[Verdict], format: str) -> str:
    from dormancy_cli.scan import junit
    from dormancy_cli.scan import serialize as formats

    write = {
        "json": formats.to_json,
        "jsonl": formats.to_jsonl,
        "csv": formats.to_csv,
        "md": formats.to_markdown,
        "junit": junit.to_junit,
    }[format]
    return write(collection, verdicts)


def _draw(console: Console, collection: Collection, verdicts: Sequence[Verdict], *, verbose: bool) -> None:
    from dormancy_cli.scan import tables

    for index, group in enumerate(collection.groups):
        if index:
            console.print()
        if len(group.scans) == 1:
            tables.draw_scan(console, group.scans[0], verbose=verbose)
        else:
            tables.draw_group(console, group, verbose=verbose)
    if verdicts:
        console.print()
        tables.draw_gates(console, verdicts)
