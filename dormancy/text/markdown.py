"""Tables in Markdown, in which no name from a file is markup."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from dormancy.text.escape import printable

__all__ = ["cell", "line", "rule"]

MARKED = re.compile(r"([\\`*_{}\[\]<>|#~])")  # what Markdown would take for its own


def line(cells: Sequence[str]) -> str:
    """Write one row of a table.

    >>> line(["layer", "tau"])
    '| layer | tau |'
    """
    return f"| {' | '.join(cells)} |"


def rule(columns: int) -> str:
    """Write the row between the heading and the others."""
    return line(["---"] * columns)


def cell(value: object) -> str:
    r"""Write a value so that it shows as it is; floats with four significant digits.

    >>> cell("body.0|act")
    'body.0\\|act'
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return MARKED.sub(r"\\\1", printable(value, limit=sys.maxsize))
