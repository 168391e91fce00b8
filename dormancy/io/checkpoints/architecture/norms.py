"""Normalisations among named tensors: which layer each belongs to, and on which side of the nonlinearity it stands.

Shapes do not say where that is. The indices of an ``nn.Sequential`` do, since a nonlinearity leaves a gap in them;
elsewhere names and the order of the file say which layer is meant, and it stands before the nonlinearity, as is usual.
What is ambiguous is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, final

from torch import Tensor

from dormancy.errors import ArchitectureUnknown
from dormancy.text.escape import printable

__all__ = ["EPSILON", "Norm", "find_norms", "place_norms"]

Layers = Mapping[str, tuple[int, bool]]
"""For each layer in the file's order: its outputs, and whether it convolves."""

EPSILON = {"layer": 1e-5, "batch": 1e-5}
"""What PyTorch's normalisations add to variances by default."""

_BATCH = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
_LAYER = {"weight", "bias"}


@final
@dataclass(frozen=True)
class Norm:
    """A LayerNorm or BatchNorm: its parameters and buffers by name, and where it stands.

    `told` says how it is known that it stands `behind` the nonlinearity, or before it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: tuple[str, ...]
    before_it: str | None
    eps: float
    behind: bool = False
    told: str = "template: as is usual"

    def options(self) -> dict[str, Any]:
        """Return it as the options of a `StackNetwork` layer name it."""
        where = {"eps": self.eps, "behind": self.behind}
        return {"name": self.name, "kind": self.kind, "shape": list(self.shape), **where}


def find_norms(parameters: Mapping[str, Tensor], epsilon: Mapping[str, float] = EPSILON) -> list[Norm]:
    """Return what normalises, in the file's order, each with the owner of the parameters listed before its own.

    `epsilon` is what each kind adds to variances.
    """
    owners: dict[str, dict[str, Tensor]] = {}
    for name, tensor in parameters.items():
        owner, _, part = name.rpartition(".")
        owners.setdefault(owner, {})[part] = tensor
    found, last = [], None
    for owner, parts in owners.items():
        kind = _kind(parts)
        if owner and kind:
            names = tuple(f"{owner}.{part}" for part in parts)
            found.append(Norm(owner, kind, tuple(parts["weight"].shape), names, last, epsilon[kind]))
        last = owner
    return found


def _kind(parts: Mapping[str, Tensor]) -> str | None:
    shapes = {tuple(tensor.shape) for part, tensor in parts.items() if part != "num_batches_tracked"}
    if len(shapes) != 1 or 0 in next(iter(shapes)):
        return None
    dims = len(shapes.pop())
    if set(parts) == _BATCH and dims == 1 and parts["num_batches_tracked"].dim() == 0:
        return "batch"
    return "layer" if set(parts) == _LAYER and dims in (1, 3) else None


def place_norms(norms: Sequence[Norm], layers: Layers, file: str) -> dict[str, Norm]:
    """Return the normalisation of each layer that has one; raises `ArchitectureUnknown` when one cannot be placed."""
    found: dict[str, Norm] = {}
    for norm in norms:
        owner, placed = _owner(norm, layers, file)
        if owner is None or owner in found or not _fits(norm, *layers[owner]):
            _unknown(norm, file, "cannot be told to which layer it belongs")
        found[owner] = placed
    return found


def _fits(norm: Norm, outputs: int, convolves: bool) -> bool:
    dims = 3 if convolves and norm.kind == "layer" else 1
    return len(norm.shape) == dims and norm.shape[0] == outputs


def _owner(norm: Norm, layers: Layers, file: str) -> tuple[str | None, Norm]:
    container, _, last = norm.name.rpartition(".")
    beside = {int(index): name for name in layers if (index := _index_in(name, container)) is not None}
    if last.isdigit() and beside:
        return _in_sequence(norm, int(last), beside, file)
    parent = container + "." if container else ""
    mates = [name for name in layers if name.startswith(parent) and _digits(name) == _digits(norm.name) is not None]
    fitting = [name for name in mates if _fits(norm, *layers[name])]
    if len(fitting) == 1:
        return fitting[0], norm
    return (norm.before_it if norm.before_it in layers and not mates else None), norm


def _index_in(name: str, container: str) -> str | None:
    owner, _, last = name.rpartition(".")
    return last if owner == container and last.isdigit() else None


def _digits(name: str) -> str | None:
    found = re.search(r"(\d+)$", name)
    return found.group(1) if found else None


def _in_sequence(norm: Norm, index: int, layers: Mapping[int, str], file: str) -> tuple[str | None, Norm]:
    """Tell the side by the gaps that modules without parameters leave between the layers of a sequence."""
    before = max((each for each in layers if each < index), default=None)
    if before is None:
        return None, norm
    after = min((each for each in layers if each > index), default=None)
    gaps = index - before > 1, after is None or after - index > 1
    if gaps == (True, True):
        _unknown(norm, file, "can stand before its nonlinearity as well as behind it")
    if gaps == (False, False):
        _unknown(norm, file, "stands where there is no nonlinearity")
    return layers[before], replace(norm, behind=gaps[0], told="file: indices of the layers")


def _unknown(norm: Norm, file: str, reason: str) -> NoReturn:
    raise ArchitectureUnknown(
        f"{file}: normalisation '{printable(norm.name, 60)}' of shape {norm.shape} {reason}; give the network with "
        "--model package.module:factory, or choose a part with --key"
    )
