"""How sure the dormant share is, given that the sample is finite: bootstrap over transitions, and smaller samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dormancy.arrays import BoolArray, FloatArray
from dormancy.errors import UsageError
from dormancy.metrics.base import Measurement, metric
from dormancy.metrics.dormant import normalised_scores
from dormancy.probing.bootstrap import SUBSETS
from dormancy.probing.probe import Probe
from dormancy.stats import Interval, percentile_interval

__all__ = [
    "NETWORK",
    "reflected",
    "replicate_counts",
    "resolves",
    "scores_of_copies",
    "share_interval",
    "unresolved",
]

NETWORK = ""
"""The key of the whole network among layer names; no layer has an empty name."""
FEW_CLUSTERS = 30
FEWEST_SIGHTINGS = 5
FLOORED = ("leaky_relu", "prelu")


def reflected(scores: FloatArray, copies: FloatArray) -> FloatArray:
    """Return max(0, 2 s^(1/3) - s*^(1/3))^3: the scores s* of replicates, (copies, neurons), turned over about s.

    A neuron that fires rarely was seen a few times too often or too seldom; from a sample where it fired too seldom,
    replicates find it silent still more often. Turned over, the error of a replicate stands for that of the sample in
    its right direction. The cube root makes the error of a sum of rare events symmetric (Wilson & Hilferty 1931), so
    that turning it over changes its side and not its shape. docs/metrics.md has the coverage with and without.

    >>> reflected(np.array([1.0, 4.0, 0.0]), np.array([[1.0, 1.0, 0.0]])).round(2)
    array([[ 1.  , 10.29,  0.  ]])
    """
    return np.asarray(np.maximum(2 * np.cbrt(scores) - np.cbrt(copies), 0.0) ** 3)


def resolves(clusters: int, tau: float) -> bool:
    """Tell whether so many rows or episodes can show who is below tau: a neuron there is seen about 5 times or more.

    A neuron of score tau that fires as strongly as its layer does on average fires on a share tau of the rows. Below
    5 sightings its score is a matter of luck, and what luck it was, no replicate of the sample can know; at tau = 0 no
    sample is large enough, since it cannot show that a neuron is silent elsewhere too.

    >>> resolves(64, 0.1), resolves(64, 0.025), resolves(1_000_000, 0.0)
    (True, False, False)
    """
    return clusters * tau >= FEWEST_SIGHTINGS


def unresolved(clusters: int, by: str, tau: float) -> str:
    """Say why the share has no lower end at this tau, and what would help."""
    if tau == 0:
        return "at tau 0 no sample shows that a neuron is silent everywhere: the share has no lower end"
    needed = math.ceil(FEWEST_SIGHTINGS / tau)
    return (
        f"{clusters} {by}s are too few for tau {tau:g}: a neuron there is seen fewer than {FEWEST_SIGHTINGS} times, so "
        f"the share has no lower end; take at least {needed}"
    )


def share_interval(shares: Sequence[float] | FloatArray, estimate: float, confidence: float = 0.95) -> Interval:
    """Return the interval of a dormant share from the shares of its reflected replicates.

    The ends are quantiles, moved where needed so that the interval holds the sample's own share. Raises `UsageError`
    unless 0 < confidence < 1.

    >>> share_interval([0.25, 0.25, 0.5, 0.5, 0.75], 0.5, 0.5)
    Interval(estimate=0.5, low=0.25, high=0.5)
    """
    interval = percentile_interval(shares, estimate, confidence)
    return Interval(estimate, min(interval.low, estimate), max(interval.high, estimate))


def scores_of_copies(means: FloatArray) -> FloatArray:
    """Score copies of a layer, (..., neurons): `normalised_scores` for hundreds of copies at once."""
    finite = np.isfinite(means)
    clean = np.where(finite, means, 0.0)
    largest = clean.max(axis=-1, keepdims=True, initial=0.0)
    ratios = clean / np.exp2(np.floor(np.log2(np.where(largest > 0, largest, 1.0))))
    mean = ratios.sum(axis=-1, keepdims=True) / np.maximum(finite.sum(axis=-1, keepdims=True), 1)
    return np.where(finite, ratios / np.where(mean > 0, mean, 1.0), np.nan)


def _replicates(probe: Probe) -> dict[str, FloatArray]:
    """Return the reflected scores of every replicate, (replicates, neurons), by layer."""
    observed = {name: normalised_scores(means) for name, means in probe.absolute_means.items()}
    copies = {name: scores_of_copies(each.replicates) for name, each in probe.resampled.items()}
    return {name: reflected(observed[name], each) for name, each in copies.items()}


def _counts(dormant: Mapping[str, BoolArray]) -> dict[str, NDArray[np.int64]]:
    """Count dormant neurons in each copy, for the network and by layer."""
    counts = {name: each.sum(axis=-1) for name, each in dormant.items()}
    return {NETWORK: np.sum(list(counts.values()), axis=0), **counts}


def _by_sample_size(probe: Probe, tau: float) -> list[dict[str, Any]]:
    """Tabulate the network's dormant share on smaller random samples: Fig. 24 of the paper for this network."""
    counts = _counts({name: scores_of_copies(each.subsets) <= tau for name, each in probe.resampled.items()})[NETWORK]
    shares = counts / sum(layer.size for layer in probe.graph)
    sizes = next(iter(probe.resampled.values())).sizes
    return [
        {"rows": size, "mean": float(row.mean()), "std": float(row.std(ddof=1)), "subsets": SUBSETS}
        for size, row in zip(sizes, shares, strict=True)
    ]


