"""Limits on what is read from a file."""

from __future__ import annotations

import numpy as np

__all__ = ["SAMPLE_DTYPES"]

SAMPLE_DTYPES = frozenset(
    np.dtype(kind) for kind in ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
)


MAX_ROW = 1 << 26


MAX_IN_MEMORY = 1 << 29
"""Bytes: an attribute, one row, one chunk (inflated as a whole), and an array that is read at once."""


MAX_RATIO = 1100
"""Deflate reaches 1032 to 1 at most: data that claims more has chunks missing, or is stored twice."""
