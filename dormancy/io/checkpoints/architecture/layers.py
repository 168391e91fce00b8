"""From named tensors to layers: which are convolutions, which are dense, which belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from torch import Tensor

from dormancy.errors import ArchitectureUnknown
from dormancy.io.checkpoints.architecture.norms import EPSILON, Norm, find_norms, place_norms
from dormancy.io.checkpoints.architecture.templates import NO_NEURONS
from dormancy.text.escape import printable

__all__ = ["Found", "Layer", "find_layers"]


@final
@dataclass(frozen=True)
class Layer:
    """A weight and perhaps a bias, and what normalises it; `kernel` is None for a dense layer, else a square's side."""

    name: str
    inputs: int
    outputs: int
    bias: bool
    kernel: int | None = None
    norm: Norm | None = None

    @property
    def group(self) -> str:
        """The container of a numbered layer ("q_net.0" is in "q_net"), else the layer's own name."""
        container, _, last = self.name.rpartition(".")
        return container if last.isdigit() and container else self.name

    def options(self, activation: str | None) -> dict[str, Any]:
        """Return the layer as the options of a `StackNetwork` name it."""
        shape: dict[str, Any] = {"name": self.name, "inputs": self.inputs, "outputs": self.outputs, "bias": self.bias}
        norm = {"norm": self.norm.options()} if self.norm else {}
        return {**shape, "activation": activation, **norm}


@final
@dataclass(frozen=True)
class Found:
    """The layers of a file in its order, and the names of parameters that belong to no neuron."""

    convolutions: tuple[Layer, ...]
    dense: tuple[Layer, ...]
    beside: tuple[str, ...]

    def groups(self) -> dict[str, list[Layer]]:
        """Return the dense layers by their group, in the file's order."""
        found: dict[str, list[Layer]] = {}
        for layer in self.dense:
            found.setdefault(layer.group, []).append(layer)
        return found

    def seen(self) -> str:
        """Say what was seen, for a message."""
        kernels = ", ".join(str(layer.kernel) for layer in self.convolutions)
        maps = "-".join(str(layer.outputs) for layer in self.convolutions)
        dense = ", ".join(
            f"{printable(group, 30)} {sizes([layers])}" for group, layers in list(self.groups().items())[:6]
        )
        convolutions = [f"convolutions with kernels {kernels} and {maps} maps"] if kernels else []
        return " and ".join([*convolutions, *([f"dense layers {dense}"] if dense else [])]) or "no layers"


def sizes(groups: Sequence[Sequence[Layer]]) -> str:
    """Write the widths of dense layers that follow each other ("4-64-2")."""
    chain = [layer for group in groups for layer in group]
    return "-".join(str(size) for size in [chain[0].inputs, *(layer.outputs for layer in chain)])


def find_layers(parameters: Mapping[str, Tensor], file: str, epsilon: Mapping[str, float] = EPSILON) -> Found:
    """Sort parameters into layers and what normalises them. Raises `ArchitectureUnknown` for those no template has.

    `epsilon` is what each kind of normalisation adds to variances.
    """
    layers = [_layer(name, tensor, parameters) for name, tensor in parameters.items() if tensor.dim() in (2, 4)]
    kept = [layer for layer in layers if layer]
    norms = find_norms(parameters, epsilon)
    known = {f"{layer.name}.{part}" for layer in kept for part in ("weight", "bias")}
    known |= {name for norm in norms for name in norm.parameters}
    rest = [name for name in parameters if name not in known]
    _refuse_odd([name for name in rest if not NO_NEURONS.fullmatch(name)], parameters, file)
    placed = place_norms(norms, {layer.name: (layer.outputs, layer.kernel is not None) for layer in kept}, file)
    kept = [replace(layer, norm=placed.get(layer.name)) for layer in kept]
    convolutions = tuple(layer for layer in kept if layer.kernel is not None)
    return Found(convolutions, tuple(layer for layer in kept if layer.kernel is None), tuple(rest))


def _refuse_odd(names: Sequence[str], parameters: Mapping[str, Tensor], file: str) -> None:
    if names:
        shown = f"'{printable(names[0], 60)}' of shape {tuple(parameters[names[0]].shape)}"
        raise ArchitectureUnknown(
            f"{file}: parameter {shown} belongs to no layer that a template has (dense, convolution with a square "
            "kernel, LayerNorm, BatchNorm); give the network with --model package.module:factory, or choose a part "
            "with --key"
        )


def _layer(name: str, weight: Tensor, parameters: Mapping[str, Tensor]) -> Layer | None:
    owner, _, part = name.rpartition(".")
    if part != "weight" or not owner or 0 in weight.shape or weight.shape[2:3] != weight.shape[3:4]:
        return None
    bias = parameters.get(f"{owner}.bias")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        return None
    return Layer(
        owner, weight.shape[1], weight.shape[0], bias is not None, weight.shape[2] if weight.dim() == 4 else None
    )
