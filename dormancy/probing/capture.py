"""Streaming statistics of the values behind the nonlinearities: one pass, memory independent of its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar, final, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dormancy.errors import NetworkError
from dormancy.graph import NeuronGraph, NeuronLayer, call_model, undisturbed
from dormancy.graph.ops import activation_name, operation_name, tensors_in
from dormancy.graph.trace import DispatchMode

__all__ = [
    "AbsoluteMeans",
    "Capture",
    "Collector",
    "GramMatrices",
    "GramMatrix",
    "RowCollector",
    "collect",
    "row_count",
]

Result = TypeVar("Result", covariant=True)
NEVER_NEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hardsigmoid", "softplus"})


class Collector(Protocol[Result]):
    """Something that looks at every layer's values as they are computed and keeps a summary."""

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        """Take in one batch of post-activation values of one layer; they may be overwritten after the call."""
        ...

    def result(self) -> Result:
        """Return the summary of all batches."""
        ...


@runtime_checkable
class RowCollector(Collector[Result], Protocol[Result]):
    """A collector that has to know which observations the values belong to."""

    def begin(self, rows: int) -> None:
        """Be told that what comes next is of the next `rows` observations."""
        ...


def row_count(batch: Any) -> int:
    """Return how many observations a batch has: a tensor, a tuple of tensors, or a mapping of them.

    >>> row_count({"image": torch.zeros(7, 3)})
    7
    """
    return len(tensors_in(batch)[0])


def _per_row(values: Tensor, dim: int) -> Tensor:
    """Sum over positions within each row: (batch, ...) to (batch, neurons), in at least float32.

    Sums within a row do not depend on how rows are split into batches; sums over rows are taken in float64.
    """
    positions = [axis for axis in range(1, values.dim()) if axis != dim]
    wide = torch.promote_types(values.dtype, torch.float32)
    return values.sum(positions, dtype=wide) if positions else values.to(wide)


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
        """Add one batch of a penultimate layer; others are ignored."""
        features = values.flatten(1)
        if not layer.penultimate or features.shape[1] > self.widest:
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


class Capture(DispatchMode):
    """Hands every layer's values to the collectors, at the moment the forward pass computes them."""

    def __init__(self, graph: NeuronGraph, collectors: Sequence[Collector[object]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._layers = {(layer.counted, layer.call): layer for layer in graph}
        self._written_out = {layer.counted for layer in graph} - {None}
        self._collectors = collectors
        self._calls: Counter[str | None] = Counter()

    def start(self) -> None:
        """Begin a forward pass."""
        self._calls.clear()

    def finish(self) -> None:
        """Raise `NetworkError` when a layer was not computed in the pass that ends here."""
        missing = [layer.name for (counter, call), layer in self._layers.items() if call >= self._calls[counter]]
        if missing:
            raise NetworkError(
                f"layer {missing[0]!r} was not computed in every forward pass: the network's path depends on its input"
            )

    def __torch_dispatch__(self, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = overload(*args, **(kwargs or {}))
        if activation_name(overload.overloadpacket, args) is not None:
            self._count(None, result)
        elif self._written_out and (name := operation_name(overload)) in self._written_out:
            self._count(name, result)
        return result

    def _count(self, counter: str | None, values: Any) -> None:
        layer = self._layers.get((counter, self._calls[counter]))
        self._calls[counter] += 1
        if layer is not None:
            self._hand_over(layer, values)

    def _hand_over(self, layer: NeuronLayer, values: Tensor) -> None:
        if values.dim() <= layer.dim or values.shape[layer.dim] != layer.size:
            raise NetworkError(
                f"layer {layer.name!r} has {layer.size} neurons in one forward pass and a shape of "
                f"{tuple(values.shape)} in another: the network's path depends on its input"
            )
        for collector in self._collectors:
            collector.add(layer, values)


def collect(
    model: nn.Module, graph: NeuronGraph, batches: Iterable[Any], collectors: Sequence[Collector[object]]
) -> None:
    """Run `model` over `batches` (see `dormancy.graph.call_model`) and feed every layer's values to the collectors.

    The network is left as it was. Raises `NetworkError` when it computes other layers than the graph tells.
    """
    with undisturbed(model):
        capture = Capture(graph, collectors)
        for batch in batches:
            capture.start()
            for collector in collectors:
                if isinstance(collector, RowCollector):
                    collector.begin(row_count(batch))
            with capture:
                call_model(model, batch)
            capture.finish()
