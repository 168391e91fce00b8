"""Gram matrices of features, collected batch by batch: the source of every rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dormancy.graph import NeuronLayer

__all__ = ["GramMatrices", "GramMatrix"]


@final
@dataclass(frozen=True, eq=False)
class GramMatrix:
    """The spectrum of an N x d feature matrix Φ as a small matrix: Φᵀ Φ, or Φ Φᵀ where there are fewer rows; float64.

    Both have the squared singular values of Φ as eigenvalues. `rows` is N, `features` d.
    """

    matrix: NDArray[np.float64]
    rows: int
    features: int

    @property
    def is_finite(self) -> bool:
        """Whether all features were finite; there is no spectrum otherwise."""
        return bool(np.isfinite(self.matrix).all())

    @cached_property
    def singular_values(self) -> NDArray[np.float64]:
        """The singular values of Φ, descending, shape (min(N, d),).

        Below sqrt(min(N, d) · 2^-52) of the largest they cannot be told from rounding errors of the matrix, and are 0.
        """
        squares = np.linalg.eigvalsh(self.matrix)[::-1][: self.rows]
        floor = squares[0] * len(self.matrix) * np.finfo(np.float64).eps if squares.size else 0.0
        return np.sqrt(np.where(squares > floor, squares, 0.0))


@final
class GramMatrices:
    """Uncentred Gram matrices of the penultimate layers' features, accumulated in float64.

    float32 products misjudge the rank of steep spectra (see docs/performance.md). Rows are gathered before they are
    multiplied, since one large product costs less than many small ones, and only blocks on and above the diagonal are
    computed. A layer with more than `widest` features is left out: its matrix would not be small any more.
    """

    gathered = 1024
    widest = 4096
    block = 128

    def __init__(self) -> None:
        self._waiting: dict[str, list[Tensor]] = {}
        self._matrices: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Add the values of a penultimate layer as one vector a row; others are ignored."""
        if layer.penultimate:
            self.add_features(layer, values.flatten(1))

    def add_features(self, layer: NeuronLayer, vectors: Tensor) -> None:
        """Add vectors that the weights behind a penultimate layer read."""
        features = vectors
        if features.shape[1] > self.widest:
            return
        waiting = self._waiting.setdefault(layer.name, [])
        waiting.append(features.clone())
        self._rows[layer.name] = self._rows.get(layer.name, 0) + len(features)
        if sum(len(rows) for rows in waiting) >= self.gathered:
            self._multiply(layer.name)

    def _multiply(self, name: str) -> None:
        rows = torch.cat(self._waiting[name]).double()
        width = rows.shape[1]
        upper = self._matrices.setdefault(name, rows.new_zeros(width, width))
        for start in range(0, width, self.block):
            stop = min(start + self.block, width)
            upper[start:stop, start:] += rows[:, start:stop].T @ rows[:, start:]
        self._waiting[name] = []

    def result(self) -> Mapping[str, GramMatrix]:
        """Return one matrix a penultimate layer."""
        return {name: self._result(name) for name in self._waiting}

    def _result(self, name: str) -> GramMatrix:
        waiting, rows = self._waiting[name], self._rows[name]
        if name not in self._matrices and rows < waiting[0].shape[1]:
            few = torch.cat(waiting).double()
            return GramMatrix((few @ few.T).cpu().numpy(), rows, few.shape[1])
        if waiting:
            self._multiply(name)
        upper = self._matrices[name].triu()
        return GramMatrix((upper + upper.triu(1).T).cpu().numpy(), rows, len(upper))
