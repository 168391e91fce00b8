"""Writing a pruned checkpoint: in the format its file came in where that allows it, else in our own.

A foreign file is taken apart by its reader, the tensors of the pruned network are exchanged, and everything else (other
networks, counters, arguments) is written as it was. A tensor that has several names changes under each of them.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from dormancy.errors import FileError, OutputError, UsageError
from dormancy.io import Checkpoint, Hints, atomic_path, printable, save_checkpoint
from dormancy.io.checkpoints.formats import native
from dormancy.io.checkpoints.formats import safetensors as safe
from dormancy.io.checkpoints.formats import stable_baselines3 as sb3
from dormancy.io.checkpoints.formats import state_dict as bare
from dormancy.io.checkpoints.reader import Candidate, open_candidate
from dormancy.io.files import why_unwritable
from dormancy.io.safety.pickle_modules import Stub
from dormancy.pruning.checkpoint import PrunedCheckpoint

__all__ = ["Written", "write_pruned"]

_Place = tuple[int, tuple[int, ...], tuple[int, ...]]


@final
@dataclass(frozen=True)
class Written:
    """In which format a pruned checkpoint was written; `note` says what to know of that, where there is something."""

    path: Path
    format: str
    note: str | None = None


def write_pruned(
    path: str | os.PathLike[str],
    pruned: PrunedCheckpoint,
    hints: Hints | None = None,
    *,
    force: bool = False,
    as_native: bool = False,
) -> Written:
    """Write a pruned checkpoint to `path`, the whole file or nothing.

    A state_dict and a safetensors file are written back as what they are, and so is a Stable-Baselines3 zip that was
    masked (its options name sizes that a narrower network does not have). Other files, and all with `as_native`, become
    our own format. `hints` are those that the file was read with.

    Raises `OutputError` as `save_checkpoint` does, `FileError` when the original changed meanwhile, and `UsageError`
    when a network of the user's own code would have to be written in our format, which could not name it.
    """
    format = pruned.source.format if pruned.source else native.FORMAT
    reason = _why_not(format, pruned) if format != native.FORMAT and not as_native else None
    if format == native.FORMAT or as_native or reason is not None:
        _native(path, pruned, force)
        return Written(Path(path), native.FORMAT, reason)
    assert pruned.source is not None, "a foreign format comes from a file"
    with open_candidate(pruned.source.path, hints) as candidate:
        _require_unchanged(candidate, pruned)
        content = _WRITERS[format](candidate, pruned)
    if isinstance(content, str):
        _native(path, pruned, force)
        return Written(Path(path), native.FORMAT, f"a {format} {content}: {_OWN}")
    with atomic_path(path, force) as temporary:
        try:
            temporary.write_bytes(content)
        except RuntimeError as error:
            raise OutputError(why_unwritable(path, error)) from error
    return Written(Path(path), format, _NO_RECORD if format != safe.FORMAT else None)


_OWN = "written in dormancy's own format"
_NO_RECORD = "this format has no place for a record of the pruning: keep the JSON of this command beside it"


def _why_not(format: str, pruned: PrunedCheckpoint) -> str | None:
    """Tell why a format is not written back, None where it is."""
    if format not in _WRITERS:
        return f"a {format} file is not written back: {_OWN}"
    if format == sb3.FORMAT and pruned.plan.cuts:
        return f"a {format} file names the sizes of its network, so a narrower one does not fit in: {_OWN}"
    return None


def _native(path: str | os.PathLike[str], pruned: PrunedCheckpoint, force: bool) -> None:
    if pruned.checkpoint.factory is not None:
        raise UsageError(
            f"{printable(path)}: dormancy's own format cannot name a network of --model, nor a program; prune a "
            "state_dict or a safetensors file, which is written back"
        )
    save_checkpoint(path, pruned.checkpoint, force=force)


def _require_unchanged(candidate: Candidate, pruned: PrunedCheckpoint) -> None:
    assert pruned.source is not None, "a foreign format comes from a file"
    if candidate.sha256 != pruned.source.sha256:
        raise FileError(f"{printable(candidate.path)}: changed since it was read; prune it again")


def _place(tensor: Tensor) -> _Place:
    """Tell which numbers in memory a tensor is: two names of one tensor have one place."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _exchanged(content: Any, original: Checkpoint, pruned: PrunedCheckpoint) -> Any:
    """Return the content of a file with the parameters of the pruned network in place of the original's."""
    new = pruned.checkpoint.parameters
    places = {_place(tensor): new[name] for name, tensor in original.parameters.items() if tensor.numel()}

    def exchange(item: Any) -> Any:
        if isinstance(item, Tensor):
            return places.get(_place(item), item)
        if isinstance(item, Mapping):
            return type(item)((key, exchange(value)) for key, value in item.items())  # type: ignore[call-arg]
        return type(item)(map(exchange, item)) if type(item) in (list, tuple) else item

    return exchange(content)


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _state_dict(candidate: Candidate, pruned: PrunedCheckpoint) -> bytes | str:
    """Return the bytes of the new file, or why there are none."""
    content, original = bare.StateDictReader().opened(candidate)
    if pruned.plan.cuts and _has_optimizer(content):
        return "with optimizer state is not narrowed"
    if _has_objects(content):
        return "with other objects beside tensors is not written back"
    return _saved(_exchanged(content, original, pruned))


def _has_optimizer(content: Any) -> bool:
    """Whether an optimizer's state lies somewhere inside, whose moments would not fit narrower weights."""
    if isinstance(content, Mapping):
        return "param_groups" in content or any(map(_has_optimizer, content.values()))
    return isinstance(content, list | tuple) and any(map(_has_optimizer, content))


def _has_objects(content: Any) -> bool:
    """Whether there are objects that were not built when the file was read, so that they cannot be written."""
    parts = content.values() if isinstance(content, Mapping) else content if isinstance(content, list | tuple) else ()
    return isinstance(content, Stub) or any(map(_has_objects, parts))


def _safetensors(candidate: Candidate, pruned: PrunedCheckpoint) -> bytes:
    tensors, original = safe.SafetensorsReader().opened(candidate)
    new: dict[str, Tensor] = _exchanged(tensors, original, pruned)
    record = json.dumps(pruned.checkpoint.metadata["pruning"][-1])
    metadata = {**{str(key): str(value) for key, value in original.metadata.items()}, "dormancy.pruning": record}
    return bytes(to_safetensors({name: tensor.contiguous().clone() for name, tensor in new.items()}, metadata))


def _stable_baselines(candidate: Candidate, pruned: PrunedCheckpoint) -> bytes:
    policy, original = sb3.StableBaselinesReader().opened(candidate)
    new = _saved(_exchanged(policy, original, pruned))
    stream = io.BytesIO()
    with zipfile.ZipFile(candidate.stream) as old, zipfile.ZipFile(stream, "w") as archive:
        for member in old.infolist():
            archive.writestr(member, new if member.filename == "policy.pth" else old.read(member))
    return stream.getvalue()


_WRITERS: Mapping[str, Callable[[Candidate, PrunedCheckpoint], bytes | str]] = {
    bare.FORMAT: _state_dict,
    safe.FORMAT: _safetensors,
    sb3.FORMAT: _stable_baselines,
}
