"""What the user says of a foreign checkpoint: it outranks what the file and the templates say, and is recorded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import nn

from dormancy.errors import UsageError
from dormancy.text.escape import one_line, printable

__all__ = ["Hints", "user_factory"]


@final
@dataclass(frozen=True)
class Hints:
    """Answers to what a file may not say; None leaves it to the file and the templates.

    `key` names the network in a file that holds several. `arch` is the name of a template, `activation` the
    nonlinearity of the dense layers, `input_scale` what raw observations are multiplied by, `layout` the order in which
    feature maps are flattened ("chw" or "hwc"). `model` is ``package.module:factory``, code of the user's own that
    returns the network; it takes no arguments. `trust` allows files that are programs to run.
    """

    key: str | None = None
    arch: str | None = None
    activation: str | None = None
    input_scale: float | None = None
    layout: str | None = None
    model: str | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        if self.model and any(part is not None for part in (self.arch, self.activation, self.layout, self.input_scale)):
            raise UsageError("--model gives the whole network; leave out --arch, --activation, --input-scale, --layout")


def user_factory(name: str) -> Callable[[], nn.Module]:
    """Return the factory that ``package.module:factory`` names. It is imported: only the user may say its name.

    Raises `UsageError` when there is no such module or factory.
    """
    module, _, attribute = name.partition(":")
    shown = printable(name, 80)
    if not module or not attribute.isidentifier():
        raise UsageError(f"--model {shown}: write package.module:factory")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"--model {shown}: {one_line(error)}; is its folder on PYTHONPATH?") from error
    if not callable(found):
        raise UsageError(f"--model {shown}: is a {type(found).__name__}, not something that returns a network")

    def build() -> nn.Module:
        model = found()
        if not isinstance(model, nn.Module):
            raise UsageError(f"--model {shown}: returned a {type(model).__name__}, not a torch.nn.Module")
        return model

    return build
