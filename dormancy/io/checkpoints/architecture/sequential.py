"""What the modules of a file say: all of a plain ``nn.Sequential``, else facts that help the templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dormancy.errors import ArchitectureUnknown
from dormancy.io.checkpoints.architecture.infer import Known
from dormancy.io.checkpoints.architecture.module_tree import ModuleNode
from dormancy.io.checkpoints.architecture.norms import EPSILON
from dormancy.networks import MODULES

__all__ = ["facts_of", "first_inputs", "kinds_of", "sequence_of"]

_KINDS = {f"{build.__module__}.{build.__qualname__}": kind for kind, (build, _) in MODULES.items()}
_SEQUENTIAL = "torch.nn.modules.container.Sequential"
_WEIGHTED = ("Linear", "Conv2d")
_ACTIVATIONS = {
    "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "GELU": "gelu", "SiLU": "silu", "Tanh": "tanh",
    "ReLU6": "", "SELU": "", "Mish": "", "Softplus": "", "Sigmoid": "",
}  # fmt: skip
"""Modules that are nonlinearities, by the name that the templates know them under; empty where they do not."""

_SIZES = {
    "in_features", "out_features", "in_channels", "out_channels", "num_features", "num_channels", "normalized_shape",
}  # fmt: skip
LARGEST = 64
"""No published kernel, stride or padding is larger; a padding of a million would take the memory of the machine."""


def sequence_of(node: ModuleNode) -> list[dict[str, Any]] | None:
    """Return the layers of a ``nn.Sequential`` as a `SequentialNetwork` takes them.

    None where something in it, or attached to it, is not a standard module: its forward pass would be a guess.
    """
    layers = _layers(node)
    weighted = layers is not None and any(layer["kind"] in _WEIGHTED for layer in _leaves(layers))
    return layers if weighted else None


def _layers(node: ModuleNode) -> list[dict[str, Any]] | None:
    if node.kind != _SEQUENTIAL or not node.plain or node.tensors:
        return None
    found = [_layer(name, child) for name, child in node.children.items()]
    return [layer for layer in found if layer is not None] if None not in found else None


def _layer(name: str, node: ModuleNode) -> dict[str, Any] | None:
    inner = _layers(node)
    if inner is not None:
        return {"name": name, "kind": "Sequential", "layers": inner}
    kind = _KINDS.get(node.kind)
    if kind is None or not node.plain or node.children:
        return None
    settings = {key: node.settings[key] for key in MODULES[kind][1] if key in node.settings and key != "bias"}
    if any(_too_large(value) for key, value in settings.items() if key not in _SIZES):
        return None
    bias = {"bias": "bias" in node.tensors} if "bias" in MODULES[kind][1] else {}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    return {"name": name, "kind": kind, **plain, **bias}


def _too_large(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return any(type(part) is int and part > LARGEST for part in parts)


def _leaves(layers: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for layer in layers:
        if layer["kind"] == "Sequential":
            yield from _leaves(layer["layers"])
        else:
            yield layer


def first_inputs(layers: Sequence[Mapping[str, Any]]) -> list[int] | None:
    """Return the shape of an observation where the first module is dense, else None."""
    first = next(_leaves(layers))
    inputs = first.get("in_features")
    return [inputs] if first["kind"] == "Linear" and type(inputs) is int else None


def kinds_of(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the kinds of modules in order."""
    return [str(layer["kind"]) for layer in _leaves(layers)]


def facts_of(node: ModuleNode, file: str) -> Known:
    """Return what modules say where their order is not known: the nonlinearity, if one, strides, paddings, epsilons.

    Raises `ArchitectureUnknown` for a nonlinearity or normalisations that no template has.
    """
    named = {name: (_KINDS.get(module.kind, ""), module.settings) for name, module in node.walk()}
    activation = _activation(named.values(), file)
    return Known(
        activation=activation,
        of_convolutions=activation,
        epsilon={**EPSILON, **_epsilons(named.values(), file)},
        geometry={
            name: (settings.get("stride"), settings.get("padding"))
            for name, (kind, settings) in named.items()
            if kind == "Conv2d"
        },
    )


def _activation(modules: Any, file: str) -> tuple[str, str] | None:
    kinds = {kind: settings for kind, settings in modules if kind in _ACTIVATIONS}
    if len(kinds) != 1:
        return None
    ((kind, settings),) = kinds.items()
    usual = settings.get("negative_slope", 0.01) == 0.01 and settings.get("alpha", 1.0) == 1.0
    if not _ACTIVATIONS[kind] or not usual or settings.get("approximate", "none") != "none":
        raise ArchitectureUnknown(
            f"{file}: its nonlinearity is a {kind} as no template has it; give the network with --model "
            "package.module:factory"
        )
    return _ACTIVATIONS[kind], "file: its modules"


def _epsilons(modules: Any, file: str) -> dict[str, float]:
    names = {"LayerNorm": "layer", "BatchNorm1d": "batch", "BatchNorm2d": "batch"}
    found: dict[str, set[float]] = {}
    for kind, settings in modules:
        if kind in names and isinstance(settings.get("eps"), float):
            found.setdefault(names[kind], set()).add(settings["eps"])
    if any(len(each) > 1 for each in found.values()):
        raise ArchitectureUnknown(
            f"{file}: its normalisations have different epsilons; give the network with --model package.module:factory"
        )
    return {kind: each.pop() for kind, each in found.items()}
