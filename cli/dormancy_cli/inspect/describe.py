"""What a checkpoint or a sample holds, as plain data: the substance of `dormancy inspect`."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dormancy.errors import ArchitectureUnknown, InputError, KeyNeeded

if TYPE_CHECKING:
    from torch import Tensor

    from dormancy.io import Checkpoint, Hints, ReplaySample
    from dormancy.networks import NetworkSpec

__all__ = ["describe"]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def describe(path: Path, hints: Hints | None = None) -> dict[str, Any]:
    """Describe one file in JSON-able form, told by its content: `kind` is "sample" or "checkpoint".

    A checkpoint that cannot be placed gets a partial sheet: ``complete`` is False, and ``networks`` tells of each what
    is missing. Raises `FileError` when it cannot be read and `FormatError` when it is of no known kind.
    """
    from dormancy.io import load_checkpoint, open_sample, require_regular_file

    file = require_regular_file(path)
    with file.open("rb") as stream:
        is_sample = stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    size = {"path": str(path), "bytes": file.stat().st_size}
    if not is_sample:
        try:
            loaded = load_checkpoint(path, hints)
        except (ArchitectureUnknown, KeyNeeded) as error:
            return {"kind": "checkpoint", **size, **_survey(path, hints, error)}
        return {"kind": "checkpoint", **size, **_checkpoint(path, loaded, hints)}
    with open_sample(path) as sample:
        return {"kind": "sample", **size, **_sample(sample)}


def _survey(path: Path, hints: Hints | None, error: InputError) -> dict[str, Any]:
    """Describe what can be said of a file that does not say, or not alone, what its network is."""
    from dormancy.io import Hints, survey_checkpoint

    survey = survey_checkpoint(path, hints)
    networks = [
        {
            "key": found.key,
            "parameters": [_tensor(name, tensor) for name, tensor in found.parameters.items()],
            "missing": found.missing,
            "command": f"dormancy scan {path}{_flags(replace(hints or Hints(), key=found.key or None))}",
        }
        for found in survey.networks
    ]
    return {
        "format": survey.source.format,
        "sha256": survey.source.sha256,
        "complete": False,
        "networks": networks,
        "not_read": survey.beside,
        "missing": [str(error)],
    }


def _flags(hints: Hints | None) -> str:
    """Return the flags that say what the hints say, each behind a space."""
    if hints is None:
        return ""
    names = ("key", "arch", "activation", "input_scale", "layout", "model")
    said = [(name.replace("_", "-"), getattr(hints, name)) for name in names]
    flags = [f" --{name} {shlex.quote(str(value))}" for name, value in said if value is not None]
    return "".join([*flags, *([" --trust"] if hints.trust else [])])


def _checkpoint(path: Path, checkpoint: Checkpoint, hints: Hints | None) -> dict[str, Any]:
    from dormancy.io import find_sample

    sample = find_sample(path)
    layers, problem = _layers(checkpoint, sample)
    return {
        **_source(checkpoint),
        "complete": True,
        "arch": checkpoint.network.arch,
        "arch_kwargs": dict(checkpoint.network.options),
        "agent_step": checkpoint.agent_step,
        "gradient_step": checkpoint.gradient_step,
        "env_id": checkpoint.env_id,
        "parameters": [_tensor(name, tensor) for name, tensor in checkpoint.parameters.items()],
        "optimizer": {name: sorted(state) for name, state in checkpoint.optimizer.items()},
        "metadata": dict(checkpoint.metadata),
        "assumptions": [vars(assumption) for assumption in checkpoint.assumptions],
        "sample": str(sample) if sample else None,
        "layers": layers,
        "missing": list(_missing(path, sample, problem, _flags(hints))),
    }


def _source(holder: Checkpoint | ReplaySample) -> dict[str, Any]:
    source = holder.source
    return {"format": source.format, "sha256": source.sha256} if source else {}


def _tensor(name: str, tensor: Tensor) -> dict[str, Any]:
    nonfinite = int((~tensor.isfinite()).sum())
    return {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype), "nonfinite": nonfinite}


def _layers(checkpoint: Checkpoint, sample: Path | None) -> tuple[list[dict[str, Any]], str | None]:
    """Trace the network on the first rows of its sample, or on zeros; a network that refuses says why."""
    from dormancy.graph import trace_neurons

    try:
        return trace_neurons(checkpoint.build(), _example(checkpoint.network, sample)).to_dict(), None
    except InputError as error:
        return [], str(error)


def _example(network: NetworkSpec, sample: Path | None) -> Any:
    import torch

    from dormancy.io import open_sample

    actions = network.options.get("actions")
    if sample is None:
        rows = torch.zeros(2, *_input_shape(network))
        return {"observations": rows, "actions": torch.zeros(2, actions)} if actions else rows
    with open_sample(sample) as opened:
        observations = opened.observations
        if isinstance(observations, Mapping):
            return {name: torch.as_tensor(rows[0:2]) for name, rows in observations.items()}
        first = torch.as_tensor(observations[0:2])
        if actions and opened.actions is not None:
            return {"observations": first, "actions": torch.as_tensor(opened.actions[0:2])}
        return first


def _input_shape(network: NetworkSpec) -> list[int]:
    """Ask the builder: an option that the file leaves out has the builder's default."""
    from dormancy.networks import ARCHITECTURES

    if "observation_shape" in network.options and network.arch not in ARCHITECTURES:
        return [int(size) for size in network.options["observation_shape"]]
    if network.arch not in ARCHITECTURES:
        raise InputError(f"'{network.arch}' does not say what it takes; give a sample")
    builder = inspect.signature(ARCHITECTURES[network.arch]).bind_partial(**network.options)
    builder.apply_defaults()
    shape = builder.arguments.get("observation_shape") or [builder.arguments.get("inputs")]
    if None in shape:
        raise InputError(f"architecture {network.arch!r} does not say what it takes; give a sample")
    return [int(size) for size in shape]


def _missing(path: Path, sample: Path | None, problem: str | None, flags: str) -> Iterator[str]:
    if problem:
        yield f"its network cannot be traced: {problem}"
    if sample is None:
        yield f"no sample lies with it: dormancy scan {path}{flags} --sample FILE.h5"


def _sample(sample: ReplaySample) -> dict[str, Any]:
    arrays = dict(_arrays(sample))
    return {
        **_source(sample),
        "rows": len(sample),
        "arrays": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()},
        "provenance": dict(sample.provenance),
    }


ARRAYS = (
    "observations", "actions", "rewards", "terminations", "truncations", "next_observations", "episode_ids", "steps",
)  # fmt: skip


def _arrays(sample: ReplaySample) -> Iterator[tuple[str, Any]]:
    for name in ARRAYS:
        value = getattr(sample, name)
        if isinstance(value, Mapping):
            yield from ((f"{name}/{key}", array) for key, array in value.items())
        elif value is not None:
            yield name, value
