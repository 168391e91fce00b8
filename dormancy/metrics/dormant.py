"""The dormancy score (Sokar et al. 2023, Eq. 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dormancy.arrays import FloatArray
from dormancy.errors import UsageError
from dormancy.metrics.base import Measurement, metric
from dormancy.probing.probe import Probe

__all__ = ["dormancy_scores", "measure_scores", "normalised_scores"]


def normalised_scores(means: NDArray[np.float64]) -> FloatArray:
    """Divide mean absolute activations, shape (neurons,), by their layer's mean: they then average 1.

    An all-silent layer scores 0 everywhere, by definition. A neuron with a non-finite mean scores NaN, and the others
    are scored among themselves.

    >>> normalised_scores(np.array([0.0, 1.0, 3.0]))
    array([0.  , 0.75, 2.25])
    """
    finite = np.isfinite(means)
    scores = np.full(means.shape, np.nan)
    largest = means[finite].max(initial=0.0)
    if largest == 0.0:
        scores[finite] = 0.0
        return scores
    # Dividing by a power of two first changes no bit of the result and keeps tiny or huge layers in range.
    ratios = means[finite] / np.exp2(np.floor(np.log2(largest)))
    scores[finite] = ratios / ratios.mean()
    return scores


def dormancy_scores(activations: Tensor) -> FloatArray:
    """Score every neuron of a layer from its activations: mean |h| over the layer's mean of it (Eq. 1).

    `activations` are values after the nonlinearity: (batch, neurons), or (batch, channels, height, width), where a
    channel is one neuron; otherwise the last dimension counts neurons. The scores, float64 of shape (neurons,), average
    1, or are all 0 when the layer is silent. Raises `UsageError` when there is no batch dimension or no row.

    >>> import torch
    >>> dormancy_scores(torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 3.0]]))
    array([0.  , 0.75, 2.25])
    """
    if activations.dim() < 2 or activations.numel() == 0:
        raise UsageError(f"activations must be (batch, neurons, ...), not {tuple(activations.shape)}")
    dim = 1 if activations.dim() == 4 else activations.dim() - 1
    sizes = activations.detach().movedim(dim, 0).flatten(1).double().abs()
    return normalised_scores(sizes.mean(dim=1).cpu().numpy())


@metric(
    "score",
    title="Dormancy score",
    formula="s_i = mean|h_i| / mean_k mean|h_k|",
    source="Sokar et al. 2023, Eq. 1",
)
def measure_scores(probe: Probe) -> Measurement:
    """Score every neuron of every layer."""
    return Measurement(neurons={name: normalised_scores(means) for name, means in probe.absolute_means.items()})
