"""Our own checkpoint file: tensors plus JSON-able metadata, which torch opens with ``weights_only=True``.

The content is one dict with these keys: ``format`` ("dormancy.checkpoint"), ``version`` ("1.0"), ``arch``,
``arch_kwargs``, ``state_dict``, ``optimizer`` (state by parameter name), ``agent_step``, ``gradient_step``, ``env_id``,
``input_scale``, ``activation`` (both as in effect, defaults included) and ``metadata``.
"""

from __future__ import annotations

import inspect
import operator
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from dormancy.errors import FormatError, OutputError, UnsafeFileError, UsageError
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.files import atomic_path, why_unwritable
from dormancy.io.safety.json_values import plain_json
from dormancy.io.safety.torch_load import DTYPES, check_guarded
from dormancy.networks import ARCHITECTURES, NetworkSpec
from dormancy.text.escape import printable

__all__ = ["FORMAT", "VERSION", "NativeReader", "save_checkpoint"]

FORMAT = "dormancy.checkpoint"
VERSION = "1.0"

_IN_EFFECT = ("input_scale", "activation")
"""Options that change every number: written beside the others, even where the network's default was used."""


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint, *, force: bool = False) -> Path:
    """Write `checkpoint` to `path` in one step, the whole file or nothing, and return the path.

    Tensors are written as dense CPU copies with storages of their own. Equal checkpoints give equal bytes. `source` and
    `assumptions` are not written: they say where a checkpoint was read from. Raises `UsageError` for what the format
    does not hold (sparse tensors, metadata that is not JSON-able), and `OutputError` when the file exists and `force`
    is not given, or when it cannot be written.
    """
    content = _interned(_encoded(checkpoint))
    with atomic_path(path, force) as temporary:
        try:
            # A stream, not a path: torch would write the temporary name into the file.
            with temporary.open("wb") as stream:
                torch.save(content, stream)
        except RuntimeError as error:  # torch's own complaint about what its stream met
            raise OutputError(why_unwritable(path, error)) from error
        _check_readable(temporary, path)
    return Path(path)


def _check_readable(temporary: Path, path: str | os.PathLike[str]) -> None:
    """Put the new file through the guard before it gets its name: what was saved can be read, or the old file stays."""
    with temporary.open("rb") as stream:
        try:
            check_guarded(stream, path)
        except UnsafeFileError as error:
            raise UsageError(f"this checkpoint could not be read again: {error}") from error


def _encoded(checkpoint: Checkpoint) -> dict[str, Any]:
    network = checkpoint.network
    return {
        "format": FORMAT,
        "version": VERSION,
        "arch": network.arch,
        "arch_kwargs": plain_json(network.options, "arch_kwargs"),
        "state_dict": {_name(name): _owned(name, tensor) for name, tensor in checkpoint.parameters.items()},
        "optimizer": {_name(name): _owned_state(name, state) for name, state in checkpoint.optimizer.items()},
        "agent_step": _step(checkpoint.agent_step),
        "gradient_step": _step(checkpoint.gradient_step),
        "env_id": None if checkpoint.env_id is None else _name(checkpoint.env_id),
        **{option: plain_json(_in_effect(network, option), option) for option in _IN_EFFECT},
        "metadata": plain_json(checkpoint.metadata, "metadata"),
    }


def _step(step: int | None) -> int | None:
    try:
        count = None if step is None else operator.index(step)
    except TypeError as error:
        raise UsageError(f"a step is a whole number, not {printable(step, 40)}") from error
    if count is not None and count < 0:
        raise UsageError(f"a step counts from 0, not {count}")
    return count


def _name(name: str) -> str:
    if not isinstance(name, str):
        raise UsageError(f"{printable(name, 60)} is not a name: a checkpoint has parameters by name, and an env id")
    return str(name)


def _in_effect(network: NetworkSpec, option: str) -> Any:
    """Return the option as given, else the default of the architecture, else None."""
    if option in network.options or network.arch not in ARCHITECTURES:
        return network.options.get(option)
    known = inspect.signature(ARCHITECTURES[network.arch]).parameters.get(option)
    return None if known is None or known.default is inspect.Parameter.empty else known.default


