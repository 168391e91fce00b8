"""A raster as a palette PNG in a data URI: 672 neurons x 40 checkpoints take a few kilobytes.

One byte a cell, the colour of each level in PLTE and its transparency in tRNS, so the paper of the light and of the
dark theme shines through. The page's script reads the levels back out of the same bytes: rows use filter 0 only.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from dormancy.report.charts import Levels, RasterPanel
from dormancy.report.palette import rgba_table

__all__ = ["data_uri", "encode_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE_COLOUR = 3


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_png(levels: Levels, colours: Levels) -> bytes:
    """Encode (rows, columns) indices into `colours`, a (levels, 4) table of RGBA bytes with at most 256 levels."""
    rows, columns = levels.shape
    scanlines = np.zeros((rows, columns + 1), dtype=np.uint8)
    scanlines[:, 1:] = levels
    header = struct.pack(">IIBBBBB", columns, rows, 8, PALETTE_COLOUR, 0, 0, 0)
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
    colours = rgba_table(panel.scale, panel.slot).astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(encode_png(panel.levels, colours)).decode("ascii")
