"""From parameters and the name of an architecture to a network, at no more cost than the parameters themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from dormancy.errors import ArchitectureUnknown, InputError
from dormancy.networks import ARCHITECTURES, NetworkSpec, build_network
from dormancy.registry import nearest
from dormancy.text.escape import one_line, printable

__all__ = ["rebuild", "refilled"]

_WRONG_OPTIONS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a builder may raise when a file gives it options that make no sense."""


def rebuild(network: NetworkSpec, parameters: Mapping[str, Tensor], name: str) -> nn.Module:
    """Return the network with copies of `parameters`, on the CPU, in evaluation mode; global random state is kept.

    It is built without memory first: a file that asks for layers of a billion neurons does not get them, since its
    parameters do not fit. Raises `ArchitectureUnknown` and `InputError`, whose messages begin with `name`.
    """
    if network.arch not in ARCHITECTURES:
        arch, known = printable(network.arch, 40), list(ARCHITECTURES)
        hint = nearest(network.arch, known)
        raise ArchitectureUnknown(f"{name}: unknown architecture '{arch}'{hint}; known: {', '.join(known)}")
    with torch.random.fork_rng(devices=[]):
        _check_fit(_outline(network, name), parameters, f"{name}: parameters do not fit architecture {network.arch!r}")
        model = build_network(network)
    model.load_state_dict(dict(parameters), strict=True)
    return model.eval()


def refilled(factory: Callable[[], nn.Module], parameters: Mapping[str, Tensor], name: str) -> nn.Module:
    """Return the network that the user's `factory` makes with copies of `parameters`, in evaluation mode.

    Raises `InputError`, whose message begins with `name`, when the parameters do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        model = factory()
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    _check_fit(wanted, parameters, f"{name}: parameters do not fit the network of --model")
    model.load_state_dict(dict(parameters), strict=True)
    return model.cpu().eval()


def _outline(network: NetworkSpec, name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters that the architecture has with these options."""
    try:
        with torch.device("meta"):
            model = build_network(network)
    except _WRONG_OPTIONS as error:
        reason = one_line(error, 200)
        raise InputError(f"{name}: architecture {network.arch!r} cannot be built with its options: {reason}") from error
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def _check_fit(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, Tensor], complaint: str) -> None:
    for key in wanted.keys() | given.keys():
        shown = printable(key, 80)
        if key not in given:
            raise InputError(f"{complaint}: '{shown}' is missing; give the architecture of this file")
        if key not in wanted:
            raise InputError(f"{complaint}: it has no '{shown}'; give the architecture of this file")
        if tuple(given[key].shape) != wanted[key]:
            shapes = f"{tuple(given[key].shape)}, not {wanted[key]}"
            raise InputError(f"{complaint}: the shape of '{shown}' is {shapes}; give the architecture of this file")
