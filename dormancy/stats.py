"""How sure a number is: interquartile means, stratified bootstraps over seeds, Poisson bootstraps over transitions.

Plain NumPy. No global random number is used; every function with chance in it takes a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dormancy.errors import UsageError

__all__ = [
    "Band",
    "Interval",
    "iqm",
    "iqm_band",
    "mean_interval",
    "percentile_interval",
    "performance_profile",
    "probability_of_improvement",
    "stratified_bootstrap",
]

Floats: TypeAlias = NDArray[np.float64]
Identifiers: TypeAlias = NDArray[np.int64] | NDArray[np.uint64]

REPLICATES = 2000


class Interval(NamedTuple):
    """An estimate and the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float


class Band(NamedTuple):
    """Estimates at K places and the ends of their confidence intervals, each of shape (K,)."""

    estimate: Floats
    low: Floats
    high: Floats


def iqm(values: ArrayLike) -> float:
    """Return the interquartile mean: the mean of what is left when a quarter is cut off at either end.

    A quarter is rounded down to whole values, as in Agarwal et al. 2021 (arXiv 2108.13264). NaN when there is nothing.

    >>> iqm([0.0, 1.0, 2.0, 900.0])
    1.5
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    cut = ordered.size // 4
    kept = ordered[cut : ordered.size - cut]
    return float(kept.mean()) if kept.size else math.nan


def percentile_interval(replicates: ArrayLike, estimate: float, confidence: float = 0.95) -> Interval:
    """Return the central interval that holds a share `confidence` of bootstrap replicates.

    Raises `UsageError` unless 0 < confidence < 1.

    >>> percentile_interval(range(5), 2.0, 0.5)
    Interval(estimate=2.0, low=1.0, high=3.0)
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence must lie between 0 and 1, not {confidence:g}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(replicates, dtype=np.float64), [tail, 1 - tail])
    return Interval(estimate, float(low), float(high))


