"""The options that several commands share, and checks that answer a wrong value with the right one."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dormancy.errors import UsageError
from dormancy.registry import nearest

if TYPE_CHECKING:
    from dormancy.io import Hints

__all__ = [
    "Activation",
    "ActivationsAt",
    "Arch",
    "Batch",
    "Device",
    "Force",
    "InputScale",
    "Key",
    "Layers",
    "Layout",
    "Metrics",
    "Model",
    "Output",
    "Quiet",
    "Sample",
    "Taus",
    "Trust",
    "Verbose",
    "check_confidence",
    "check_tau",
    "hints",
    "one_of",
]

DEVICES = ["cpu", "cuda", "cuda:0", "mps"]


def one_of(known: Sequence[str]) -> Callable[[str | None], str | None]:
    """Make a check that an option's value is one of `known`; the error names the nearest one."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"{value!r} is not known{nearest(value, list(known))}; choose {', '.join(known)}")
        return value

    return check


def check_tau(value: float) -> float:
    """Check that a threshold is one."""
    if not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(f"tau is a score, 0 or more, not {value:g}")
    return value


def _check_taus(values: list[float] | None) -> list[float] | None:
    for tau in values or []:
        check_tau(tau)
    return values


def check_confidence(value: float | None) -> float | None:
    """Check that a confidence is one; a share of 95 is a slip for .95."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"confidence lies between 0 and 1, not {value:g}; write 0.95")
    return value


def _check_device(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", value):
        raise typer.BadParameter(f"{value!r} is no device{nearest(value, DEVICES)}; choose cpu, cuda, cuda:N or mps")
    return value


def _check_layers(value: str | None) -> str | None:
    try:
        re.compile(value or "")
    except re.error as error:
        raise typer.BadParameter(f"{value!r} is not a regular expression: {error}") from error
    return value


def _check_places(values: list[str] | None) -> list[str] | None:
    for value in values or []:
        place, equals, name = value.partition("=")
        if not (place and equals and name):
            raise typer.BadParameter(f"{value!r}: write PLACE=NAME, such as net.mul=glu")
    return values


def _split(values: list[str] | None) -> list[str] | None:
    return [name for value in values for name in value.split(",") if name] if values else None


def require_device(device: str | None) -> None:
    """Raise `UsageError` when this machine or this build of torch does not have the device."""
    if device is None or device == "cpu":
        return
    import torch

    module = torch.cuda if device.startswith("cuda") else torch.backends.mps
    if not module.is_available():
        raise UsageError(f"--device {device}: torch {torch.__version__} finds no such device here; use --device cpu")


def hints(
    key: str | None,
    arch: str | None,
    activation: str | None,
    input_scale: float | None,
    layout: str | None,
    model: str | None,
    *,
    trust: bool = False,
) -> Hints | None:
    """Return what was said of foreign checkpoints, None when nothing was; the user's own folder can be imported."""
    said = (key, arch, activation, input_scale, layout, model)
    if all(part is None for part in said) and not trust:
        return None
    from dormancy.io import Hints

    if model is not None and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return Hints(*said, trust=trust)


Taus = Annotated[
    list[float] | None,
    typer.Option(
        "--tau", "-t", metavar="TAU", callback=_check_taus,
        help="Threshold: a neuron with score <= TAU is dormant. Repeatable; the first one gates. Default: 0.1.",
    ),
]  # fmt: skip
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics", "-m", metavar="NAME,...", callback=_split, help="Measure these, or all; default: all cheap ones."
    ),
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", metavar="REGEX", callback=_check_layers, help="Only layers whose name matches."),
]
Sample = Annotated[
    Path | None,
    typer.Option("--sample", "-s", metavar="FILE", help="Observations (.h5); default: the sample beside a checkpoint."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="DEVICE", callback=_check_device, help="cpu, cuda, cuda:N or mps; default: cpu."),
]
Batch = Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Observations per forward pass.")]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="NAME", help="Which network of a file that holds several (actor, critic)."),
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", metavar="NAME", help="Its architecture, where the file does not say: nature, mlp."),
]
Activation = Annotated[
    str | None,
    typer.Option("--activation", metavar="NAME", help="Its nonlinearity, where the file does not say: relu."),
]
ActivationsAt = Annotated[
    list[str] | None,
    typer.Option(
        "--activation-at", metavar="PLACE=NAME", callback=_check_places,
        help="Score here, too: a module's output, or an operation in it (net.mul=glu). Repeatable.",
    ),
]  # fmt: skip
InputScale = Annotated[
    float | None,
    typer.Option("--input-scale", metavar="X", help="What raw observations are multiplied by (0.00392157: 1/255)."),
]
Layout = Annotated[
    str | None, typer.Option("--layout", metavar="chw|hwc", help="In what order feature maps are flattened.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="PKG.MODULE:FACTORY", help="Your own code that makes the network; it is run."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run files that are programs: TorchScript and .pt2, of people you trust.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of standard output.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite what exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no warnings, only errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more: assumptions, versions and hashes.")]
