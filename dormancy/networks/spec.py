"""What a network is, as plain data: the name of an architecture and the options it was built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from torch import nn

from dormancy.errors import UsageError
from dormancy.registry import Registry

__all__ = ["ARCHITECTURES", "NetworkSpec", "build_network"]

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")
"""Every architecture that can be built from a file; each is registered where it is written."""


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
