"""Five ranks of the penultimate features, each under its own name; they are never the same number.

All take the singular values σ_1 >= σ_2 >= ... >= 0 of the uncentred N x d feature matrix. All are 0 for a zero matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dormancy.arrays import FloatArray
from dormancy.metrics.base import Measurement, metric
from dormancy.probing.gram import GramMatrix
from dormancy.probing.probe import Probe

__all__ = ["entropy_rank", "feature_rank", "pca_rank", "srank", "stable_rank"]


def _smallest_count(shares: FloatArray, enough: float) -> float:
    """Return the smallest k whose first k shares add up to at least `enough` of the whole."""
    total = shares.sum()
    if not total > 0:
        return 0.0
    # The last partial sum is the whole by definition; rounding must not push the answer past it.
    reached = np.append(np.cumsum(shares)[:-1] / total, 1.0) >= enough
    return float(np.argmax(reached) + 1)


def srank(singular_values: FloatArray, delta: float = 0.01) -> float:
    """Return min{k : sum of the first k σ >= (1 - delta) of all} (Kumar et al. 2021).

    >>> srank(np.array([3.0, 1.0]))
    2.0
    """
    return _smallest_count(singular_values, 1 - delta)


def entropy_rank(singular_values: FloatArray) -> float:
    """Return exp(-Σ p ln p) with p = σ / Σσ: the effective rank of Roy & Vetterli (2007).

    >>> round(entropy_rank(np.array([3.0, 1.0])), 3)
    1.755
    """
    total = singular_values.sum()
    if not total > 0:
        return 0.0
    p = singular_values[singular_values > 0] / total
    return float(np.exp(-np.sum(p * np.log(p))))


def stable_rank(singular_values: FloatArray) -> float:
    """Return ‖Φ‖_F² / ‖Φ‖_2² = Σσ² / σ_1².

    >>> round(stable_rank(np.array([3.0, 1.0])), 3)
    1.111
    """
    largest = singular_values.max(initial=0.0)
    return float(np.sum((singular_values / largest) ** 2)) if largest > 0 else 0.0


def pca_rank(singular_values: FloatArray, share: float = 0.99) -> float:
    """Return min{k : sum of the first k σ² >= share of all} (Yang et al. 2020).

    >>> pca_rank(np.array([3.0, 1.0]))
    2.0
    """
    return _smallest_count(singular_values**2, share)


def feature_rank(singular_values: FloatArray, rows: int, threshold: float = 0.01) -> float:
    """Return #{i : σ_i / sqrt(N) > threshold} for N rows (Lyle et al. 2022). It depends on the features' scale.

    >>> feature_rank(np.array([3.0, 1.0, 0.01]), rows=4)
    2.0
    """
    return float(np.sum(singular_values / np.sqrt(rows) > threshold))


def _by_layer(probe: Probe, rank: Callable[[GramMatrix], float]) -> dict[str, float]:
    return {name: rank(gram) if gram.is_finite else float("nan") for name, gram in probe.features.items()}


def _too_few_rows(probe: Probe) -> tuple[str, ...]:
    """Warn where there are fewer feature vectors than features: the rank is cut off at N."""
    return tuple(
        f"layer {name!r}: {gram.rows} feature vectors for {gram.features} features, so no rank above {gram.rows} can "
        "be seen; give a larger sample"
        for name, gram in probe.features.items()
        if gram.rows < gram.features
    )


@metric(
    "srank",
    title="Effective rank (srank)",
    formula="min{k : Σ_{i<=k} σ_i / Σ σ_i >= 1 - .01}",
    source="Kumar et al. 2021, arXiv 2010.14498",
)
def measure_srank(probe: Probe) -> Measurement:
    """Measure srank, with the spectrum and the largest rank that this sample could show."""
    finite = {name: gram for name, gram in probe.features.items() if gram.is_finite}
    return Measurement(
        layers=_by_layer(probe, lambda gram: srank(gram.singular_values)),
        detail={
            "singular_values": {
                name: [float(f"{s:.6g}") for s in gram.singular_values] for name, gram in finite.items()
            },
            "attainable": {name: min(gram.rows, gram.features) for name, gram in probe.features.items()},
        },
        warnings=_too_few_rows(probe),
    )


@metric(
    "entropy_rank",
    title="Entropy effective rank",
    formula="exp(-Σ p ln p), p = σ / Σσ",
    source="Roy & Vetterli 2007",
)
def measure_entropy_rank(probe: Probe) -> Measurement:
    """Measure the entropy effective rank."""
    return Measurement(layers=_by_layer(probe, lambda gram: entropy_rank(gram.singular_values)))


@metric("stable_rank", title="Stable rank", formula="‖Φ‖_F² / ‖Φ‖_2²", source="Rudelson & Vershynin 2007")
def measure_stable_rank(probe: Probe) -> Measurement:
    """Measure the stable rank."""
    return Measurement(layers=_by_layer(probe, lambda gram: stable_rank(gram.singular_values)))


@metric(
    "pca_rank",
    title="PCA rank",
    formula="min{k : Σ_{i<=k} σ_i² / Σ σ_i² >= .99}",
    source="Yang et al. 2020",
)
def measure_pca_rank(probe: Probe) -> Measurement:
    """Measure the PCA rank."""
    return Measurement(layers=_by_layer(probe, lambda gram: pca_rank(gram.singular_values)))


@metric(
    "feature_rank",
    title="Feature rank",
    formula="#{i : σ_i / sqrt(N) > .01}",
    source="Lyle et al. 2022",
)
def measure_feature_rank(probe: Probe) -> Measurement:
    """Measure the feature rank."""
    return Measurement(layers=_by_layer(probe, lambda gram: feature_rank(gram.singular_values, gram.rows)))
