"""One file per family of metrics; importing this package registers them all."""

from dormancy.metrics import dormant, rank
from dormancy.metrics.base import METRICS, FloatArray, Measurement, Metric

__all__ = ["METRICS", "FloatArray", "Measurement", "Metric", "dormant", "rank"]
