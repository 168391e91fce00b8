"""How much two sets of dormant neurons have in common (Sokar et al. 2023, footnote 1, Fig. 5).

A set is a boolean vector over the neurons of one layer, or of a whole network. Every coefficient is NaN where it is
undefined, that is where a set it divides by is empty: "no neuron was dormant" is not "no neuron stayed dormant".
"""

from __future__ import annotations

import numpy as np

from dormancy.arrays import BoolArray

__all__ = ["chance_overlap", "jaccard", "overlap_coefficient", "retained"]


def _size(members: BoolArray) -> int:
    return int(np.count_nonzero(members))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def overlap_coefficient(first: BoolArray, second: BoolArray) -> float:
    """Return |X ∩ Y| / min(|X|, |Y|), NaN when either set is empty.

    >>> overlap_coefficient(np.array([True, True, True, False]), np.array([False, True, True, False]))
    1.0
    """
    return _ratio(_size(first & second), min(_size(first), _size(second)))


def retained(previous: BoolArray, current: BoolArray) -> float:
    """Return |previous ∩ current| / |previous|: the share of the dormant that stayed so (the authors' logged value).

    >>> round(retained(np.array([True, True, True]), np.array([False, True, True])), 3)
    0.667
    """
    return _ratio(_size(previous & current), _size(previous))


def jaccard(first: BoolArray, second: BoolArray) -> float:
    """Return |X ∩ Y| / |X ∪ Y|, NaN when either set is empty."""
    if not first.any() or not second.any():
        return float("nan")
    return _ratio(_size(first & second), _size(first | second))


def chance_overlap(first: BoolArray, second: BoolArray) -> float:
    """Return the overlap coefficient expected of two independent sets of these sizes among H neurons.

    The intersection is hypergeometric with mean |X||Y|/H, so the coefficient's expectation is max(|X|, |Y|)/H.

    >>> chance_overlap(np.array([True, True, False, False]), np.array([False, True, False, False]))
    0.5
    """
    if not first.any() or not second.any():
        return float("nan")
    return _ratio(max(_size(first), _size(second)), first.size)
