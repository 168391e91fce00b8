"""A checkpoint and the sample it is looked at with, opened together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod

import numpy as np
from torch import nn

from dormancy.errors import SampleError, SampleRequired
from dormancy.io.checkpoints.checkpoint import Checkpoint
from dormancy.io.checkpoints.load import load_checkpoint
from dormancy.io.runs.layout import find_sample
from dormancy.io.samples.load import open_foreign_sample
from dormancy.io.samples.sample import ReplaySample
from dormancy.networks import Program, SACNetwork, SequentialNetwork, StackNetwork
from dormancy.text.escape import printable

__all__ = [
    "checkpoint_name",
    "environments_differ",
    "inputs_for",
    "open_pair",
    "require_same_environment",
]


@contextmanager
def open_pair(
    checkpoint: Checkpoint | str | os.PathLike[str], sample: ReplaySample | str | os.PathLike[str] | None
) -> Iterator[tuple[Checkpoint, ReplaySample]]:
    """Read a checkpoint and open its sample; either may be given ready. None takes the sample beside the checkpoint.

    Raises `FileError` and its kin for files that cannot be read, and `SampleRequired` when there is no sample.
    """
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint)
    if isinstance(sample, ReplaySample):
        yield loaded, sample
        return
    with open_foreign_sample(_sample_of(loaded) if sample is None else sample) as opened:
        yield loaded, opened


def _sample_of(checkpoint: Checkpoint) -> os.PathLike[str]:
    found = find_sample(checkpoint.source.path) if checkpoint.source else None
    if found is None:
        raise SampleRequired(f"{checkpoint_name(checkpoint)}: no sample lies beside it; give one with --sample FILE")
    return found


def checkpoint_name(checkpoint: Checkpoint) -> str:
    """Name a checkpoint in a message: its path, where it has one."""
    return printable(checkpoint.source.path) if checkpoint.source else "the checkpoint"


def environments_differ(checkpoint: Checkpoint, sample: ReplaySample) -> bool:
    """Whether both say where they come from, and say different things."""
    there = sample.provenance.get("env_id")
    return bool(checkpoint.env_id and there and _world(there) != _world(checkpoint.env_id))


def require_same_environment(checkpoint: Checkpoint, sample: ReplaySample) -> None:
    """Raise `SampleError` for a sample of another environment: rewriting by it would rewrite the wrong neurons."""
    if environments_differ(checkpoint, sample):
        name = printable(sample.source.path) if sample.source else "the sample"
        raise SampleError(
            f"{name}: a sample of {printable(sample.provenance['env_id'], 60)}, but {checkpoint_name(checkpoint)} was "
            f"trained on {printable(str(checkpoint.env_id), 60)}; give a sample of that environment"
        )


def inputs_for(model: nn.Module, sample: ReplaySample) -> ReplaySample:
    """Return the sample with its actions among the inputs, where `model` is a critic that reads both.

    It is one when it says that it needs actions, or when it takes just as many numbers as observations and actions have
    together. Raises `SampleError` when the sample has no actions of that size, and when its pixels were scaled already:
    the network would scale them once more.
    """
    _require_raw_pixels(model, sample)
    if isinstance(sample.observations, Mapping):
        return sample
    if isinstance(model, Program) and model.takes_actions and sample.actions is not None:
        return replace(sample, observations={"observations": sample.observations, "actions": sample.actions})
    if not isinstance(model, SACNetwork | StackNetwork | SequentialNetwork):
        return sample
    missing = model.actions_needed or model.observation_size - prod(sample.observations.shape[1:])
    size = 0 if sample.actions is None else prod(sample.actions.shape[1:]) if sample.actions.ndim > 1 else 1
    if size == missing and sample.actions is not None:
        return replace(sample, observations={"observations": sample.observations, "actions": sample.actions})
    if model.actions_needed:
        name = printable(sample.source.path) if sample.source else "the sample"
        raise SampleError(f"{name}: this critic reads {missing} numbers of an action a row, the sample has {size}")
    return sample


def _require_raw_pixels(model: nn.Module, sample: ReplaySample) -> None:
    """Raise `SampleError` where pixels that were scaled already would be scaled once more."""
    scale = getattr(model, "input_scale", 1.0)
    observations = sample.observations
    if scale != 1.0 and not isinstance(observations, Mapping) and np.dtype(observations.dtype).kind == "f":
        where = sample.source.path if sample.source else "the sample"
        raise SampleError(
            f"{where}: observations are {observations.dtype}, but this network scales raw pixels by {scale:.4g} "
            "itself; store the sample in uint8"
        )


def _world(env_id: str) -> str:
    """Return what names of one environment have in common: ALE/Pong-v5 and PongNoFrameskip-v4 are both pong."""
    bare = re.sub(r"-v\d+$", "", env_id.rpartition("/")[2])
    return re.sub(r"(NoFrameskip|Deterministic)$", "", bare).lower()
