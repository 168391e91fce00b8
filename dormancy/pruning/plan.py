"""What pruning would do, as plain data: which neurons go, which are refused, and every write it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

from dormancy.edits.edit import Edit
from dormancy.errors import UsageError
from dormancy.graph import IntArray
from dormancy.registry import nearest

__all__ = ["Cut", "LayerPruning", "Mode", "PrunePlan"]

Mode: TypeAlias = Literal["mask", "remove"]
"""Zero what reads a neuron ("mask"), or take the neuron out and make the network narrower ("remove")."""


@final
@dataclass(frozen=True, eq=False)
class Cut:
    """One cut: positions `index` (ascending) along dimension `dim` of a parameter or buffer are taken out."""

    tensor: str
    dim: int
    index: IntArray

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {"tensor": self.tensor, "dim": self.dim, "positions": self.index.tolist()}


@final
@dataclass(frozen=True, eq=False)
class LayerPruning:
    """What is to happen to one layer: the neurons to prune (ascending), or why it is left alone.

    `chosen` counts the neurons that were asked for; `refused` says why none of them is pruned. In a plan of mode
    "remove", `unnarrowed` says why the neurons of this layer are only masked. `inexact` says why pruning even a silent
    neuron of it moves the outputs; such layers are refused unless that was allowed.
    """

    name: str
    size: int
    neurons: IntArray
    chosen: int
    refused: str | None = None
    unnarrowed: str | None = None
    inexact: str | None = None

    @property
    def pruned(self) -> int:
        """How many neurons are to be pruned."""
        return int(self.neurons.size)

    @property
    def share(self) -> float:
        """The pruned share of the layer."""
        return self.pruned / self.size

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {
            "name": self.name,
            "neurons": self.size,
            "chosen": self.chosen,
            "pruned": self.neurons.tolist(),
            "refused": self.refused,
            "masked_only": self.unnarrowed,
            "inexact": self.inexact,
        }

    def __str__(self) -> str:
        notes = {"refused": self.refused, "masked only": self.unnarrowed, "not exact": self.inexact}
        note = next((f"{kind}: {reason}" for kind, reason in notes.items() if reason is not None), "")
        return f"{self.name:<20} {self.pruned:>6} of {self.size:<6} {100 * self.share:5.1f} %  {note}".rstrip()


@final
@dataclass(frozen=True, eq=False)
class PrunePlan:
    """Every write that pruning would make: `edits` zero columns, `cuts` take slices out. Nothing has happened yet.

    `layers` are all neuron layers of the network, in the order of the forward pass. A plan can be printed, described
    with `to_dict`, applied by `prune`, or thrown away.
    """

    mode: Mode
    layers: tuple[LayerPruning, ...]
    edits: tuple[Edit, ...]
    cuts: tuple[Cut, ...]

    def __iter__(self) -> Iterator[LayerPruning]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> LayerPruning:
        found = {layer.name: layer for layer in self.layers}
        if name not in found:
            raise UsageError(f"the plan has no layer {name!r}{nearest(name, list(found))}; layers: {', '.join(found)}")
        return found[name]

    @property
    def pruned(self) -> int:
        """How many neurons are to be pruned."""
        return sum(layer.pruned for layer in self.layers)

    @property
    def chosen(self) -> int:
        """How many neurons were asked for, those of refused layers included."""
        return sum(layer.chosen for layer in self.layers)

    @property
    def neurons(self) -> int:
        """How many neurons the network has."""
        return sum(layer.size for layer in self.layers)

    @property
    def share(self) -> float:
        """The share of all neurons that is to be pruned."""
        return self.pruned / self.neurons if self.neurons else 0.0

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many neurons each layer will have; masking leaves them where they are."""
        narrowed = self.mode == "remove"
        return {
            layer.name: layer.size - (layer.pruned if narrowed and layer.unnarrowed is None else 0)
            for layer in self.layers
        }

    @property
    def refused(self) -> Mapping[str, str]:
        """Why each layer that is left alone although neurons of it were chosen is left alone, by name."""
        return {layer.name: layer.refused for layer in self.layers if layer.refused is not None}

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form; the edits follow from the layers and are left out."""
        return {
            "mode": self.mode,
            "neurons": self.neurons,
            "chosen": self.chosen,
            "pruned": self.pruned,
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def __str__(self) -> str:
        total = f"{'network':<20} {self.pruned:>6} of {self.neurons:<6} {100 * self.share:5.1f} %"
        return "\n".join([*(str(layer) for layer in self.layers), total])
