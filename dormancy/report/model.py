"""What a report shows, as plain data: no HTML, no SVG, no pixels that are already drawn.

Every renderer (page, PNG, Markdown, JSON) reads the same figures, so a number cannot differ between them. A `Figure`
is one or more panels that share a legend and a table; a panel is a `LinePanel` or a `RasterPanel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dormancy.metrics import FloatArray

__all__ = [
    "Axis",
    "Cell",
    "Column",
    "Figure",
    "GalleryItem",
    "GalleryPanel",
    "LevelScale",
    "Levels",
    "Line",
    "LinePanel",
    "Panel",
    "RasterPanel",
    "Rule",
    "Section",
    "Swatch",
    "Table",
    "Tile",
    "Tone",
]

Cell: TypeAlias = str | float | FloatArray | None
Levels: TypeAlias = NDArray[np.uint8]
Unit: TypeAlias = Literal["percent", "number", "step"]


@final
@dataclass(frozen=True)
class Axis:
    """One axis: what it counts, in which unit, from where to where.

    `kind` "zerolog" is logarithmic above `low` and has room for the value 0 before it. `unit` "percent" means that the
    values are shares in 0..1.
    """

    label: str
    low: float
    high: float
    unit: Unit = "number"
    kind: Literal["linear", "log", "zerolog"] = "linear"


@final
@dataclass(frozen=True, eq=False)
class Line:
    """A curve of shape (K,): NaN in `y` is a gap. `slot` is its run's colour, `low` to `high` an interval around it."""

    label: str
    x: FloatArray
    y: FloatArray
    slot: int
    style: Literal["solid", "dashed", "faint"] = "solid"
    low: FloatArray | None = None
    high: FloatArray | None = None


@final
@dataclass(frozen=True)
class Rule:
    """A reference line at one value of the x or y axis, in the colour of a run where it belongs to one."""

    axis: Literal["x", "y"]
    value: float
    label: str
    slot: int | None = None


@final
@dataclass(frozen=True, eq=False)
class LinePanel:
    """Curves over one pair of axes. `alt` is a sentence that contains the numbers a glance would take away."""

    title: str
    alt: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    rules: tuple[Rule, ...] = ()


@final
@dataclass(frozen=True)
class Swatch:
    """One entry of a legend: a run's colour with this much ink (0..1), or the colour of an error."""

    label: str
    ink: float
    error: bool = False


@final
@dataclass(frozen=True, eq=False)
class LevelScale:
    """What the levels 0..L-1 of a raster mean.

    `ink` says how much of the run's colour each level gets, shape (L,). `edges` are upper bounds: level i + `first`
    holds values in (edges[i - 1], edges[i]]. Levels below `first` stand for `specials`, in order.
    """

    ink: FloatArray
    edges: FloatArray
    first: int
    specials: tuple[str, ...]
    legend: tuple[Swatch, ...]
    error_level: int | None = None


@final
@dataclass(frozen=True, eq=False)
class RasterPanel:
    """A picture of (rows, columns) levels: neurons by checkpoints, or checkpoints by checkpoints.

    `rows` names each row by the number of its neuron (or its checkpoint); `columns` holds the step of each column.
    Panels of one `group` (a layer, say) stand together; `note` holds its numbers in a few words.
    """

    title: str
    alt: str
    slot: int
    levels: Levels
    scale: LevelScale
    kind: Literal["neurons", "pairs"]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    x_label: str
    group: str = ""
    note: str = ""

    @property
    def broken(self) -> bool:
        """Whether any cell shows an error."""
        return self.scale.error_level is not None and bool((self.levels == self.scale.error_level).any())


Tone: TypeAlias = Literal["grey", "signed", "ink"]
"""What levels 0..15 look like: black to white; nothing, then black to white with 8 for zero; no ink to all ink."""


@final
@dataclass(frozen=True, eq=False)
class Tile:
    """A small picture of (height, width) levels 0..15, with its number in words; `head` is what stands below it."""

    levels: Levels
    tone: Tone
    alt: str
    head: str = ""


@final
@dataclass(frozen=True, eq=False)
class GalleryItem:
    """The pictures of one neuron: its number, what to know of it in a few words, and its tiles."""

    neuron: int
    note: str
    tiles: tuple[Tile, ...]


@final
@dataclass(frozen=True, eq=False)
class GalleryPanel:
    """Pictures of neurons: of their filters, or of their activation maps, whose tiles stand in columns.

    `heads` are tiles above the last columns; an item with fewer tiles than others has none in its first columns. `of`
    is the figure, and the place of the panel in it, where neurons of this layer are picked.
    """

    title: str
    alt: str
    slot: int
    kind: Literal["filters", "maps"]
    items: tuple[GalleryItem, ...]
    heads: tuple[Tile, ...] = ()
    of: tuple[str, int] = ("", 0)


Panel: TypeAlias = LinePanel | RasterPanel | GalleryPanel


@final
@dataclass(frozen=True)
class Column:
    """A column of a table: `kind` says how its cells are written, and that numbers sort as numbers."""

    label: str
    kind: Literal["text", "prose", "number", "count", "percent", "share", "trend", "mono"] = "number"
    hint: str = ""


@final
@dataclass(frozen=True, eq=False)
class Table:
    """Rows of raw values under typed columns; None and NaN are cells without a value.

    `foot` rows stay below, however the others are sorted. `slots` holds the colour slot of each row's run, foot rows
    last.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    slots: tuple[int | None, ...] = ()
    foot: tuple[tuple[Cell, ...], ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Figure:
    """Panels under one title, with their numbers as a table.

    `tau` is set where the figure holds for one tau only. `wide` gives a single panel the whole width. Where `of_runs`
    is false, colours do not stand for the report's runs, and the runs are not named above the figure.
    """

    key: str
    title: str
    panels: tuple[Panel, ...]
    table: Table | None
    caption: str = ""
    tau: float | None = None
    wide: bool = False
    legend: tuple[tuple[str, str], ...] = ()
    of_runs: bool = True


@final
@dataclass(frozen=True, eq=False)
class Section:
    """A chapter of the report: one question, its figures, and in `empty` why there are none.

    `short` is its title in one word.
    """

    key: str
    short: str
    title: str
    question: str
    figures: Sequence[Figure] = ()
    empty: str = ""
