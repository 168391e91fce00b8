"""What convolutions look for and where they find it: filters, and activation maps of chosen neurons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dormancy.activation_maps.images import block_means, grey_frames, image_input
from dormancy.activation_maps.neurons import Choice, Wanted, choose_neurons
from dormancy.errors import SampleError
from dormancy.graph import NeuronGraph, NeuronLayer
from dormancy.io import Checkpoint, ReplaySample
from dormancy.io.arrays.prefetch import slabs
from dormancy.io.pairing import inputs_for, open_pair
from dormancy.metrics import FloatArray
from dormancy.probing.capture import collect
from dormancy.probing.probe import Probe
from dormancy.scanning.result import DormancyScan

__all__ = ["Convolutions", "Filters", "NeuronMaps", "see_convolutions"]

MOST_ROWS = 1024
STRONGEST = 2
QUARTILES = (0.25, 0.5, 0.75)
WIDEST_MAP = 28
SLAB = 512
PIXELS = 4
"""The dimensions of a convolution's values: rows, channels, height, width."""


@final
@dataclass(frozen=True, eq=False)
class Filters:
    """The weights of the first convolution, (neurons, input channels, height, width), by neuron of `layer`."""

    layer: str
    weights: NDArray[np.float32]


@final
@dataclass(frozen=True, eq=False)
class NeuronMaps:
    """One neuron on K observations: |h| at every position, (K, height, width), and its mean over all of them, (K,).

    `rows` are places in the sample: first those that drive this neuron most, `strongest` of them (none where it is
    silent on all), then the typical ones, which all neurons share. Maps of more than 28 pixels a side are averaged over
    blocks.
    """

    choice: Choice
    rows: tuple[int, ...]
    strongest: int
    maps: FloatArray
    means: FloatArray


@final
@dataclass(frozen=True, eq=False)
class Convolutions:
    """The convolutions of one checkpoint: filters, maps, and the observations they were drawn on as grey pictures.

    `frames` holds (height, width) in 0..1 by place in the sample; `typical` are the places that all neurons share.
    """

    filters: Filters | None
    maps: tuple[NeuronMaps, ...]
    frames: Mapping[int, FloatArray]
    typical: tuple[int, ...]


class _RowMeans:
    """Mean |h| over positions of every channel for every row: (rows, neurons) by layer."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        if _is_convolution(layer, values):
            self._parts.setdefault(layer.name, []).append(values.abs().double().mean((2, 3)).cpu())

    def result(self) -> dict[str, FloatArray]:
        return {name: torch.cat(parts).numpy() for name, parts in self._parts.items()}


class _Maps:
    """|h| of some channels of some layers at every position: (rows, channels, height, width) by layer."""

    def __init__(self, wanted: Mapping[str, Sequence[int]]) -> None:
        self._wanted = wanted
        self._parts: dict[str, list[Tensor]] = {}

    def add(self, layer: NeuronLayer, values: Tensor) -> None:
        if channels := self._wanted.get(layer.name):
            self._parts.setdefault(layer.name, []).append(values[:, list(channels)].abs().double().cpu())

    def result(self) -> dict[str, FloatArray]:
        return {name: torch.cat(parts).numpy() for name, parts in self._parts.items()}


def _is_convolution(layer: NeuronLayer, values: Tensor) -> bool:
    """Tell whether a layer's neurons are channels of pictures."""
    return values.dim() == PIXELS and layer.dim == 1


def see_convolutions(
    checkpoint: Checkpoint | str | os.PathLike[str],
    sample: ReplaySample | str | os.PathLike[str] | None,
    scan: DormancyScan,
    *,
    tau: float | None = None,
    wanted: Sequence[Wanted] = (),
) -> Convolutions | None:
    """Look at the convolutions of the checkpoint that `scan` is of; None where it has none, or no pictures as inputs.

    Of every layer the neurons with the lowest scores, those just above `tau` and the most active are looked at, and the
    `wanted` ones. At most 1024 observations are considered, evenly spaced. Raises `UsageError` for a wanted neuron that
    does not exist, and what `scan_checkpoint` raises.
    """
    with open_pair(checkpoint, sample) as (loaded, opened):
        loaded.require_finite()
        model = loaded.build()
        inputs = inputs_for(model, opened)
        if image_input(inputs.observations) is None:
            return None
        kept = _thinned(inputs.observations)
        probe = Probe(model, kept)
        means = _row_means(probe)
        if not means:
            return None
        threshold = scan.taus[0] if tau is None else tau
        choices = choose_neurons([one for one in scan.layers if one.name in means], threshold, wanted)
        picked = _pick_rows(means, choices)
        maps = _maps(probe, kept, choices, picked, means)
        frames = _frames(kept, picked, _newest_last(opened))
        places = _places(len(opened), len(next(iter(means.values()))))
        return _renumbered(Convolutions(_filters(probe.graph, loaded), maps, frames, picked.typical), places)


def _newest_last(sample: ReplaySample) -> bool:
    return int(sample.provenance.get("frame_stack", "0") or 0) > 1


def _places(rows: int, kept: int) -> list[int]:
    return [int(place) for place in np.linspace(0, rows - 1, kept).round()] if kept < rows else list(range(rows))


