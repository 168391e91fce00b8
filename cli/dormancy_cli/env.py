"""`dormancy env`: what a bug report needs to say about the machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dormancy._version import __version__
from dormancy.text.jsonable import as_json
from dormancy_cli.shared.options import one_of
from dormancy_cli.shared.processors import cores

__all__ = ["env", "environment"]

PACKAGES = (
    "torch", "numpy", "h5py", "safetensors", "typer", "rich", "pandas", "matplotlib", "jinja2", "gymnasium", "ale-py",
)  # fmt: skip


def env(
    format: Annotated[
        str, typer.Option("--format", metavar="table|json", callback=one_of(["table", "json"]), help="How to print it.")
    ] = "table",
) -> None:
    """Print the versions that belong in a bug report."""
    facts = environment()
    if format == "json":
        typer.echo(as_json({"schema": "dormancy.env/1", **facts}), nl=False)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value}")


def environment() -> dict[str, str]:
    """Name and version of what results depend on, "not installed" where it is missing."""
    import platform

    return {
        "dormancy": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "cores": str(cores()),
        **{name: _version(name) for name in PACKAGES},
        **_torch_facts(),
    }


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _torch_facts() -> dict[str, str]:
    import h5py
    import torch

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "hdf5": h5py.version.hdf5_version,
        "cuda": torch.version.cuda or "not built in",
        "gpus": ", ".join(devices) or "none",
        "torch threads": str(torch.get_num_threads()),
    }
