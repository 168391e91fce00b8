"""What metrics and recyclers look at: a network on observations, every input computed when it is first touched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dormancy.errors import (
    InputError,
    ReferenceRequired,
    ReferenceUnfit,
    SampleError,
    SampleRequired,
    TransitionsRequired,
)
from dormancy.graph import NeuronGraph, trace_neurons
from dormancy.io import ObservationArray, ReplaySample
from dormancy.io.arrays.prefetch import slabs
from dormancy.probing.bootstrap import Plan, Resampled, Resamples
from dormancy.probing.capture import Collector, collect
from dormancy.probing.collectors import AbsoluteMeans, Counts, Deviations, FeatureNorms, Moments, Regions, Spread
from dormancy.probing.gradients import Transitions
from dormancy.probing.gram import GramMatrices, GramMatrix

__all__ = ["Earlier", "Observations", "Probe"]

Observations: TypeAlias = (
    ObservationArray | Tensor | Mapping[str, ObservationArray] | Mapping[str, Tensor] | ReplaySample
)
Inputs: TypeAlias = "ObservationArray | Mapping[str, ObservationArray]"
Earlier: TypeAlias = nn.Module | Callable[[], nn.Module]

BATCH = 64  # where a scan is fastest on a CPU: larger batches fall out of its caches; see docs/performance.md
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


def _earlier(network: Earlier | None) -> nn.Module:
    if network is None:
        raise ReferenceRequired(
            "this tells what has changed since an earlier checkpoint: give a reference (--reference CKPT)"
        )
    if isinstance(network, nn.Module):
        return network
    try:
        return network()
    except InputError as error:
        raise ReferenceUnfit(f"nothing to compare with: {error}") from error


def _rows_of(arrays: Any, rows: slice) -> Any:
    """Slice an array, or every array of a (nested) mapping."""
    if isinstance(arrays, Mapping):
        return {name: _rows_of(each, rows) for name, each in arrays.items()}
    return arrays[rows]


@final
class Probe:
    """A network and a sample; statistics are gathered in one pass over the sample, together where they are known early.

    Deviations from the mean take a second pass, gradients one of their own (forward and backward).

    `model` may be on any device; it is left as it was. `observations` has shape (N, ...) or is a mapping of such arrays
    by keyword argument, or a `ReplaySample`; None allows what needs no sample. Integers are cast to the parameters'
    dtype, unless the network has an embedding. `input_scale` multiplies observations, for networks that do not do so.
    `activations` names nonlinearities that the network writes out, see `dormancy.graph.trace_neurons`.
    `taus` are the thresholds that metrics of dormant shares speak of. `reference` is an earlier network of the same
    shape, for metrics that tell what has changed since; `previous` the one right before in a series, the reference
    where it is not given. Either may be a function that returns it, called when a metric asks.
    """

    def __init__(
        self,
        model: nn.Module,
        observations: Observations | None,
        *,
        batch_size: int = BATCH,
        input_scale: float | None = None,
        taus: tuple[float, ...] = (0.1,),
        reference: Earlier | None = None,
        previous: Earlier | None = None,
        activations: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.input_scale = input_scale
        self.taus = taus
        self.activations = dict(activations or {})
        self.is_preview = False
        self.touched: set[type[Collector[object]]] = set()
        self._reference = reference
        self._previous = reference if previous is None else previous
        self._inputs = None if observations is None else _as_inputs(observations)
        self._sample = observations if isinstance(observations, ReplaySample) else None
        self._collected: dict[type[Collector[object]], Any] = {}
        self._remembered: dict[str, Any] = {}

    @property
    def inputs(self) -> Inputs:
        """The observations; raises `SampleRequired` when there are none."""
        if self._inputs is None:
            raise SampleRequired("this needs observations: give a sample")
        return self._inputs

    @property
    def reference(self) -> nn.Module:
        """The network that all of a series is compared with; raises `ReferenceRequired` when there is none."""
        return _earlier(self._reference)

    @property
    def previous(self) -> nn.Module:
        """The network right before this one in a series; raises `ReferenceRequired` when there is none."""
        return _earlier(self._previous)

    @property
    def rows(self) -> int:
        """How many observations the sample has."""
        inputs = self.inputs
        return len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)

    @cached_property
    def graph(self) -> NeuronGraph:
        """The network's neuron layers, traced on the first rows of the sample."""
        return trace_neurons(self.model, next(iter(self._batches(TRACED_ROWS))), self.activations)

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

    @property
    def moments(self) -> Mapping[str, Spread]:
        """Mean and standard deviation per neuron, by layer: see `Moments`."""
        moments: Mapping[str, Spread] = self._read(Moments)
        return moments

    @property
    def deviations(self) -> Mapping[str, NDArray[np.float64]]:
        """Mean absolute deviation from the mean per neuron, by layer (a second pass): see `Deviations`."""
        deviations: Mapping[str, NDArray[np.float64]] = self._read(Deviations)
        return deviations

    @property
    def regions(self) -> Mapping[str, Counts]:
        """Counts of values at zero, above, below, in the flat ends, not finite, by layer: see `Regions`."""
        counts: Mapping[str, Counts] = self._read(Regions)
        return counts

    @property
    def feature_norms(self) -> Mapping[str, float]:
        """Mean norm of the penultimate layers' feature vectors: see `FeatureNorms`."""
        norms: Mapping[str, float] = self._read(FeatureNorms)
        return norms

    @property
    def resampled(self) -> Mapping[str, Resampled]:
        """Mean absolute activations of bootstrap replicates and random subsets of the sample: see `Resamples`."""
        resampled: Mapping[str, Resampled] = self._read(Resamples)
        return resampled

    @cached_property
    def episodes(self) -> NDArray[np.int64] | None:
        """The episode of every row, numbered from 0, shape (N,); None where the sample does not tell."""
        if self._sample is None or self._sample.episode_ids is None:
            return None
        return np.unique(np.asarray(self._sample.episode_ids), return_inverse=True)[1].astype(np.int64).ravel()

    def preview(self) -> Probe:
        """Return a probe of the first rows, to find out cheaply which statistics a metric touches."""
        preview = Probe(
            self.model,
            self._first_rows(),
            batch_size=self.batch_size,
            input_scale=self.input_scale,
            taus=self.taus,
            reference=self._reference,
            previous=self._previous,
        )
        preview.graph = self.graph
        preview.is_preview = True
        return preview

    def _first_rows(self) -> Observations:
        few: Any = _rows_of(self.inputs, slice(0, TRACED_ROWS))
        return few if self._sample is None else ReplaySample(few, **_rows_of(self._extras(), slice(0, TRACED_ROWS)))

    def gather(self, kinds: Iterable[type[Collector[object]]]) -> None:
        """Gather all these statistics that are not there yet: one pass over the sample, two with `Deviations`."""
        missing = {kind for kind in kinds if kind not in self._collected}
        if Deviations in missing and Moments not in self._collected:
            missing.add(Moments)
        self._gather(missing - {Deviations})
        self._gather(missing & {Deviations})

    def _gather(self, kinds: Iterable[type[Collector[object]]]) -> None:
        collectors = {kind: self._new(kind) for kind in kinds}
        if not collectors:
            return
        collect(self.model, self.graph, self._batches(), list(collectors.values()))
        self._collected.update({kind: collector.result() for kind, collector in collectors.items()})

    def _new(self, kind: type[Collector[object]]) -> Collector[object]:
        if kind is Deviations:
            return Deviations(self._collected[Moments])
        return Resamples(Plan(self.rows, self.episodes)) if kind is Resamples else kind()

    def remember(self, what: str, compute: Callable[[], Any]) -> Any:
        """Return what `compute` gives, computed once: for what several metrics share and no collector can gather."""
        if what not in self._remembered:
            self._remembered[what] = compute()
        return self._remembered[what]

    def batches(self) -> Generator[Any, None, None]:
        """Yield the sample in batches, as the network takes it: on its device, in its dtype."""
        yield from self._batches()

    def rows_at(self, positions: Iterable[int]) -> Iterator[tuple[Any, Transitions | None]]:
        """Yield single rows, in batches of one, with what followed them: see `transition_batches`."""
        inputs, extras = self.inputs, self._transition_arrays
        for position in positions:
            row = slice(position, position + 1)
            yield self._tensors(_rows_of(inputs, row)), self._transitions(_rows_of(extras, row))

    def transition_batches(self) -> Iterator[tuple[Any, Transitions | None]]:
        """Yield the sample in batches together with what followed; None where the sample has no whole transitions."""
        extras, size = self._transition_arrays, self.batch_size
        starts = range(0, self.rows, size)
        for start, inputs in zip(starts, self._batches(), strict=True):
            yield inputs, self._transitions(_rows_of(extras, slice(start, start + size)))

    def next_batches(self) -> Iterator[tuple[Any, Any]]:
        """Yield the sample in batches, each with the next observations, both as the network takes them.

        Raises `TransitionsRequired` when the sample has no next observations, or the network reads actions too: those
        of the next step are in no sample.
        """
        after = self._extras().get("next_observations")
        if after is None:
            raise TransitionsRequired("this needs next observations: give a sample that has /next_observations")
        if isinstance(self.inputs, Mapping) and (not isinstance(after, Mapping) or set(after) != set(self.inputs)):
            names = ", ".join(self.inputs)
            raise TransitionsRequired(
                f"this network takes {names}, and the sample has not all of them for the next step"
            )
        size = self.batch_size
        for start, inputs in zip(range(0, self.rows, size), self._batches(), strict=True):
            yield inputs, self._tensors(_rows_of(after, slice(start, start + size)))

    @property
    def transitions(self) -> Mapping[str, Any]:
        """Actions, rewards, terminations and next observations by those names; empty where one of them is missing."""
        return self._transition_arrays

    @cached_property
    def _transition_arrays(self) -> dict[str, Any]:
        names = ("actions", "rewards", "terminations", "next_observations")
        found = self._extras()
        return {name: found[name] for name in names} if all(name in found for name in names) else {}

    def _extras(self) -> dict[str, Any]:
        """Return all arrays of the sample besides the observations."""
        kept = ("observations", "provenance", "source")
        pairs = vars(self._sample).items() if self._sample is not None else ()
        return {name: value for name, value in pairs if name not in kept and value is not None}

    def _transitions(self, arrays: Mapping[str, Any]) -> Transitions | None:
        if not arrays:
            return None
        numbers = (np.array(arrays[name]) for name in ("rewards", "terminations"))
        rewards, ends = (torch.from_numpy(each).to(self._like) for each in numbers)
        actions = torch.from_numpy(np.array(arrays["actions"])).to(self._like.device)
        return Transitions(self._tensors(arrays["next_observations"]), actions.long(), rewards.view(-1), ends.view(-1))

    def _read(self, kind: type[Collector[object]]) -> Any:
        self.touched.add(kind)
        self.gather([kind])
        return self._collected[kind]

    def _batches(self, rows: int | None = None) -> Iterator[Any]:
        for slab in slabs(self.inputs, 8 * self.batch_size if rows is None else rows):
            count = len(next(iter(slab.values()))) if isinstance(slab, Mapping) else len(slab)
            size = rows or self.batch_size
            for start in range(0, count, size):
                yield self._tensors(_rows_of(slab, slice(start, start + size)))

    def _tensors(self, arrays: Any) -> Any:
        if isinstance(arrays, Mapping):
            return {name: self._tensor(array) for name, array in arrays.items()}
        return self._tensor(arrays)

    @cached_property
    def _like(self) -> Tensor:
        """A parameter that tells the network's device and dtype."""
        floating = (parameter for parameter in self.model.parameters() if parameter.is_floating_point())
        return next(floating, torch.zeros(()))

    @cached_property
    def _embeds(self) -> bool:
        return any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in self.model.modules())

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Move rows to the network's device and dtype."""
        tensor = torch.from_numpy(np.require(array, requirements=("C", "W"))).to(self._like.device)
        if self._embeds and not tensor.is_floating_point():
            return tensor
        tensor = tensor.to(self._like.dtype)
        return tensor if self.input_scale is None else tensor * self.input_scale
