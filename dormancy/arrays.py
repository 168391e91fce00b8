"""Types of the NumPy arrays that functions take and return."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass

__all__ = ["BoolArray", "FloatArray", "IntArray"]

FloatArray: TypeAlias = NDArray[np.float64]


BoolArray: TypeAlias = NDArray[np.bool_]


IntArray: TypeAlias = NDArray[np.int64]
