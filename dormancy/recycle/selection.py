"""Which neurons are recycled: by a threshold (Algorithm 1), or a fixed fraction by a schedule (Figs 15 and 25)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, final, get_args

import numpy as np

from dormancy.arrays import BoolArray
from dormancy.errors import UsageError
from dormancy.metrics import FloatArray

__all__ = ["Rule", "Scheduled", "Selection", "Threshold", "cosine_fraction", "least"]

Rule: TypeAlias = Literal["redo", "random", "inverse", "cbp"]


class Selection(Protocol):
    """Chooses neurons of one layer."""

    @property
    def rule(self) -> Rule:
        """Which score is compared: "redo" and "inverse" take Eq. 1, "cbp" the contribution, "random" none."""
        ...

    def choose(self, scores: FloatArray, step: int, draw: np.random.Generator) -> BoolArray:
        """Choose neurons by their `scores`, shape (neurons,), at gradient step `step`: booleans of the same shape."""
        ...


def least(scores: FloatArray, k: int, ties: Literal["index", "all"] = "index") -> BoolArray:
    """Choose the k smallest scores; ties go to the lower index, or all of them are chosen too. NaN is never chosen.

    >>> least(np.array([0.5, 0.0, 0.5, 2.0]), 2).tolist()
    [True, True, False, False]
    >>> least(np.array([0.5, 0.0, 0.5, 2.0]), 2, ties="all").tolist()
    [True, True, True, False]
    """
    order = np.argsort(scores, kind="stable")  # NaN sorts last
    chosen = np.zeros(scores.shape, dtype=np.bool_)
    k = min(k, int(np.sum(~np.isnan(scores))))
    chosen[order[:k]] = True
    if ties == "all" and k > 0:
        chosen |= scores <= scores[order[k - 1]]
    return chosen


def cosine_fraction(step: int, total: int, rate: float = 0.1) -> float:
    """Return the fraction recycled at `step`: rate · cos(π/2 · step/total), 0 from `total` on (both in gradient steps).

    >>> round(cosine_fraction(500, 1000, rate=1.0), 4)
    0.7071
    """
    return rate * math.cos(math.pi / 2 * step / total) if step < total else 0.0


@final
@dataclass(frozen=True)
class Threshold:
    """Choose every tau-dormant neuron: score <= tau, inclusive (Sokar et al. 2023, Definition 3.1).

    `zero_tolerance` counts scores up to it as 0 when tau is 0, as some ports do; 0 compares exactly.
    """

    tau: float
    zero_tolerance: float = 0.0
    rule: Rule = "redo"

    def __post_init__(self) -> None:
        if not self.tau >= 0 or not math.isfinite(self.tau):
            raise UsageError(f"tau must be a number of 0 or more, not {self.tau}")

    def choose(self, scores: FloatArray, step: int, draw: np.random.Generator) -> BoolArray:
        """See `Selection`; a score that is NaN (a diverged neuron) is not chosen."""
        return np.asarray(scores <= (self.tau if self.tau > 0 else self.zero_tolerance))


@final
@dataclass(frozen=True)
class Scheduled:
    """Choose a fixed fraction of every layer, which falls from `rate` to 0 over `total` gradient steps like a cosine.

    `rule` says which: lowest score first ("redo"), at random, highest score first ("inverse"), or lowest contribution
    first ("cbp"). k = max(1, round(n · fraction)), round half to even; none once the fraction is 0. ``ties="all"`` also
    takes whatever equals the k-th score, as the authors' code does; "index" takes exactly k.
    Sokar et al. 2023, Sec. 6 and Appendix C.4 (rate .1; their released code has .3).
    """

    rule: Rule
    total: int
    rate: float = 0.1
    ties: Literal["index", "all"] = "index"

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise UsageError(f"selection rule must be one of {', '.join(get_args(Rule))}, not {self.rule!r}")
        if self.total < 1 or not 0 <= self.rate <= 1:
            raise UsageError(f"a schedule needs total >= 1 and a rate within 0..1, not {self.total} and {self.rate}")

    def count(self, neurons: int, step: int) -> int:
        """Return k for a layer of this many neurons.

        >>> Scheduled("redo", total=1000).count(512, 0)
        51
        """
        fraction = cosine_fraction(step, self.total, self.rate)
        return max(1, round(neurons * fraction)) if fraction > 0 else 0

    def choose(self, scores: FloatArray, step: int, draw: np.random.Generator) -> BoolArray:
        """See `Selection`."""
        if self.rule == "random":
            scores = draw.permutation(scores.size).astype(np.float64)  # distinct: ties would favour low indices
        elif self.rule == "inverse":
            scores = -scores
        return least(scores, self.count(scores.size, step), self.ties)
