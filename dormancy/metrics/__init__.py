"""One file per family of metrics; importing this package registers them all."""

from dormancy.arrays import FloatArray
from dormancy.metrics import churn, dormant, features, gradients, plasticity, rank, uncertainty, units, weights
from dormancy.metrics.base import METRICS, Measurement, Metric

__all__ = [
    "METRICS",
    "FloatArray",
    "Measurement",
    "Metric",
    "churn",
    "dormant",
    "features",
    "gradients",
    "plasticity",
    "rank",
    "uncertainty",
    "units",
    "weights",
]
