"""Further streamed statistics of post-activation values; each is gathered only when a metric touches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dormancy.graph import NeuronLayer

__all__ = ["SATURATED", "AbsoluteMeans", "Counts", "Deviations", "FeatureNorms", "Moments", "Regions", "Spread"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FLAT = 0.99
SATURATED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda values: values.abs() > _FLAT,
    "sigmoid": lambda values: (2 * values - 1).abs() > _FLAT,
    "hardsigmoid": lambda values: (2 * values - 1).abs() > _FLAT,
}
"""Where a nonlinearity with two ends is nearly flat. A sigmoid is a tanh, shifted: the ends are the same 1 %."""


def by_neuron(layer: NeuronLayer, values: Tensor) -> Tensor:
    """Return values as (rows and positions, neurons), float64; possibly the very values, so not to be written to."""
    return values.movedim(layer.dim, -1).reshape(-1, layer.size).double()


@final
@dataclass(frozen=True, eq=False)
class Spread:
    """Mean and standard deviation (over rows and positions, divided by their number) of every neuron: (neurons,)."""

    mean: Floats
    std: Floats


@final
class Moments:
    """Mean and standard deviation of every neuron, float64, by layer.

    Sums are taken of differences from the first value seen: a neuron that never changes has exactly that mean and a
    standard deviation of exactly 0, and little is lost where the mean is large. Non-finite values give NaN.
    """

    def __init__(self) -> None:
        self._first: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}
        self._squares: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add one batch."""
        rows, name = by_neuron(layer, values), layer.name
        if name not in self._first:
            self._first[name] = rows[0].clone()
            self._sums[name], self._squares[name] = torch.zeros_like(rows[0]), torch.zeros_like(rows[0])
        shifted = rows - self._first[name]
        self._sums[name] += shifted.sum(0)
        self._squares[name] += shifted.square_().sum(0)
        self._counts[name] = self._counts.get(name, 0) + len(rows)

    def result(self) -> Mapping[str, Spread]:
        """Return mean and standard deviation by layer."""
        return {name: self._spread(name) for name in self._first}

    def _spread(self, name: str) -> Spread:
        offset = self._sums[name] / self._counts[name]
        variance = self._squares[name] / self._counts[name] - offset.square()
        mean, std = self._first[name] + offset, variance.clamp(min=0).sqrt()  # clamp keeps NaN
        return Spread(mean.cpu().numpy(), std.cpu().numpy())


@final
class Deviations:
    """Mean absolute deviation of every neuron from its own mean, mean|h - mean h|, float64 of (neurons,) by layer.

    It needs the means first, so it costs a second pass over the sample. There is no exact one-pass form of bounded
    memory: which values lie below the mean is not known before the mean is, and all of them would have to be kept.
    """

    def __init__(self, spreads: Mapping[str, Spread]) -> None:
        self._means = {name: torch.from_numpy(spread.mean) for name, spread in spreads.items()}
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add one batch."""
        rows = by_neuron(layer, values)
        total = (rows - self._means[layer.name].to(rows.device)).abs_().sum(0)
        self._sums[layer.name] = self._sums[layer.name] + total if layer.name in self._sums else total
        self._counts[layer.name] = self._counts.get(layer.name, 0) + len(rows)

    def result(self) -> Mapping[str, Floats]:
        """Return the deviations by layer."""
        return {name: (total / self._counts[name]).cpu().numpy() for name, total in self._sums.items()}


@final
@dataclass(frozen=True, eq=False)
class Counts:
    """How many of the `total` values of each neuron were where; every array is int64 of shape (neurons,).

    `saturated` is all 0 for nonlinearities that are not in `SATURATED`.
    """

    total: int
    zero: Integers
    positive: Integers
    negative: Integers
    saturated: Integers
    nonfinite: Integers


@final
class Regions:
    """Counts of values at zero, above, below, in the flat ends, and not finite: whole numbers, exact in any order."""

    def __init__(self) -> None:
        self._counts: dict[str, Tensor] = {}
        self._totals: dict[str, int] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add one batch."""
        ends = SATURATED.get(layer.activation)
        saturated = ends(values) if ends else torch.zeros_like(values, dtype=torch.bool)
        masks = (values == 0, values > 0, values < 0, saturated, ~values.isfinite())
        others = [axis for axis in range(values.dim()) if axis != layer.dim]
        counts = torch.stack([mask.sum(others) for mask in masks])
        self._counts[layer.name] = self._counts[layer.name] + counts if layer.name in self._counts else counts
        self._totals[layer.name] = self._totals.get(layer.name, 0) + values.numel() // layer.size

    def result(self) -> Mapping[str, Counts]:
        """Return the counts by layer."""
        return {name: Counts(self._totals[name], *counts.cpu().numpy()) for name, counts in self._counts.items()}


@final
class FeatureNorms:
    """Mean Euclidean norm of the vectors that the weights behind the penultimate layers read: by layer."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._rows: dict[str, int] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add the values of a penultimate layer as one vector a row; others are ignored."""
        if layer.penultimate:
            self.add_features(layer, values.flatten(1))

    def add_features(self, layer: NeuronLayer, vectors: Tensor) -> None:
        """Add vectors that the weights behind a penultimate layer read."""
        norms = vectors.double().norm(dim=1)
        self._sums[layer.name] = self._sums.get(layer.name, 0.0) + float(norms.sum())
        self._rows[layer.name] = self._rows.get(layer.name, 0) + len(norms)

    def result(self) -> Mapping[str, float]:
        """Return the mean norms by layer."""
        return {name: total / self._rows[name] for name, total in self._sums.items()}


NEVER_NEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hardsigmoid", "softplus"})


@final
class AbsoluteMeans:
    """Mean absolute activation of every neuron over rows and positions, float64 of shape (neurons,) by layer.

    Non-finite values make the mean of their neuron non-finite; zero means that every value was exactly zero.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add one batch."""
        built_in = layer.counted is None
        sizes = values if built_in and layer.activation in NEVER_NEGATIVE else values.abs()
        total = _per_row(sizes, layer.dim).sum(0, dtype=torch.float64)
        self._sums[layer.name] = self._sums[layer.name] + total if layer.name in self._sums else total
        self._counts[layer.name] = self._counts.get(layer.name, 0) + values.numel() // layer.size

    def result(self) -> Mapping[str, NDArray[np.float64]]:
        """Return the means by layer."""
        return {name: (total / self._counts[name]).cpu().numpy() for name, total in self._sums.items()}


def _per_row(values: Tensor, dim: int) -> Tensor:
    """Sum over positions within each row: (batch, ...) to (batch, neurons), in at least float32.

    Sums within a row do not depend on how rows are split into batches; sums over rows are taken in float64.
    """
    positions = [axis for axis in range(1, values.dim()) if axis != dim]
    wide = torch.promote_types(values.dtype, torch.float32)
    return values.sum(positions, dtype=wide) if positions else values.to(wide)
