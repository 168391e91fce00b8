"""Random numbers computed from a counter: the same for any batch split and any order."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dormancy.arrays import FloatArray

__all__ = ["poisson_weights", "uniforms"]


Identifiers: TypeAlias = NDArray[np.int64] | NDArray[np.uint64]
_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_POISSON_1 = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(19)])


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits (the finaliser of SplitMix64: Steele, Lea & Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def uniforms(identifiers: Identifiers, streams: int, seed: int = 0) -> FloatArray:
    """Return uniform numbers in [0, 1) of shape (identifiers, streams) that depend on nothing but their place.

    A hash, not a generator with a state: whoever asks for row 7 of a sample gets the same numbers, in whatever order
    and portions the rows come, and nothing is kept for each row.
    """
    offset = _mixed(np.arange(1, streams + 1, dtype=np.uint64) * _GOLDEN + np.uint64(seed))
    rows = _mixed((identifiers.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return np.asarray((_mixed(rows[:, None] + offset[None, :]) >> np.uint64(11)) * 2.0**-53)


def poisson_weights(identifiers: Identifiers, replicates: int, seed: int = 0) -> NDArray[np.float64]:
    """Return how often each item is in each bootstrap replicate: independent Poisson(1), shape (items, replicates).

    Equal identifiers get equal weights, which makes a cluster bootstrap when they are episode numbers. Poisson weights
    stand in for multinomial ones so that the number of rows need not be known (Chamandy et al. 2012).
    """
    draws = uniforms(identifiers, replicates, seed)
    return np.searchsorted(_POISSON_1, draws, side="right").astype(np.float64)