def _owned(name: str, tensor: Tensor) -> Tensor:
    """Return a dense CPU copy with a storage of its own: torch writes whole storages, however small the view."""
    if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided or tensor.is_meta:
        raise UsageError(f"'{printable(name)}' is not a dense tensor with values; convert it before saving")
    if tensor.dtype not in DTYPES:
        raise UsageError(f"'{printable(name)}' has the type {tensor.dtype}, which no network here computes with")
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())


def _owned_state(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _name(key): _owned(f"{name} {key}", value)
        if isinstance(value, Tensor)
        else plain_json(value, f"optimizer state {key} of {name}")
        for key, value in state.items()
    }


def _interned(value: Any) -> Any:
    """Make equal strings one object, which pickle then writes once: equal content gives equal bytes."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, list):
        return [_interned(item) for item in value]
    if isinstance(value, dict):
        return {_interned(key): _interned(item) for key, item in value.items()}
    return value


@final
class NativeReader:
    """Reads what `save_checkpoint` writes."""

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it is a torch zip that says it is ours."""
        content = candidate.content if candidate.is_plain else None
        return isinstance(content, dict) and content.get("format") == FORMAT

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read it; raises `FormatError` when keys are missing or wrong, or when a later version wrote it."""
        fields = _Fields(candidate.content, printable(candidate.path))
        fields.check_version()
        return Checkpoint(
            network=NetworkSpec(fields.get("arch", str), fields.json("arch_kwargs")),
            parameters=fields.tensors("state_dict"),
            optimizer=fields.optimizer(),
            agent_step=fields.step("agent_step"),
            gradient_step=fields.step("gradient_step"),
            env_id=fields.get("env_id", str, type(None)),
            metadata=fields.json("metadata"),
            assumptions=fields.in_effect(),
            source=candidate.source(FORMAT),
        )

    def networks(self, candidate: Candidate) -> dict[str, dict[str, Tensor]]:
        """Return the parameters of its network."""
        return {"": _Fields(candidate.content, printable(candidate.path)).tensors("state_dict")}


@final
class _Fields:
    """The keys of a checkpoint file, each checked as it is taken."""

    def __init__(self, content: Mapping[Any, Any], file: str) -> None:
        self.content = content
        self.file = file

    def get(self, key: str, *kinds: type) -> Any:
        if key not in self.content:
            raise FormatError(f"{self.file}: a checkpoint without {key!r}; save it again with save_checkpoint")
        value = self.content[key]
        if type(value) not in kinds:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise FormatError(f"{self.file}: {key!r} is a {type(value).__name__}, not {wanted}; save it again")
        return value

    def check_version(self) -> None:
        version = self.get("version", str)
        if version.partition(".")[0] != VERSION.partition(".")[0]:
            raise FormatError(
                f"{self.file}: checkpoint version '{printable(version, 20)}', {VERSION!r} is read here; update dormancy"
            )

    def json(self, key: str) -> dict[str, Any]:
        try:
            checked: dict[str, Any] = plain_json(self.get(key, dict), key)
        except UsageError as error:
            raise FormatError(f"{self.file}: {error}") from error
        return checked

    def tensors(self, key: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.get(key, dict)
        for name, tensor in found.items():
            if type(name) is not str or not isinstance(tensor, Tensor):
                raise FormatError(f"{self.file}: {key!r} has '{printable(name, 60)}', which is not a named tensor")
        return found

    def optimizer(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.get("optimizer", dict)
        for name, state in found.items():
            if type(name) is not str or type(state) is not dict:
                raise FormatError(
                    f"{self.file}: 'optimizer' has '{printable(name, 60)}', which is no parameter's state"
                )
        return found

    def step(self, key: str) -> int | None:
        step: int | None = self.get(key, int, type(None))
        if step is not None and step < 0:
            raise FormatError(f"{self.file}: {key!r} is {step}; steps count from 0")
        return step

    def in_effect(self) -> tuple[Assumption, ...]:
        """Return the recorded input scale and activation, which must be those that the network is built with."""
        options = self.get("arch_kwargs", dict)
        found = []
        for option in _IN_EFFECT:
            value = self.get(option, str, int, float, type(None))
            if option in options and options[option] != value:
                raise FormatError(
                    f"{self.file}: {option!r} is {printable(value, 40)} but arch_kwargs say "
                    f"{printable(options[option], 40)}; save the checkpoint again"
                )
            if value is not None:
                found.append(Assumption(option, str(value), "file"))
        return tuple(found)


READERS.register(FORMAT)(NativeReader())
