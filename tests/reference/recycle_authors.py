"""The score, the mask and the schedule of the authors' released code, stated again in NumPy and float64.

Written from the description of what that code computes, for (batch, ..., neurons) arrays as Flax lays them out: the
last dimension counts neurons, dense kernels are (inputs, outputs), convolutions (height, width, inputs, outputs).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPSILON = 1e-9


def spread_or_size(activation: Array, centred: bool) -> Array:
    """mean |a|, or mean |a - mean a|, of each neuron over all other dimensions."""
    axes = tuple(range(activation.ndim - 1))
    values = activation - activation.mean(axis=axes) if centred else activation
    return np.asarray(np.abs(values).mean(axis=axes))


def score(activation: Array, centred: bool = False) -> Array:
    """Divide by the layer's mean plus 1e-9."""
    size = spread_or_size(activation, centred)
    return np.asarray(size / (size.mean() + EPSILON))


def dormant(activation: Array, tau: float) -> NDArray[np.bool_]:
    return np.asarray(score(activation) <= tau)


def contribution(activation: Array, kernel: Array, next_kernel: Array) -> Array:
    """The utility of continual backprop, not normalised; a flattened map owns a row per position, channels fastest."""
    spread = spread_or_size(activation, centred=True)
    if next_kernel.ndim == 2 and kernel.ndim == 4:
        next_kernel = next_kernel.reshape(*activation.shape[1:], -1)
    inputs_axis = next_kernel.ndim - 2
    outgoing = np.abs(next_kernel).sum(axis=tuple(axis for axis in range(next_kernel.ndim) if axis != inputs_axis))
    incoming = np.abs(kernel).sum(axis=tuple(range(kernel.ndim - 1)))
    return np.asarray(spread * outgoing / incoming)


def fraction(step: int, end: int, rate: float = 0.3) -> float:
    return rate * math.cos(math.pi / 2 * max(0.0, step / end))


def lowest(scores: Array, share: float) -> NDArray[np.bool_]:
    """Everything that is no larger than the k-th smallest, k = max(1, round(n · share)); nothing for a share of 0."""
    if share == 0:
        return np.zeros(scores.shape, dtype=np.bool_)
    k = max(1, int(np.round(scores.size * share)))
    return np.asarray(scores <= np.sort(scores)[k - 1])


def scheduled(kind: str, activation: Array, kernel: Array, next_kernel: Array, share: float) -> NDArray[np.bool_]:
    scores = contribution(activation, kernel, next_kernel) if kind == "cbp" else score(activation)
    return lowest(-scores if kind == "inverse" else scores, share)
