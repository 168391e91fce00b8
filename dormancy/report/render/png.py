"""A raster as a palette PNG in a data URI: 672 neurons x 40 checkpoints take a few kilobytes.

One byte a cell, half a byte in tiles, the colour of each level in PLTE and its transparency in tRNS, so the paper of
the light and of the dark theme shines through. The page's script reads the levels of rasters back out of the same
bytes: rows use filter 0 only.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from dormancy.report.model import Levels, RasterPanel, Tile
from dormancy.report.palette import rgba_table, tone_table

__all__ = ["data_uri", "encode_png", "tile_uri"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE_COLOUR = 3


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _scanlines(levels: Levels, depth: int) -> Levels:
    """Return the bytes of every row behind its filter byte: two levels a byte where 4 bits are enough for one."""
    rows, columns = levels.shape
    if depth == 4:
        even = np.zeros((rows, columns + columns % 2), dtype=np.uint8)
        even[:, :columns] = levels
        levels = (even[:, ::2] << 4 | even[:, 1::2]).astype(np.uint8)
    scanlines = np.zeros((rows, levels.shape[1] + 1), dtype=np.uint8)
    scanlines[:, 1:] = levels
    return scanlines


def encode_png(levels: Levels, colours: Levels, depth: int = 8) -> bytes:
    """Encode (rows, columns) indices into `colours`, a (levels, 4) table of RGBA bytes.

    `depth` is 8 bits a cell for at most 256 levels, or 4 for at most 16.
    """
    rows, columns = levels.shape
    scanlines = _scanlines(levels, depth)
    header = struct.pack(">IIBBBBB", columns, rows, depth, PALETTE_COLOUR, 0, 0, 0)
    chunks = (
        _chunk(b"IHDR", header),
        _chunk(b"PLTE", colours[:, :3].tobytes()),
        _chunk(b"tRNS", colours[:, 3].tobytes()),
        _chunk(b"IDAT", zlib.compress(scanlines.tobytes(), 9)),
        _chunk(b"IEND", b""),
    )
    return SIGNATURE + b"".join(chunks)


def data_uri(panel: RasterPanel) -> str:
    """Return the picture of a raster as a ``data:`` URI."""
    return _uri(encode_png(panel.levels, rgba_table(panel.scale, panel.slot).astype(np.uint8)))


def tile_uri(tile: Tile, slot: int) -> str:
    """Return a tile as a ``data:`` URI."""
    return _uri(encode_png(tile.levels, tone_table(tile.tone, slot).astype(np.uint8), depth=4))


def _uri(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
