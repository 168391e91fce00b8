"""Which numbers of a network belong to which neuron: pure data, no network and no tracing in here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dormancy.arrays import IntArray
from dormancy.errors import UsageError
from dormancy.registry import nearest

__all__ = ["NeuronGraph", "NeuronLayer", "Producer", "Reader"]


@final
@dataclass(frozen=True, eq=False)
class Producer:
    """The weight whose output, after the nonlinearity, is the layer: row ``rows[i]`` belongs to neuron i.

    It is -1 where another producer makes neuron i: the nonlinearity may act on several products side by side. `dim` is
    the dimension of `weight` that counts outputs (0 for Linear and Conv2d). `bias` has the same rows.
    """

    weight: str
    bias: str | None
    rows: IntArray
    dim: int = 0

    @property
    def is_shared(self) -> bool:
        """Whether a row makes more than one neuron, as the two halves of CReLU under one ReLU."""
        held = self.rows[self.rows >= 0]
        return np.unique(held).size < held.size


@final
@dataclass(frozen=True, eq=False)
class Reader:
    """A weight that reads the layer: column j along `dim` reads neuron ``columns[j]``, or another input where it is -1.

    `block` is the half-open range of the other (output) dimension that this map holds for: all of it, save for grouped
    convolutions and fused weights, which have one reader a group.
    """

    weight: str
    dim: int
    columns: IntArray
    block: tuple[int, int]

    def columns_of(self, neurons: IntArray) -> IntArray:
        """Return the positions along `dim` that read any of `neurons`, ascending."""
        return np.flatnonzero(np.isin(self.columns, neurons))


@final
@dataclass(frozen=True, eq=False)
class NeuronLayer:
    """One layer of neurons: the values of one nonlinearity that some weight reads.

    `name` is the name of the module that computes it ("fc1"). `obstacle` says why recycling and pruning are refused;
    scoring always works. `caveat` says why they would also move live neurons. Both are sentences without a full stop.
    `call` is the position of the nonlinearity among the traced operations of one forward pass; `dim` the dimension of
    its output that counts neurons; for a nonlinearity that is written out, `counted` names its last operation ("mul")
    and `call` counts those. `places` are all operations that compute it: a layer that runs several times has several.
    A `penultimate` layer is followed by no other layer on the way to the outputs. `read_at` are the operations at which
    the first weight behind it reads, in which `read_columns` belong to it (-1: to others; None: all may).
    """

    name: str
    size: int
    activation: str
    producers: tuple[Producer, ...]
    readers: tuple[Reader, ...]
    obstacle: str | None
    caveat: str | None
    call: int
    dim: int
    penultimate: bool
    counted: str | None = None
    places: tuple[tuple[str, str, int], ...] = ()
    read_at: tuple[tuple[str, str, int], ...] = ()
    read_columns: IntArray | None = None
    is_inner_state: bool = False

    @property
    def rewritable(self) -> bool:
        """Whether recycling and pruning may touch this layer."""
        return self.obstacle is None


@final
@dataclass(frozen=True, eq=False)
class NeuronGraph:
    """All neuron layers of a network, in the order of the forward pass.

    `warnings` tell of what could not be placed: one sentence for each weight whose outputs may be a layer, and are not.
    """

    layers: tuple[NeuronLayer, ...]
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[NeuronLayer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: str) -> NeuronLayer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise UsageError(f"unknown layer {name!r}{nearest(name, names)}; layers: {', '.join(names)}")

    @property
    def neurons(self) -> int:
        """How many neurons the network has (672 for the Nature CNN)."""
        return sum(layer.size for layer in self.layers)

    def to_dict(self) -> list[dict[str, Any]]:
        """Describe every layer in JSON-able form, without the column maps."""
        return [
            {
                "name": layer.name,
                "neurons": layer.size,
                "activation": layer.activation,
                "producers": [producer.weight for producer in layer.producers],
                "readers": sorted({reader.weight for reader in layer.readers}),
                "obstacle": layer.obstacle,
                "caveat": layer.caveat,
                "penultimate": layer.penultimate,
            }
            for layer in self.layers
        ]