def stratified_bootstrap(
    strata: Sequence[ArrayLike],
    statistic: Callable[[Floats], float] = iqm,
    *,
    confidence: float = 0.95,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Bootstrap a statistic of runs over several tasks: runs are drawn anew within each task, tasks are kept.

    `strata` holds one array of run scores a task; `statistic` takes all scores in one array (Agarwal et al. 2021).
    Raises `UsageError` when a task has no run.

    >>> stratified_bootstrap([[1.0, 1.0, 1.0], [3.0, 3.0]], np.mean)
    Interval(estimate=1.8, low=1.8, high=1.8)
    """
    tasks = _tasks(strata)
    rng = np.random.default_rng(seed)
    found = [
        float(statistic(np.concatenate([task[rng.integers(task.size, size=task.size)] for task in tasks])))
        for _ in range(replicates)
    ]
    return percentile_interval(found, float(statistic(np.concatenate(tasks))), confidence)


def mean_interval(
    values: ArrayLike, *, confidence: float = 0.95, replicates: int = REPLICATES, seed: int = 0
) -> Interval:
    """Bootstrap the mean of independent values, such as the returns of an evaluation, shape (E,).

    The interval of a single value is NaN. Raises `UsageError` when there is none.

    >>> mean_interval([2.0, 2.0, 2.0])
    Interval(estimate=2.0, low=2.0, high=2.0)
    """
    (found,) = _tasks([values])
    estimate = float(found.mean())
    if found.size < 2:
        return Interval(estimate, math.nan, math.nan)
    drawn = np.random.default_rng(seed).integers(found.size, size=(replicates, found.size))
    return percentile_interval(found[drawn].mean(axis=1), estimate, confidence)


def _trimmed_mean(values: Floats, axis: int) -> Floats:
    """Return the interquartile mean along an axis that has at least one value and no NaN."""
    size = values.shape[axis]
    kept = np.arange(size // 4, size - size // 4)
    return np.asarray(np.sort(values, axis=axis).take(kept, axis=axis).mean(axis=axis))


def _band(estimate: Floats, replicates: Floats, confidence: float) -> Band:
    """Return the central intervals of replicates of shape (R, K)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return Band(estimate, low, high)


def iqm_band(runs: ArrayLike, *, confidence: float = 0.95, replicates: int = REPLICATES, seed: int = 0) -> Band:
    """Return the IQM over runs at each of K places with a bootstrap interval over whole runs, for values (runs, K).

    NaN is a run that has no value there: it is left out at that place. Where one run is left the interval is NaN, and
    where none is the estimate too.

    >>> iqm_band([[1.0, 2.0], [1.0, 2.0]])
    Band(estimate=array([1., 2.]), low=array([1., 2.]), high=array([1., 2.]))
    """
    values = np.asarray(runs, dtype=np.float64)
    known = np.isfinite(values)
    band = Band(*np.full((3, values.shape[1]), np.nan))
    for pattern in np.unique(known.T, axis=0):
        if not pattern.any():
            continue
        places = (pattern == known.T).all(axis=1)
        rows = values[pattern][:, places]
        band.estimate[places] = _trimmed_mean(rows, 0)
        if len(rows) > 1:
            drawn = np.random.default_rng(seed).integers(len(rows), size=(replicates, len(rows)))
            ends = _band(rows[0], _trimmed_mean(rows[drawn], 1), confidence)
            band.low[places], band.high[places] = ends.low, ends.high
    return band


def _tasks(strata: Sequence[ArrayLike]) -> list[Floats]:
    tasks = [np.asarray(each, dtype=np.float64).ravel() for each in strata]
    if not tasks or any(task.size == 0 for task in tasks):
        raise UsageError("a stratified bootstrap needs at least one run of every task")
    return tasks


def performance_profile(
    strata: Sequence[ArrayLike],
    thresholds: ArrayLike,
    *,
    confidence: float = 0.95,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Band:
    """Return the share of runs above each of K thresholds, over all tasks (Agarwal et al. 2021, section 4.2).

    `strata` holds one array of run scores a task; runs are drawn anew within each task. Raises `UsageError` when a
    task has no run.

    >>> performance_profile([[1.0, 3.0]], [0.0, 1.0, 3.0]).estimate
    array([1. , 0.5, 0. ])
    """
    tasks, places = _tasks(strata), np.asarray(thresholds, dtype=np.float64)
    above = [(task[:, None] > places).astype(np.float64) for task in tasks]
    rng = np.random.default_rng(seed)
    sums = sum(each[rng.integers(len(each), size=(replicates, len(each)))].sum(axis=1) for each in above)
    runs = sum(task.size for task in tasks)
    return _band(np.concatenate(above).mean(axis=0), np.asarray(sums) / runs, confidence)


def probability_of_improvement(
    candidate: Sequence[ArrayLike],
    baseline: Sequence[ArrayLike],
    *,
    confidence: float = 0.95,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return how probably a run of the candidate scores above one of the baseline, ties counting half.

    Both hold one array of run scores a task, in the same order; the mean is over tasks, the runs of both are drawn
    anew within each task (Agarwal et al. 2021, section 4.3). Raises `UsageError` when a task has no run or the numbers
    of tasks differ.

    >>> probability_of_improvement([[2.0, 3.0]], [[1.0, 2.0]]).estimate
    0.875
    """
    if len(candidate) != len(baseline):
        raise UsageError("a probability of improvement needs both sides on the same tasks")
    rng = np.random.default_rng(seed)
    means, drawn = [], []
    for ours, theirs in zip(_tasks(candidate), _tasks(baseline), strict=True):
        wins = (ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)
        rows = rng.integers(ours.size, size=(replicates, ours.size, 1))
        columns = rng.integers(theirs.size, size=(replicates, 1, theirs.size))
        means.append(wins.mean())
        drawn.append(wins[rows, columns].mean(axis=(1, 2)))
    return percentile_interval(np.mean(drawn, axis=0), float(np.mean(means)), confidence)
