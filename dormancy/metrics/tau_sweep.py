"""How scores are spread, and how much the dormant share depends on tau: read off the scores, without another pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dormancy.arrays import FloatArray
from dormancy.errors import UsageError

__all__ = ["SWEEP", "Histogram", "score_histogram", "tau_sweep"]

SWEEP = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""The thresholds of the paper's appendix and those between them."""


def tau_sweep(scores: FloatArray, taus: Sequence[float] | FloatArray = SWEEP) -> FloatArray:
    """Return the share of neurons with a score of at most tau, for each tau: the dormant share as a curve.

    `scores` has shape (neurons,); a score that is not finite is never dormant and counts among all neurons.

    >>> tau_sweep(np.array([0.0, 0.1, 0.9, 3.0]), [0, 0.1, 1])
    array([0.25, 0.5 , 0.75])
    """
    ordered = np.sort(scores[np.isfinite(scores)])
    return np.searchsorted(ordered, np.asarray(taus, dtype=np.float64), side="right") / max(scores.size, 1)


@final
@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of scores: exactly 0, in (edges[i], edges[i + 1]] from an open first edge of 0, above, not finite."""

    edges: FloatArray
    counts: NDArray[np.int64]
    zero: int
    above: int
    nonfinite: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return {
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "zero": self.zero,
            "above": self.above,
            "nonfinite": self.nonfinite,
        }


def score_histogram(scores: FloatArray, edges: Sequence[float] | FloatArray = SWEEP) -> Histogram:
    """Count scores between `edges`, which must ascend from 0; intervals include their upper edge, as tau does.

    So the first i counts and the zeros together are the neurons that are dormant at ``edges[i]``. Raises `UsageError`
    for other edges.

    >>> score_histogram(np.array([0.0, 0.1, 0.9, 3.0, np.nan]), [0, 0.1, 1]).to_dict()
    {'edges': [0.0, 0.1, 1.0], 'counts': [1, 1], 'zero': 1, 'above': 1, 'nonfinite': 1}
    """
    limits = np.asarray(edges, dtype=np.float64)
    if limits.size < 2 or limits[0] != 0 or not (np.diff(limits) > 0).all():
        raise UsageError("the edges of a score histogram must ascend from 0")
    finite = scores[np.isfinite(scores)]
    at_most = np.searchsorted(np.sort(finite), limits, side="right").astype(np.int64)
    return Histogram(
        limits, np.diff(at_most), int(at_most[0]), int(finite.size - at_most[-1]), int(scores.size - finite.size)
    )
