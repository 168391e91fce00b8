"""Pictures of neurons on one pair of matplotlib axes, in units of tiles."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dormancy.report.model import GalleryItem, GalleryPanel, Tile
from dormancy.report.palette import tone_table
from dormancy.report.render.matplotlib_lines import SOFT

__all__ = ["draw_gallery", "gallery_rows"]

FILTER_COLUMNS = 6
LABEL = 2.6
"""The width of the names of neurons beside their maps, in tiles."""

GAP, HEAD = 0.1, 0.45


def gallery_rows(panel: GalleryPanel) -> int:
    """Return how many rows of tiles a panel has, with that of its heads."""
    if panel.kind == "filters":
        return math.ceil(len(panel.items) / FILTER_COLUMNS)
    return len(panel.items) + 1


def _put(axes: Axes, tile: Tile, slot: int, left: float, top: float, width: float, height: float) -> None:
    table = tone_table(tile.tone, slot) / 255
    colours = table[:, :3] * table[:, 3:] + (1 - table[:, 3:])
    extent = (left, left + width, top + height, top)
    axes.imshow(colours[tile.levels], extent=extent, interpolation="nearest", aspect="equal")
    if tile.tone == "ink":
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor="#c3c9cf", linewidth=0.4))


def _filters(axes: Axes, panel: GalleryPanel) -> tuple[float, float]:
    rows, columns = panel.items[0].tiles[0].levels.shape
    width = columns / rows
    for place, item in enumerate(panel.items):
        row, column = divmod(place, FILTER_COLUMNS)
        left, top = column * (width + 0.5), row * (1 + HEAD)
        _put(axes, item.tiles[0], panel.slot, left, top, width, 1.0)
        axes.text(left, top + 1.3, f"{item.neuron}  {item.note}", fontsize=6, color=SOFT)
    return FILTER_COLUMNS * (width + 0.5) - 0.5, gallery_rows(panel) * (1 + HEAD)


def _item(axes: Axes, panel: GalleryPanel, item: GalleryItem, most: int, top: float) -> None:
    axes.text(0, top + 0.3, str(item.neuron), fontsize=7.5, weight="bold", va="center")
    for line, words in enumerate(item.note.split(", ")):
        axes.text(0, top + 0.58 + 0.26 * line, words, fontsize=5.5, color=SOFT, va="center")
    for place, tile in enumerate(reversed(item.tiles)):
        _put(axes, tile, panel.slot, LABEL + most - 1 - place, top, 1 - GAP, 1 - GAP)


def _maps(axes: Axes, panel: GalleryPanel) -> tuple[float, float]:
    most = max(len(item.tiles) for item in panel.items)
    for place, head in enumerate(reversed(panel.heads)):
        left = LABEL + most - 1 - place
        _put(axes, head, panel.slot, left, 0, 1 - GAP, 1 - GAP)
        axes.text(left + 0.45, 1.12, head.head, fontsize=6, color=SOFT, ha="center", va="center")
    if most > len(panel.heads):
        axes.text(LABEL, 1.12, "what drives it most", fontsize=6, color=SOFT, va="center")
    for row, item in enumerate(panel.items):
        _item(axes, panel, item, most, row + 1 + HEAD)
    return LABEL + most, len(panel.items) + 1 + HEAD


def draw_gallery(axes: Axes, panel: GalleryPanel) -> None:
    """Draw filters in rows, or one row of maps a neuron, on white paper."""
    width, height = (_filters if panel.kind == "filters" else _maps)(axes, panel)
    axes.set_xlim(0, max(width, 1.0))
    axes.set_ylim(height, 0)
    axes.set_aspect("equal", anchor="NW")
    axes.axis("off")
