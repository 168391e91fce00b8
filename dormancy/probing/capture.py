"""Streaming statistics of the values behind the nonlinearities: one pass, memory independent of its length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.errors import NetworkError
from dormancy.graph import NeuronGraph, NeuronLayer, call_model, undisturbed
from dormancy.graph.ops import WeightArguments, place_name, tensors_in, weight_arguments
from dormancy.graph.recurrent import is_recurrent, states_of
from dormancy.graph.trace import CallFrames, DispatchMode

__all__ = ["Capture", "Collector", "FeatureCollector", "RowCollector", "collect", "row_count"]

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


@runtime_checkable
class FeatureCollector(Collector[Result], Protocol[Result]):
    """A collector of the vectors that the weights behind a penultimate layer read, in place of the layer's values."""

    def add_features(self, layer: NeuronLayer, vectors: Tensor) -> None:
        """Take in vectors, (rows, features): one a row of a batch, a token, a time step or a pooled map."""
        ...


def row_count(batch: Any) -> int:
    """Return how many observations a batch has: a tensor, a tuple of tensors, or a mapping of them.

    >>> import torch
    >>> row_count({"image": torch.zeros(7, 3)})
    7
    """
    return len(tensors_in(batch)[0])


class Capture(DispatchMode):
    """Hands every layer's values to the collectors, at the moment the forward pass computes them.

    A layer that runs several times (steps, tokens, shared weights) is handed over as often. Collectors of features get
    the vectors that the weights behind a penultimate layer read, at the moment that they read them.
    """

    def __init__(self, model: nn.Module, graph: NeuronGraph, collectors: Sequence[Collector[object]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph = graph
        self._layers = {place: layer for layer in graph for place in layer.places}
        self._readers = {place: layer for layer in graph if layer.penultimate for place in layer.read_at}
        self._names = {name for _, name, _ in (*self._layers, *self._readers)}
        self._recurrent = {module for module, name, _ in self._layers if name == "state"}
        self._features = [each for each in collectors if isinstance(each, FeatureCollector)]
        self._collectors = [each for each in collectors if not isinstance(each, FeatureCollector)]
        self._frames = CallFrames(model, self._leave)
        self._computed: set[str] = set()

    def __enter__(self) -> Capture:
        """Begin a forward pass."""
        self._computed.clear()
        self._frames.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._frames.__exit__(*error)

    def finish(self) -> None:
        """Raise `NetworkError` when a layer was not computed in the pass that ends here."""
        missing = [layer.name for layer in self._graph if layer.name not in self._computed]
        if missing:
            raise NetworkError(
                f"layer {missing[0]!r} was not computed in every forward pass: the network's path depends on its input"
            )

    def __torch_dispatch__(self, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._frames.recurrent:
            return overload(*args, **(kwargs or {}))
        name = place_name(overload, args)
        if name not in self._names:
            return overload(*args, **(kwargs or {}))
        place = self._frames.place(name)
        if place in self._readers and self._features:
            self._read(self._readers[place], overload.overloadpacket, args)
        result = overload(*args, **(kwargs or {}))
        if place in self._layers:
            self._hand_over(self._layers[place], tensors_in(result)[0])
        return result

    def _leave(self, module: nn.Module, name: str, inputs: Any, outputs: Any) -> None:
        if name in self._recurrent and is_recurrent(module):
            with self._frames.inside_recurrent():
                states = states_of(module, inputs, outputs)
            for level, values in enumerate(states):
                if (layer := self._layers.get((name, "state", level))) is not None:
                    self._hand_over(layer, values)

    def _read(self, layer: NeuronLayer, packet: Any, arguments: Any) -> None:
        """Hand over the vectors that a product with weights reads, one a row, in the columns of this layer."""
        read = weight_arguments(packet, arguments)
        if read is None:
            return
        vectors = vectors_read(read, arguments)
        if layer.read_columns is not None and vectors.shape[1] == layer.read_columns.size:
            columns = torch.from_numpy(layer.read_columns >= 0).to(vectors.device)
            vectors = vectors if bool(columns.all()) else vectors[:, columns]
        for collector in self._features:
            collector.add_features(layer, vectors)

    def _hand_over(self, layer: NeuronLayer, values: Tensor) -> None:
        if values.dim() <= layer.dim or values.shape[layer.dim] != layer.size:
            raise NetworkError(
                f"layer {layer.name!r} has {layer.size} neurons in one forward pass and a shape of "
                f"{tuple(values.shape)} in another: the network's path depends on its input"
            )
        self._computed.add(layer.name)
        for collector in self._collectors:
            collector.add(layer, values)
        if layer.penultimate and not layer.read_at:
            for collector in self._features:
                collector.add_features(layer, values.movedim(layer.dim, -1).reshape(-1, layer.size))


def vectors_read(read: WeightArguments, arguments: Any) -> Tensor:
    """Return the vectors that a product with weights reads: (rows, inputs), one a token, a step or a patch."""
    data: Tensor = read.data
    if read.channel_dim != 1:
        return data.reshape(-1, data.shape[-1])
    if data.dim() == 4 and read.outputs_dim == 0 and max(read.weight.shape[2:]) > 1:
        stride, padding, dilation = arguments[3:6]
        return F.unfold(data, read.weight.shape[2:], dilation, padding, stride).movedim(1, 2).flatten(0, 1)
    return data.movedim(1, -1).reshape(-1, data.shape[1])


def collect(
    model: nn.Module, graph: NeuronGraph, batches: Iterable[Any], collectors: Sequence[Collector[object]]
) -> None:
    """Run `model` over `batches` (see `dormancy.graph.call_model`) and feed every layer's values to the collectors.

    The network is left as it was. Raises `NetworkError` when it computes other layers than the graph tells.
    """
    with undisturbed(model):
        capture = Capture(model, graph, collectors)
        for batch in batches:
            for collector in collectors:
                if isinstance(collector, RowCollector):
                    collector.begin(row_count(batch))
            with capture:
                call_model(model, batch)
            capture.finish()
