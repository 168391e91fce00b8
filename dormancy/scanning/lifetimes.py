"""How long neurons stay dormant: streaks, spells, onsets, recoveries and survival.

Time is counted in checkpoints, because between two checkpoints nobody looked. Every function takes booleans of shape
(K, neurons): who was dormant at which checkpoint.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dormancy.arrays import BoolArray, IntArray
from dormancy.metrics import FloatArray

__all__ = ["Spells", "by_time_dormant", "current_streaks", "fell_dormant", "spells", "survival", "woke"]


class Spells(NamedTuple):
    """Uninterrupted stretches of dormancy: how many checkpoints each took, and whether its end was seen."""

    lengths: IntArray
    ended: BoolArray


def current_streaks(dormant: BoolArray) -> IntArray:
    """Return for how many checkpoints, up to the last, each neuron has been dormant without a break.

    >>> current_streaks(np.array([[True, True], [False, True], [True, True], [True, False]]))
    array([2, 0])
    """
    awake = ~dormant[::-1]
    return np.asarray(np.where(awake.any(axis=0), awake.argmax(axis=0), dormant.shape[0]), dtype=np.int64)


def spells(dormant: BoolArray) -> Spells:
    """Find every spell; one that reaches the last checkpoint has no seen end.

    >>> spells(np.array([[True], [True], [False], [True]]))
    Spells(lengths=array([2, 1]), ended=array([ True, False]))
    """
    framed = np.pad(dormant.astype(np.int8), ((1, 1), (0, 0)))
    change = np.diff(framed, axis=0).T
    starts, ends = np.nonzero(change == 1)[1], np.nonzero(change == -1)[1]
    return Spells((ends - starts).astype(np.int64), ends < dormant.shape[0])


def survival(found: Spells, horizon: int) -> FloatArray:
    """Return the Kaplan-Meier share of spells that last longer than k checkpoints, k = 0..horizon.

    A spell whose end was not seen counts as long as it was seen. NaN once no spell is left to learn from.

    >>> survival(Spells(np.array([1, 2, 2]), np.array([True, True, False])), 2).round(3)
    array([1.   , 0.667, 0.333])
    """
    after = np.arange(1, horizon + 1)
    at_risk = (found.lengths[:, None] >= after).sum(axis=0).astype(np.float64)
    ended = ((found.lengths[:, None] == after) & found.ended[:, None]).sum(axis=0)
    kept = np.divide(at_risk - ended, at_risk, out=np.full(horizon, np.nan), where=at_risk > 0)
    return np.concatenate(([1.0 if found.lengths.size else np.nan], np.cumprod(kept)))


def fell_dormant(dormant: BoolArray) -> FloatArray:
    """Count the neurons that became dormant since the checkpoint before, shape (K,); NaN at the first."""
    return _changes(dormant[1:] & ~dormant[:-1])


def woke(dormant: BoolArray) -> FloatArray:
    """Count the neurons that stopped being dormant since the checkpoint before, shape (K,); NaN at the first."""
    return _changes(~dormant[1:] & dormant[:-1])


def _changes(changed: BoolArray) -> FloatArray:
    return np.concatenate(([np.nan], changed.sum(axis=1, dtype=np.float64)))


def by_time_dormant(dormant: BoolArray, scores: FloatArray) -> IntArray:
    """Order neurons by time dormant, longest first; then by how early it began, the mean score and the index."""
    onset = np.where(dormant.any(axis=0), dormant.argmax(axis=0), dormant.shape[0])
    mean = np.nan_to_num(scores, nan=-1.0).mean(axis=0)
    return np.lexsort((mean, onset, -dormant.sum(axis=0)))
