"""Streaming statistics of the values behind the nonlinearities: one pass, memory independent of its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from dormancy.errors import NetworkError
from dormancy.graph import NeuronGraph, NeuronLayer, call_model, undisturbed
from dormancy.graph.ops import activation_name, operation_name, tensors_in
from dormancy.graph.trace import DispatchMode

__all__ = ["Capture", "Collector", "RowCollector", "collect", "row_count"]

Result = TypeVar("Result", covariant=True)


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

    >>> import torch
    >>> row_count({"image": torch.zeros(7, 3)})
    7
    """
    return len(tensors_in(batch)[0])


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
