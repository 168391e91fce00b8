"""The colours, once for every renderer.

A hue says which run; how much ink says how dormant. The hues follow Okabe and Ito's colour-blind safe set, darkened
until text in them has a contrast of 4.5 on white, lightened likewise for dark paper. `PICTURE` hues are in between:
with the transparency of a raster they read on both papers, so one picture serves both themes.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.model import LevelScale, Tone

__all__ = [
    "DARK",
    "ERROR",
    "LIGHT",
    "PICTURE",
    "RGB",
    "SLOTS",
    "TILE_LEVELS",
    "blend",
    "rgb",
    "rgba_table",
    "slot_of",
    "tone_table",
]

RGB: TypeAlias = tuple[int, int, int]

LIGHT = ("#0b5fa5", "#b3490f", "#00735c", "#8a3d86", "#6b5d00", "#4d5763")
DARK = ("#6cb4f5", "#f49a5b", "#4cc7a5", "#d99bd4", "#cdbb4a", "#aab4c0")
PICTURE = ("#2b7fc9", "#d06a2a", "#1c977a", "#b05fab", "#96850f", "#74808d")
ERROR = "#d3254c"
SLOTS = len(LIGHT)
TILE_LEVELS = 16


def slot_of(index: int) -> int:
    """Return the colour slot of the n-th run; after six runs the colours start again."""
    return index % SLOTS


def rgb(colour: str) -> RGB:
    """Read a colour.

    >>> rgb("#0b5fa5")
    (11, 95, 165)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def blend(colour: str, ink: float, paper: str = "#ffffff") -> str:
    """Return what `ink` parts of a colour look like on paper.

    >>> blend("#000000", 0.5)
    '#808080'
    """
    mixed = (round(ink * over + (1 - ink) * under) for over, under in zip(rgb(colour), rgb(paper), strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def rgba_table(scale: LevelScale, slot: int) -> FloatArray:
    """Return the colour of every level, shape (levels, 4) in 0..255: the run's hue, the ink as alpha."""
    table = np.empty((scale.ink.size, 4))
    table[:, :3] = rgb(PICTURE[slot])
    table[:, 3] = np.round(255 * scale.ink)
    if scale.error_level is not None:
        table[scale.error_level] = (*rgb(ERROR), 255)
    return table


def tone_table(tone: Tone, slot: int) -> FloatArray:
    """Return the colours of a tile's 16 levels, shape (16, 4) in 0..255: see `Tone`."""
    table = np.full((TILE_LEVELS, 4), 255.0)
    if tone == "ink":
        table[:, :3] = rgb(PICTURE[slot])
        table[:, 3] = np.linspace(0, 255, TILE_LEVELS).round()
    elif tone == "grey":
        table[:, :3] = np.linspace(0, 255, TILE_LEVELS).round()[:, None]
    else:
        table[0] = 0
        table[1:, :3] = np.linspace(0, 255, TILE_LEVELS - 1).round()[:, None]
    return table