def _clusters(probe: Probe) -> tuple[str, int]:
    """Tell what is drawn, and how many of them there are."""
    return ("transition", probe.rows) if probe.episodes is None else ("episode", int(probe.episodes.max()) + 1)


def _warnings(clusters: int, by: str, taus: Sequence[float]) -> tuple[str, ...]:
    said = [unresolved(clusters, by, tau) for tau in taus if not resolves(clusters, tau)]
    if clusters < FEW_CLUSTERS:
        plural = "s" if clusters > 1 else ""
        said.insert(0, f"the interval rests on {clusters} {by}{plural}: too few to trust it; take more")
    return tuple(said)


def _floor_warning(probe: Probe) -> Iterator[str]:
    """Say where intervals failed in simulations: a unit that never fires has a score, which may lie just below tau."""
    floored = [layer.name for layer in probe.graph if layer.activation in FLOORED]
    if floored:
        yield (
            f"{', '.join(floored)}: on leaky ReLU a 95 % interval held the truth in as few as 58 % of simulated "
            "samples, where silent units score just below tau; judge by `dead`, or by a tau away from that floor"
        )


@metric(
    "uncertainty",
    title="Standard error of the dormant share",
    formula="sd over Poisson bootstrap replicates of mean_i [s_i <= tau]; per neuron: P([s_i <= tau] flips)",
    source="Chamandy et al. 2012 (Poisson bootstrap); Wilson & Hilferty 1931 (scale); turning over: this project",
    default=False,
)
def measure_uncertainty(probe: Probe) -> Measurement:
    """Resample the transitions (whole episodes where they are known): how far would another sample have led?

    Neurons: the share of replicates in which the neuron is on the other side of the probe's first tau. Layers and
    network: the standard error of the dormant share there. `detail` holds the counts of every replicate at every tau,
    from which `DormancyScan.interval` makes confidence intervals, and the shares on samples of 32, 64, ... rows.
    """
    tau, copies = probe.taus[0], _replicates(probe)
    sizes = {layer.name: layer.size for layer in probe.graph}
    counts = {each: _counts({name: scores <= each for name, scores in copies.items()}) for each in probe.taus}
    by, clusters = _clusters(probe)
    return Measurement(
        neurons=_flips(probe, copies, tau),
        layers={name: float(np.std(counts[tau][name] / size, ddof=1)) for name, size in sizes.items()},
        network=float(np.std(counts[tau][NETWORK] / sum(sizes.values()), ddof=1)),
        detail={
            "by": by,
            "clusters": clusters,
            "replicates": len(counts[tau][NETWORK]),
            "at": [_detail(probe, each, counts[each]) for each in probe.taus],
        },
        warnings=() if probe.is_preview else (*_warnings(clusters, by, probe.taus), *_floor_warning(probe)),
    )


def _flips(probe: Probe, copies: Mapping[str, FloatArray], tau: float) -> dict[str, FloatArray]:
    observed = {name: normalised_scores(means) <= tau for name, means in probe.absolute_means.items()}
    return {name: np.mean((scores <= tau) != observed[name], axis=0) for name, scores in copies.items()}


def _detail(probe: Probe, tau: float, counts: Mapping[str, NDArray[np.int64]]) -> dict[str, Any]:
    lists = {name: [int(count) for count in each] for name, each in counts.items()}
    return {"tau": tau, "dormant": lists, "sample_size": _by_sample_size(probe, tau)}


def replicate_counts(detail: Mapping[str, Any], tau: float) -> Mapping[str, Sequence[int]]:
    """Return the dormant neurons of every replicate, by layer and under `NETWORK`.

    `detail` is that of the measurement. Raises `UsageError` for a tau that was not resampled at.
    """
    for each in detail["at"]:
        if each["tau"] == tau:
            counts: Mapping[str, Sequence[int]] = each["dormant"]
            return counts
    known = ", ".join(f"{each['tau']:g}" for each in detail["at"])
    raise UsageError(f"no interval at tau {tau:g}: this scan resampled at {known}; scan again with that tau")
