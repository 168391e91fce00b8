"""The interface of an array on disk."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "ObservationArray"]

Array: TypeAlias = NDArray[Any]


class ObservationArray(Protocol):
    """What observations must offer: a NumPy array does, and so does an open HDF5 dataset.

    Rows are transitions. Slices of consecutive rows are read; a slice of an HDF5 dataset reads just these rows.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type; pixels are ``uint8``."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Array: ...
