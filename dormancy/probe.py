"""What metrics and recyclers look at: a network on observations, every input computed when it is first touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dormancy.activations import AbsoluteMeans, Collector, GramMatrices, GramMatrix, collect
from dormancy.errors import SampleError, SampleRequired
from dormancy.graph import NeuronGraph, trace_neurons
from dormancy.io import ObservationArray, ReplaySample
from dormancy.io.slabs import slabs

__all__ = ["Observations", "Probe"]

Observations: TypeAlias = (
    ObservationArray | Tensor | Mapping[str, ObservationArray] | Mapping[str, Tensor] | ReplaySample
)
Inputs: TypeAlias = "ObservationArray | Mapping[str, ObservationArray]"

BATCH = 64  # larger batches fall out of the processor's caches; see docs/performance.md
TRACED_ROWS = 2


def _as_array(observations: Any) -> Any:
    return observations.detach().cpu().numpy() if isinstance(observations, Tensor) else observations


def _as_inputs(observations: Observations) -> Inputs:
    """Take arrays, tensors, mappings of them, or a whole sample; give arrays."""
    inputs = observations.observations if isinstance(observations, ReplaySample) else observations
    arrays = {name: _as_array(each) for name, each in inputs.items()} if isinstance(inputs, Mapping) else None
    result: Inputs = _as_array(inputs) if arrays is None else arrays
    _check(result)
    return result


def _check(inputs: Inputs) -> None:
    """Raise `SampleError` for observations that no network can be fed with."""
    for array in inputs.values() if isinstance(inputs, Mapping) else (inputs,):
        if not hasattr(array, "dtype") or np.dtype(array.dtype).kind not in "buif":
            kind = getattr(array, "dtype", type(array).__name__)
            raise SampleError(f"observations must be an array of numbers, not of {kind}")
        if len(array.shape) < 2:
            raise SampleError(f"observations must have shape (rows, ...), not {tuple(array.shape)}")
        if array.shape[0] == 0:
            raise SampleError("the sample has no observations")


@final
class Probe:
    """A network and a sample; statistics are gathered in one pass over the sample, together where they are known early.

    `model` may be on any device; it is left as it was. `observations` has shape (N, ...) or is a mapping of such arrays
    by keyword argument, or a `ReplaySample`; None allows what needs no sample. Integers are cast to the parameters'
    dtype, unless the network has an embedding. `input_scale` multiplies observations, for networks that do not do so.
    """

    def __init__(
        self,
        model: nn.Module,
        observations: Observations | None,
        *,
        batch_size: int = BATCH,
        input_scale: float | None = None,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.input_scale = input_scale
        self.touched: set[type[Collector[object]]] = set()
        self._inputs = None if observations is None else _as_inputs(observations)
        self._collected: dict[type[Collector[object]], Any] = {}

    @property
    def inputs(self) -> Inputs:
        """The observations; raises `SampleRequired` when there are none."""
        if self._inputs is None:
            raise SampleRequired("this needs observations: give a sample")
        return self._inputs

    @property
    def rows(self) -> int:
        """How many observations the sample has."""
        inputs = self.inputs
        return len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)

    @cached_property
    def graph(self) -> NeuronGraph:
        """The network's neuron layers, traced on the first rows of the sample."""
        return trace_neurons(self.model, next(iter(self._batches(TRACED_ROWS))))

    @property
    def absolute_means(self) -> Mapping[str, NDArray[np.float64]]:
        """Mean absolute activation per neuron, by layer: see `AbsoluteMeans`."""
        means: Mapping[str, NDArray[np.float64]] = self._read(AbsoluteMeans)
        return means

    @property
    def features(self) -> Mapping[str, GramMatrix]:
        """Gram matrices of the penultimate layers' features: see `GramMatrices`."""
        matrices: Mapping[str, GramMatrix] = self._read(GramMatrices)
        return matrices

    def preview(self) -> Probe:
        """Return a probe of the first rows, to find out cheaply which statistics a metric touches."""
        first = slice(0, TRACED_ROWS)
        inputs = self.inputs
        few = {name: array[first] for name, array in inputs.items()} if isinstance(inputs, Mapping) else inputs[first]
        preview = Probe(self.model, few, batch_size=self.batch_size, input_scale=self.input_scale)
        preview.graph = self.graph
        return preview

    def gather(self, kinds: Iterable[type[Collector[object]]]) -> None:
        """Run one pass over the sample for all these statistics that are not there yet."""
        collectors = {kind: kind() for kind in kinds if kind not in self._collected}
        if not collectors:
            return
        collect(self.model, self.graph, self._batches(), list(collectors.values()))
        self._collected.update({kind: collector.result() for kind, collector in collectors.items()})

    def batches(self) -> Iterator[Any]:
        """Yield the sample in batches, as the network takes it: on its device, in its dtype."""
        yield from self._batches()

    def _read(self, kind: type[Collector[object]]) -> Any:
        self.touched.add(kind)
        self.gather([kind])
        return self._collected[kind]

    def _batches(self, rows: int | None = None) -> Iterator[Any]:
        for slab in slabs(self.inputs, 8 * self.batch_size if rows is None else rows):
            count = len(next(iter(slab.values()))) if isinstance(slab, Mapping) else len(slab)
            size = rows or self.batch_size
            for start in range(0, count, size):
                part = slice(start, start + size)
                if isinstance(slab, Mapping):
                    yield {name: self._tensor(array[part]) for name, array in slab.items()}
                else:
                    yield self._tensor(slab[part])

    @cached_property
    def _like(self) -> Tensor:
        """A parameter that tells the network's device and dtype."""
        floating = (parameter for parameter in self.model.parameters() if parameter.is_floating_point())
        return next(floating, torch.zeros(()))

    @cached_property
    def _embeds(self) -> bool:
        return any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in self.model.modules())

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Move rows to the network's device and dtype; images channels-last, which convolutions are faster with."""
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self._like.device)
        if self._embeds and not tensor.is_floating_point():
            return tensor
        layout = torch.channels_last if tensor.dim() == 4 else torch.preserve_format
        tensor = tensor.to(self._like.dtype, memory_format=layout)
        return tensor if self.input_scale is None else tensor * self.input_scale
