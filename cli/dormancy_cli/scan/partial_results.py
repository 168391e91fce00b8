"""Where the scans of a command are kept while it runs: in a folder that the user names, or in one beside the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from dormancy_cli.scan import cache
from dormancy_cli.scan.collect import Collection
from dormancy_cli.shared.console import Reporter

__all__ = ["KeptScans", "kept_scans"]

BESIDE = ".partial"


@final
@dataclass
class KeptScans:
    """The folder, None for nowhere. One beside the result is made for several checkpoints and goes when it is done."""

    folder: Path | None
    beside: bool

    def prepare(self, inputs: int) -> None:
        """Make the folder. Raises `OutputError` when it cannot be: the result could not be written there either."""
        if self.beside and inputs < 2:
            self.folder = None
        if self.folder is not None:
            cache.prepare(self.folder)

    def interruptible(self, work: Callable[[], Collection], reporter: Reporter) -> Collection:
        """Do the work; when it is interrupted, say how to go on with it."""
        try:
            return work()
        except KeyboardInterrupt:
            if self.folder is not None:
                reporter.note(f"{self.folder}: what was scanned is kept; the same command goes on from there")
            raise

    def settle(self, collection: Collection, reporter: Reporter) -> None:
        """Say what was found there, and remove what was only needed until the result was written."""
        if self.folder is not None and collection.remembered:
            of = len(collection.scans)
            reporter.note(f"{self.folder}: {collection.remembered} of {of} scans were taken from there")
        if self.folder is not None and self.beside:
            cache.discard(self.folder)


def kept_scans(named: Path | None, output: Path | None) -> KeptScans:
    """Choose the folder: the one that was named, else ``OUTPUT.partial``, else none.

    >>> str(kept_scans(None, Path("audit/last.json")).folder)
    'audit/last.json.partial'
    """
    if named is None and output is not None:
        return KeptScans(output.with_name(output.name + BESIDE), beside=True)
    return KeptScans(named, beside=False)
