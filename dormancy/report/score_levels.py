"""Which level of a raster a score or an overlap becomes, and how much ink each level gets.

Scores: the lower, the more ink, with a step at every tau, so that a dormant neuron stands out and one that is merely
quiet does not. Every tau is the edge of a level, so a level tells exactly whether its scores are tau-dormant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.model import Levels, LevelScale, Swatch

__all__ = ["overlap_levels", "overlap_scale", "score_levels", "score_scale"]

LOWEST, HIGHEST = 1e-4, 10.0
BINS_PER_DECADE = 8
ZERO_LEVEL = 1
DORMANT_INK = (0.84, 0.58)
ALIVE_INK = (0.30, 0.03)
OVERLAP_INK = (0.14, 1.0)


def _edges(taus: Sequence[float]) -> FloatArray:
    steps = round(math.log10(HIGHEST / LOWEST) * BINS_PER_DECADE)
    grid = np.geomspace(LOWEST, HIGHEST, steps + 1)
    exact = np.array(sorted({tau for tau in taus if tau > 0}))
    apart = [edge for edge in grid if not np.isclose(edge, exact, rtol=1e-6).any()]
    return np.sort(np.concatenate((exact, apart, [np.inf])))


def _dormant_inks(taus: Sequence[float]) -> dict[float, float]:
    positive = sorted({tau for tau in taus if tau > 0})
    return dict(zip(positive, np.linspace(*DORMANT_INK, num=len(positive)), strict=True))


def _inks(edges: FloatArray, taus: Sequence[float]) -> FloatArray:
    dormant = _dormant_inks(taus)
    start = min(max(dormant, default=1e-3), 0.9)
    quiet = np.clip(np.log(np.minimum(edges, 1.0) / start) / math.log(1.0 / start), 0, 1)
    inks = ALIVE_INK[0] + quiet * (ALIVE_INK[1] - ALIVE_INK[0])
    for tau in sorted(dormant, reverse=True):
        inks[edges <= tau] = dormant[tau]
    return np.asarray(inks)


def score_scale(taus: Sequence[float]) -> LevelScale:
    """Return the levels of scores: 0 is "not finite", 1 is exactly 0, then intervals up to every edge."""
    edges = _edges(taus)
    inks = np.concatenate(([1.0, 1.0], _inks(edges, taus)))
    swatches = [Swatch("score 0, silent", 1.0)]
    swatches += [Swatch(f"≤ {tau:g}", ink) for tau, ink in _dormant_inks(taus).items()]
    swatches += [Swatch("above", ALIVE_INK[0]), Swatch("≥ 1, the layer's average", ALIVE_INK[1])]
    swatches.append(Swatch("not finite", 1.0, error=True))
    return LevelScale(inks, edges, 2, ("not finite", "0"), tuple(swatches), error_level=0)


def score_levels(scale: LevelScale, scores: FloatArray) -> Levels:
    """Return the level of every score, same shape."""
    levels = np.searchsorted(scale.edges, scores, side="left") + scale.first
    levels = np.where(scores <= 0, ZERO_LEVEL, levels)
    return np.where(np.isfinite(scores), levels, 0).astype(np.uint8)


def overlap_scale() -> LevelScale:
    """Return the levels of overlaps: 0 is "undefined" and has no ink, then 0 %, 1 %, ... 100 %."""
    edges = np.linspace(0, 1, 101)
    inks = np.concatenate(([0.0], OVERLAP_INK[0] + edges * (OVERLAP_INK[1] - OVERLAP_INK[0])))
    swatches = tuple(
        Swatch(f"{share:.0%}".replace("%", " %"), float(inks[1 + round(100 * share)]))
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    return LevelScale(inks, edges, 1, ("undefined",), (*swatches, Swatch("blank: a set is empty", 0.0)))


def overlap_levels(scale: LevelScale, overlaps: FloatArray) -> Levels:
    """Return the level of every overlap, same shape; NaN is blank."""
    whole = np.round(100 * np.nan_to_num(overlaps)) + scale.first
    return np.where(np.isnan(overlaps), 0, whole).astype(np.uint8)
