"""What a network is, as plain data: the name of an architecture and the options it was built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from torch import nn

from dormancy.errors import RewriteRefused, UsageError
from dormancy.registry import Registry

__all__ = ["ARCHITECTURES", "RESIZERS", "NetworkSpec", "Resizer", "build_network", "resized"]

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")
"""Every architecture that can be built from a file; each is registered where it is written."""

Resizer = Callable[[Mapping[str, Any], Mapping[str, int]], Mapping[str, Any]]
RESIZERS: Registry[Resizer] = Registry("architecture with sizes of its own")
"""For an architecture whose layers may have any sizes: (options, neurons by layer) to the options that build it so."""


@final
@dataclass(frozen=True)
class NetworkSpec:
    """An architecture by name and the JSON-able keyword arguments of its builder."""

    arch: str
    options: Mapping[str, Any] = field(default_factory=dict)


def build_network(spec: NetworkSpec) -> nn.Module:
    """Build a freshly initialised network.

    Raises `UsageError` for an unknown architecture and for options that it does not take.
    """
    builder = ARCHITECTURES[spec.arch]
    try:
        return builder(**spec.options)
    except TypeError as error:
        raise UsageError(f"architecture {spec.arch!r} does not take these options: {error}") from error


def resized(spec: NetworkSpec, sizes: Mapping[str, int]) -> NetworkSpec:
    """Return the spec of the same network with ``sizes[layer]`` neurons in each layer; all of its layers are named.

    Raises `RewriteRefused` for an architecture that cannot be built with sizes of its own.
    """
    if spec.arch not in RESIZERS:
        known = ", ".join(RESIZERS)
        raise RewriteRefused(
            f"architecture {spec.arch!r} cannot be built with arbitrary layer sizes (only {known} can): "
            "prune it with --mode mask"
        )
    return NetworkSpec(spec.arch, dict(RESIZERS[spec.arch](spec.options, sizes)))