def _thinned(observations: Any) -> Any:
    """Return at most `MOST_ROWS` rows, evenly spaced, in memory."""
    array = next(iter(observations.values())) if isinstance(observations, Mapping) else observations
    places = np.array(_places(len(array), min(MOST_ROWS, len(array))))
    parts, start = [], 0
    for slab in slabs(observations, SLAB):
        size = len(next(iter(slab.values()))) if isinstance(slab, Mapping) else len(slab)
        parts.append(_rows(slab, places[(places >= start) & (places < start + size)] - start))
        start += size
    if isinstance(observations, Mapping):
        return {name: np.concatenate([part[name] for part in parts]) for name in observations}
    return np.concatenate(parts)


def _rows(arrays: Any, places: NDArray[np.int64]) -> Any:
    if isinstance(arrays, Mapping):
        return {name: each[places] for name, each in arrays.items()}
    return arrays[places]


def _row_means(probe: Probe) -> dict[str, FloatArray]:
    collector = _RowMeans()
    collect(probe.model, probe.graph, probe.batches(), [collector])
    return collector.result()


@final
@dataclass(frozen=True)
class _Picked:
    """The rows that are drawn: by layer and neuron those that drive it most, and the typical ones."""

    strongest: Mapping[tuple[str, int], tuple[int, ...]]
    typical: tuple[int, ...]

    @property
    def rows(self) -> list[int]:
        """Every row that is needed, once."""
        return sorted({*self.typical, *(row for rows in self.strongest.values() for row in rows)})


def _typical(means: Mapping[str, FloatArray]) -> tuple[int, ...]:
    """Return the rows at the quartiles of how active all layers together are, each relative to its own mean."""
    relative = [each.mean(axis=1) / (each.mean() or 1.0) for each in means.values()]
    order = np.argsort(np.nan_to_num(np.sum(relative, axis=0)), kind="stable")
    return tuple(dict.fromkeys(int(order[round(part * (order.size - 1))]) for part in QUARTILES))


def _pick_rows(means: Mapping[str, FloatArray], choices: Sequence[Choice]) -> _Picked:
    found = {}
    for one in choices:
        strengths = np.nan_to_num(means[one.layer][:, one.neuron])
        _, first = np.unique(-strengths, return_index=True)  # equal strengths are the same observation once more
        found[one.layer, one.neuron] = tuple(int(row) for row in first[:STRONGEST] if strengths[row] > 0)
    return _Picked(found, _typical(means))


def _maps(
    probe: Probe, kept: Any, choices: Sequence[Choice], picked: _Picked, means: Mapping[str, FloatArray]
) -> tuple[NeuronMaps, ...]:
    """Run the network once more on the picked rows alone, and keep the chosen channels."""
    channels: dict[str, list[int]] = {}
    for one in choices:
        channels.setdefault(one.layer, []).append(one.neuron)
    collector = _Maps(channels)
    few = Probe(probe.model, _rows(kept, np.array(picked.rows)), input_scale=probe.input_scale)
    collect(probe.model, probe.graph, few.batches(), [collector])
    return tuple(_neuron_maps(collector.result(), channels, one, picked, means) for one in choices)


def _neuron_maps(
    values: Mapping[str, FloatArray],
    channels: Mapping[str, Sequence[int]],
    choice: Choice,
    picked: _Picked,
    means: Mapping[str, FloatArray],
) -> NeuronMaps:
    strongest = picked.strongest[choice.layer, choice.neuron]
    rows = (*strongest, *picked.typical)
    places = [picked.rows.index(row) for row in rows]
    maps = values[choice.layer][places, channels[choice.layer].index(choice.neuron)]
    return NeuronMaps(
        choice, rows, len(strongest), block_means(maps, WIDEST_MAP), means[choice.layer][list(rows), choice.neuron]
    )


def _frames(kept: Any, picked: _Picked, newest_last: bool) -> dict[int, FloatArray]:
    image = image_input(kept)
    if image is None:
        raise SampleError("the sample has no pictures")
    grey = grey_frames(np.asarray(image[:])[picked.rows], newest_last)
    return dict(zip(picked.rows, grey, strict=True))


def _renumbered(found: Convolutions, places: Sequence[int]) -> Convolutions:
    """Name rows by their places in the whole sample."""
    maps = tuple(
        NeuronMaps(one.choice, tuple(places[row] for row in one.rows), one.strongest, one.maps, one.means)
        for one in found.maps
    )
    frames = {places[row]: frame for row, frame in found.frames.items()}
    return Convolutions(found.filters, maps, frames, tuple(places[row] for row in found.typical))


def _first_weights(graph: NeuronGraph, checkpoint: Checkpoint) -> Iterator[Filters]:
    """Give the filters of every layer whose neurons are rows of one convolution's weight."""
    for layer in graph:
        for producer in layer.producers:
            weight = checkpoint.parameters.get(producer.weight)
            if weight is not None and weight.dim() == PIXELS and producer.dim == 0:
                yield Filters(layer.name, weight.detach().float().cpu().numpy()[producer.rows])


def _filters(graph: NeuronGraph, checkpoint: Checkpoint) -> Filters | None:
    return next(_first_weights(graph, checkpoint), None)
