"""How large the penultimate features are."""

from __future__ import annotations

from dormancy.metrics.base import Measurement, metric
from dormancy.probe import Probe

__all__ = ["measure_feature_norm"]


@metric(
    "feature_norm",
    title="Feature norm",
    formula="E_x ‖φ(x)‖_2, φ the penultimate features",
    source="Kumar et al. 2022, arXiv 2112.04716",
    default=False,
)
def measure_feature_norm(probe: Probe) -> Measurement:
    """Measure the mean Euclidean norm of the feature vector a row; of a map with positions, over all of it."""
    return Measurement(layers=dict(probe.feature_norms))
