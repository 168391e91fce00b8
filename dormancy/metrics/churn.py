"""How much a network's outputs moved between two checkpoints, on the same observations (Tang et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from torch import Tensor, nn

from dormancy.arrays import FloatArray
from dormancy.errors import ReferenceUnfit
from dormancy.graph import call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.metrics.base import Measurement, metric
from dormancy.probing.probe import Probe

__all__ = ["Churn", "output_churn"]


@final
@dataclass(frozen=True)
class Churn:
    """`value_change`: mean squared change of an output. `flips`: share of rows whose greedy action changed.

    `flips` is NaN with a single output a row: there is nothing to choose from.
    """

    value_change: float
    flips: float


def output_churn(before: FloatArray, after: FloatArray) -> Churn:
    """Compare two sets of outputs, both of shape (rows, outputs). Raises `ReferenceUnfit` when the shapes differ.

    The greedy action is the first of the largest outputs, so equal outputs never count as a flip.

    >>> output_churn(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 2.0]]))
    Churn(value_change=1.0, flips=0.5)
    """
    if before.shape != after.shape or before.ndim != 2:
        raise ReferenceUnfit(f"outputs of shape {after.shape} cannot be compared with {before.shape}")
    flips = float(np.mean(before.argmax(1) != after.argmax(1))) if before.shape[1] > 1 else float("nan")
    return Churn(float(np.mean((after - before) ** 2)), flips)


def _rows(outputs: Any, rows: int) -> Iterator[Tensor]:
    """Give the network's floating outputs that have one vector a row, each as (rows, outputs)."""
    for tensor in tensors_in(outputs):
        if tensor.is_floating_point() and tensor.dim() > 1 and len(tensor) == rows:
            yield tensor.detach().flatten(1).double()


def _sums(model: nn.Module, reference: nn.Module, batch: Any) -> tuple[float, int, float, int]:
    """Return the sum of squared changes and how many there are, flips and how many choices there were."""
    rows = len(tensors_in(batch)[0])
    before, after = (list(_rows(call_model(each, batch), rows)) for each in (reference, model))
    if [each.shape for each in before] != [each.shape for each in after] or not after:
        raise ReferenceUnfit("the reference gives outputs of other shapes: compare checkpoints of one network")
    pairs = list(zip(before, after, strict=True))
    squares = sum(float((new - old).square().sum()) for old, new in pairs)
    old, new = pairs[0]
    flips = float((old.argmax(1) != new.argmax(1)).sum()) if new.shape[1] > 1 else float("nan")
    return squares, sum(new.numel() for _, new in pairs), flips, rows


@metric(
    "churn",
    title="Churn since the checkpoint before",
    formula="E (Q_new - Q_old)²; detail: share of rows whose greedy action flipped",
    source="Tang et al. 2025, arXiv 2506.00592",
    default=False,
)
def measure_churn(probe: Probe) -> Measurement:
    """Run the network before and this one side by side: how far did outputs move, how often the greedy choice?

    In a series that is the checkpoint before, else the reference. With several outputs, changes are pooled over all and
    the choice is made by the first. Use a sample that was not trained on in between.
    """
    reference = probe.previous
    with undisturbed(probe.model), undisturbed(reference):
        sums = [_sums(probe.model, reference, batch) for batch in probe.batches()]
    squares, numbers, flips, rows = (float(sum(column)) for column in zip(*sums, strict=True))
    share = flips / rows
    return Measurement(network=squares / numbers, detail={"greedy_flips": None if np.isnan(share) else share})
