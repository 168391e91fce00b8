"""Tables as every renderer writes them: cells as text, long ones thinned."""

from __future__ import annotations

import numpy as np

from dormancy.report.model import Cell, Column, Table
from dormancy.text.numbers import MISSING, count, number, percent

__all__ = ["MOST_ROWS", "cell_text", "thinned"]

MOST_ROWS = 240


def cell_text(column: Column, cell: Cell) -> str:
    """Write one cell as text in the way of its column.

    >>> cell_text(Column("share", "share"), 0.43), cell_text(Column("step", "count"), None)
    ('43 %', '–')
    """
    if cell is None:
        return MISSING
    if isinstance(cell, np.ndarray):
        return " ".join(percent(float(value)) for value in cell[[0, -1]])
    if isinstance(cell, str):
        return cell
    if not np.isfinite(cell):
        return MISSING
    return {"percent": percent, "share": percent, "count": count}.get(column.kind, number)(cell)


def thinned(table: Table, most: int = MOST_ROWS) -> Table:
    """Return a table with at most `most` rows, evenly spaced, and a note that says so."""
    rows = len(table.rows)
    if rows <= most:
        return table
    kept = np.unique(np.linspace(0, rows - 1, most).round().astype(int))
    slots = tuple(table.slots[row] for row in kept) + table.slots[rows:] if table.slots else ()
    note = f"{most} of {count(rows)} rows, evenly spaced; all of them are in the data of this page."
    chosen = tuple(table.rows[row] for row in kept)
    return Table(table.caption, table.columns, chosen, f"{table.note} {note}".strip(), slots, table.foot)
