"""Tables that several commands draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from dormancy_cli.shared.text import printable

if TYPE_CHECKING:
    from rich.console import Console


__all__ = ["literal", "new_table"]


def new_table() -> Table:
    """Make an empty table in the style of all others."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")


def literal(name: str) -> Text:
    """Make a cell of a name from a file: nothing in it is markup, and nothing acts on the terminal."""
    return Text(printable(name))


def _say(console: Console, line: str, style: str = "") -> None:
    """Print one line of text: on a terminal it wraps at words, elsewhere it stays one line."""
    console.print(Text(printable(line), style=style), soft_wrap=not console.is_terminal)
