"""The penultimate features: how large they are, and how alike before and after a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from dormancy.graph import NeuronLayer, call_model, undisturbed
from dormancy.metrics.base import Measurement, metric
from dormancy.probing.capture import Capture
from dormancy.probing.probe import Probe

__all__ = ["feature_products", "measure_dr3", "measure_feature_norm"]


@metric(
    "feature_norm",
    title="Feature norm",
    formula="E_x ‖φ(x)‖_2, φ the penultimate features",
    source="Kumar et al. 2022, arXiv 2112.04716",
    default=False,
)
def measure_feature_norm(probe: Probe) -> Measurement:
    """Measure the mean Euclidean norm of the vectors that the weights behind a penultimate layer read."""
    return Measurement(layers=dict(probe.feature_norms))


@final
class _Keep:
    """Keeps the penultimate features of one batch: (rows, features) by layer, float64."""

    def __init__(self) -> None:
        self.features: dict[str, Tensor] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add the values of a penultimate layer as one vector a row; others are ignored."""
        if layer.penultimate:
            self.add_features(layer, values.flatten(1))

    def add_features(self, layer: NeuronLayer, vectors: Tensor) -> None:
        """Keep a copy, since a later operation may write over the values."""
        copy = vectors.detach().double().clone()
        known = self.features.get(layer.name)
        self.features[layer.name] = copy if known is None else torch.cat([known, copy])

    def result(self) -> None:
        """Nothing is summed up here."""


def feature_products(before: Tensor, after: Tensor) -> tuple[float, float, int]:
    """Return Σ φ·φ', the sum of its cosines, and for how many rows there is one: rows of zeros have no direction.

    Both are features of shape (rows, features), of states and of those that followed.

    >>> feature_products(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    (25.0, 1.0, 1)
    """
    products = (before * after).sum(1)
    norms = before.norm(dim=1) * after.norm(dim=1)
    cosines = products[norms > 0] / norms[norms > 0]
    return float(products.sum()), float(cosines.sum()), len(cosines)


def _features(probe: Probe, batch: Any) -> Mapping[str, Tensor]:
    keep = _Keep()
    capture = Capture(probe.model, probe.graph, [keep])
    with capture:
        call_model(probe.model, batch)
    capture.finish()
    return keep.features


@metric(
    "dr3",
    title="DR3 dot product",
    formula="E φ(s)·φ(s'), φ the penultimate features; detail: mean cosine of the two",
    source="Kumar et al. 2022, arXiv 2112.04716",
    default=False,
)
def measure_dr3(probe: Probe) -> Measurement:
    """Measure how alike the features of consecutive states are: a product that grows means that they are aliased.

    All transitions count, those that end an episode too. `detail` has the mean cosine over all such layers, which does
    not grow with the features' size; None where no row has features on both sides. Raises `TransitionsRequired` where
    the sample does not tell what followed.
    """
    totals: dict[str, list[float]] = {}
    rows: Counter[str] = Counter()
    with undisturbed(probe.model):
        for before, after in probe.next_batches():
            here, there = _features(probe, before), _features(probe, after)
            for name in here:
                found = feature_products(here[name], there[name])
                totals[name] = [old + new for old, new in zip(totals.get(name, [0, 0, 0]), found, strict=True)]
                rows[name] += len(here[name])
    cosine, known = (sum(each[place] for each in totals.values()) for place in (1, 2))
    return Measurement(
        layers={name: product / rows[name] for name, (product, _, _) in totals.items()},
        detail={"mean_cosine": cosine / known if known else None},
    )
