"""A file that may be a checkpoint, and the readers that may know its kind."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, BinaryIO, Protocol, final

from dormancy.errors import FileError, UnsafeFileError
from dormancy.io.checkpoints.architecture.module_tree import find_modules
from dormancy.io.checkpoints.checkpoint import Checkpoint
from dormancy.io.checkpoints.hints import Hints
from dormancy.io.checkpoints.state_dicts import Parameters, state_dicts
from dormancy.io.files import open_regular_file, sha256_stream
from dormancy.io.safety.pickle_modules import names_modules, read_stubs
from dormancy.io.safety.torch_load import load_guarded, load_stubs
from dormancy.io.safety.torch_zip import TorchArchive, list_members, read_torch_archive
from dormancy.io.signatures import HEAD_SIZE, describe, is_zip
from dormancy.io.source import Source
from dormancy.registry import Registry
from dormancy.text.escape import one_line, printable

__all__ = ["READERS", "Candidate", "CheckpointReader", "open_candidate"]

_OPTIONS = ("hyper_parameters", "hparams", "config", "cfg", "args", "data", "params")
"""Where a training program keeps its options: a module there is not what was trained, if a state_dict lies beside."""


@final
class Candidate:
    """An open file: each thing one may want to know of it is found out once, when first asked for."""

    def __init__(self, path: str | os.PathLike[str], stream: BinaryIO, hints: Hints | None = None) -> None:
        self.path = os.fspath(path)
        self.stream = stream
        self.hints = hints or Hints()

    @cached_property
    def head(self) -> bytes:
        """The first bytes, at most 512."""
        try:
            self.stream.seek(0)
            return self.stream.read(HEAD_SIZE)
        except OSError as error:
            raise FileError(f"{printable(self.path)}: cannot be read: {one_line(error)}") from error

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip archive."""
        return is_zip(self.head)

    @cached_property
    def members(self) -> list[str]:
        """The names in a zip archive, none for other files; raises `FileError` when its directory is damaged."""
        return list_members(self.stream, self.path) if self.is_zip else []

    @property
    def is_torch(self) -> bool:
        """Whether it is a zip archive as ``torch.save`` writes them."""
        return self._has("data.pkl") and not self._has("constants.pkl")

    @property
    def is_script(self) -> bool:
        """Whether it is a zip archive as ``torch.jit.save`` writes them: a program."""
        return self._has("data.pkl") and self._has("constants.pkl")

    @property
    def is_export(self) -> bool:
        """Whether it is a zip archive as ``torch.export.save`` writes them: a program."""
        return self._has("archive_format") or "serialized_exported_program.json" in self.members

    def _has(self, member: str) -> bool:
        """Whether there is such a member in the folder that all members of torch's zip archives lie in."""
        return any(name.count("/") == 1 and name.endswith(f"/{member}") for name in self.members)

    @cached_property
    def archive(self) -> TorchArchive:
        """The checked directory and the pickle of a torch zip; raises as `read_torch_archive` does."""
        return read_torch_archive(self.stream, self.path)

    @cached_property
    def stubs(self) -> Any:
        """The content of a torch zip with objects as stubs and tensors as records; raises as `read_stubs` does."""
        return read_stubs(self.archive.pickle, self.archive.storages, self.path)

    @cached_property
    def holds_modules(self) -> bool:
        """Whether a torch zip holds whole networks, of classes that it names, and not parameters only."""
        if not names_modules(self.archive.pickle):
            return False
        try:
            found = {path: node for path, node in find_modules(self.stubs).items() if node.state_dict()}
        except UnsafeFileError:
            return self._beside_objects is None
        options = all(path.partition("/")[0] in _OPTIONS for path in found)
        return not options or self._beside_objects is None

    @cached_property
    def _beside_objects(self) -> Any:
        """The content of a torch zip with a state_dict, whatever objects lie beside it; None without one."""
        try:
            content = load_stubs(self.stream, self.path)
        except UnsafeFileError:
            return None
        native = isinstance(content, dict) and str(content.get("format")).startswith("dormancy.")
        return content if state_dicts(content) and not native else None

    @property
    def is_plain(self) -> bool:
        """Whether it is a torch zip of tensors and plain data, or one that must be refused for what it is."""
        return self.is_torch and not self.holds_modules

    @cached_property
    def content(self) -> Any:
        """The content of a torch zip, behind the guard; raises `FileError` or `FormatError` when it is not one.

        Objects beside a state_dict are `Stub`. Without a state_dict, and in dormancy's own format, they are refused.
        """
        try:
            return load_guarded(self.stream, self.path)
        except UnsafeFileError:
            if self._beside_objects is None:
                raise
            return self._beside_objects

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of all bytes."""
        return sha256_stream(self.stream, self.path)

    def source(self, format: str) -> Source:
        """Return where the checkpoint came from, for a reader of this `format`."""
        return Source(self.path, format, self.sha256)

    def seen(self) -> str:
        """Say what the file is, for a message that it is not known."""
        if not self.is_zip:
            return describe(self.head)
        if not self.is_torch:
            return f"a zip archive that holds {_listed(self.members)}"
        if not isinstance(self.content, dict):
            return f"a torch file that holds a {type(self.content).__name__}"
        return f"a torch file with the keys {_listed(self.content)}"


def _listed(names: Iterable[object]) -> str:
    shown = [f"'{printable(name, 40)}'" for name in itertools.islice(names, 6)]
    return ", ".join(shown[:5] + ["..."] * (len(shown) > 5)) or "nothing"


class CheckpointReader(Protocol):
    """One kind of checkpoint file: register an instance in `READERS` under the name of the format."""

    def sniff(self, candidate: Candidate) -> bool:
        """Whether the file is of this kind, by its content and never by its name."""
        ...

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read it; raises an `InputError` that names the file when it is of this kind but wrong."""
        ...

    def networks(self, candidate: Candidate) -> Mapping[str, Parameters]:
        """Return the parameters of each network in it by what ``--key`` calls it; "" for the only one."""
        ...


READERS: Registry[CheckpointReader] = Registry("checkpoint format")
"""Every kind of checkpoint that can be read, asked in the order in which they were registered."""


@contextlib.contextmanager
def open_candidate(path: str | os.PathLike[str], hints: Hints | None = None) -> Iterator[Candidate]:
    """Open a regular file as a candidate; raises `FileError` when it is not one."""
    with open_regular_file(path) as stream:
        yield Candidate(path, stream, hints)
