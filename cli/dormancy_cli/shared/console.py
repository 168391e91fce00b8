"""Where things go: results to standard output or a file, everything else to standard error."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, final

from dormancy.errors import OutputError
from dormancy_cli.shared.text import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Reporter", "refuse_overwrite", "render", "result_console", "write_result"]

Item = TypeVar("Item")
WIDE = 4096


@final
class Reporter:
    """Tells a person on stderr how it goes. `quiet` leaves only errors; a progress bar is for terminals only."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self._terminal = sys.stderr.isatty() and not quiet

    def error(self, message: object) -> None:
        """Say in one line what failed."""
        self._say(f"error: {message}")

    def warning(self, message: object) -> None:
        """Say in one line what to be careful about."""
        if not self.quiet:
            self._say(f"warning: {message}")

    def note(self, message: object) -> None:
        """Say where a result went, or what was done."""
        if not self.quiet:
            self._say(str(message))

    def detail(self, message: object) -> None:
        """Say what only `--verbose` asks for."""
        if self.verbose:
            self._say(str(message))

    def _say(self, message: str) -> None:
        print(printable(message), file=sys.stderr, flush=True)  # a live progress bar makes room for it

    @contextmanager
    def progress(self, items: Sequence[Item], what: str) -> Iterator[Iterator[Item]]:
        """Hand out `items` one by one under a progress bar that is gone afterwards."""
        if not self._terminal or len(items) < 2:
            yield iter(items)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
            yield iter(bar.track(items, description=what))


def _console(stream: object) -> Console:
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)  # type: ignore[arg-type]
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def result_console() -> Console:
    """Make a console for results: as wide as the terminal, or as the content wherever there is none."""
    return _console(sys.stdout)


def render(draw: Callable[[Console], None]) -> str:
    """Return as plain text what `draw` prints, in full width and without trailing blanks."""
    page = io.StringIO()
    draw(_console(page))
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


def refuse_overwrite(path: Path | None, *, force: bool) -> None:
    """Raise `OutputError` before any work is done when `path` exists and may not be replaced."""
    if path is not None and path.exists() and not force:
        raise OutputError(f"{path} exists; give --force to replace it, or another --output")


def write_result(text: str, path: Path | None, *, force: bool) -> None:
    """Write text to standard output, or to a file by a temporary name and a rename."""
    if path is None:
        sys.stdout.write(text)
        return
    from dormancy.io import atomic_path

    with atomic_path(path, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
