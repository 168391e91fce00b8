"""Mean absolute activations of many re-weighted copies of the sample at once, in the same pass as everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dormancy.errors import NetworkError
from dormancy.graph import NeuronLayer
from dormancy.hashed_random import poisson_weights, uniforms

__all__ = ["REPLICATES", "SUBSETS", "Plan", "Resampled", "Resamples", "subset_sizes"]

Floats = NDArray[np.float64]

REPLICATES = 400
SUBSETS = 16
SMALLEST = 32


def subset_sizes(rows: int) -> tuple[int, ...]:
    """Return the statistics batches that are tried: 32, 64, ... below the number of rows.

    >>> subset_sizes(200)
    (32, 64, 128)
    """
    sizes: list[int] = []
    while (size := SMALLEST << len(sizes)) < rows:
        sizes.append(size)
    return tuple(sizes)


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """Which copies of a sample of `rows` rows are looked at.

    First `REPLICATES` Poisson bootstrap replicates, then for each of `subset_sizes` `SUBSETS` random subsets of about
    that many rows. `clusters`, shape (rows,), numbers the episodes; rows of one episode are drawn together. None draws
    every row by itself.
    """

    rows: int
    clusters: NDArray[np.int64] | None
    seed: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the random subsets."""
        return subset_sizes(self.rows)

    def weights(self, start: int, stop: int) -> Floats:
        """Return the weight of rows start..stop in each copy: (rows, copies). It depends on nothing but the rows."""
        numbers = np.arange(start, stop, dtype=np.int64)
        drawn = numbers if self.clusters is None else self.clusters[start:stop]
        replicates = poisson_weights(drawn, REPLICATES, self.seed)
        shares = np.repeat([size / self.rows for size in self.sizes], SUBSETS)
        members = uniforms(numbers, shares.size, self.seed + 1) < shares
        return np.concatenate([replicates, members], axis=1)


@final
@dataclass(frozen=True, eq=False)
class Resampled:
    """Mean absolute activations of one layer: `replicates` (copies, neurons), `subsets` (sizes, SUBSETS, neurons).

    Replicates that drew no row at all, as happens with very few rows, are left out. A subset without a row is NaN.
    """

    replicates: Floats
    subsets: Floats
    sizes: tuple[int, ...]


@final
class Resamples:
    """Gathers weighted sums over rows: memory is (copies x neurons), whatever the number of rows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sums: dict[str, Tensor] = {}
        self._start, self._stop = 0, 0
        self._weights = torch.zeros(0)
        self._totals: Floats | float = 0.0

    def begin(self, rows: int) -> None:
        """Be told that the next values of every layer are of the next `rows` rows."""
        self._start, self._stop = self._stop, self._stop + rows
        weights = self._plan.weights(self._start, self._stop)
        self._totals = self._totals + weights.sum(axis=0)
        self._weights = torch.from_numpy(weights.T.copy())

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add one batch."""
        rows = self._stop - self._start
        if values.shape[0] % rows:
            raise NetworkError(
                f"layer {layer.name!r} has {values.shape[0]} rows for {rows} observations: which belongs to which is "
                "not known, so nothing can be resampled; leave the metric 'uncertainty' out"
            )
        # A network that lays time beside the batch has several rows an observation, one after the other.
        sizes = values.abs().movedim(layer.dim, -1).reshape(rows, -1, layer.size).mean(1, dtype=torch.float64)
        total = self._weights.to(sizes.device) @ sizes
        self._sums[layer.name] = self._sums[layer.name] + total if layer.name in self._sums else total

    def result(self) -> Mapping[str, Resampled]:
        """Return the means by layer."""
        return {name: self._resampled(sums.cpu().numpy()) for name, sums in self._sums.items()}

    def _resampled(self, sums: Floats) -> Resampled:
        totals = np.broadcast_to(np.asarray(self._totals, dtype=np.float64), (len(sums),))
        means = np.full(sums.shape, np.nan)
        np.divide(sums, totals[:, None], out=means, where=totals[:, None] > 0)
        sizes = self._plan.sizes
        subsets = means[REPLICATES:].reshape(len(sizes), SUBSETS, sums.shape[1])
        return Resampled(means[:REPLICATES][totals[:REPLICATES] > 0], subsets, sizes)
