"""A TensorDict on disk: ``meta.json`` and a file of raw numbers an entry, folder by folder."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any, final

import numpy as np

from dormancy.errors import FileError, FormatError, SampleError, UnsafeFileError
from dormancy.io.arrays.raw import OpenFile, SpanArray
from dormancy.io.files import open_regular_file, sha256_file
from dormancy.text.escape import one_line, printable

__all__ = ["MemmapFolder"]

MAX_JSON = 1 << 20
MAX_ENTRIES = 256
MAX_DEPTH = 4

_TYPES = {
    "torch.bool": "?", "torch.uint8": "u1", "torch.int8": "i1", "torch.int16": "i2", "torch.int32": "i4",
    "torch.int64": "i8", "torch.float16": "f2", "torch.float32": "f4", "torch.float64": "f8",
}  # fmt: skip


@final
class MemmapFolder:
    """The entries of a TensorDict by their path with dots; files that are opened are closed with `stack`.

    No link is followed: each file that is read lies in the folder itself.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.name = printable(folder)
        self.read: set[Path] = set()
        self._stack = stack
        self._meta = self.json(folder / "meta.json")
        self.shape = self._shape(self._meta.get("shape"))

    def digest(self) -> str:
        """Return the SHA-256 of the names and SHA-256 of all files that were looked at."""
        lines = sorted(f"{path.relative_to(self.folder.parent).as_posix()} {sha256_file(path)}\n" for path in self.read)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def json(self, path: Path) -> dict[str, Any]:
        """Return what a small JSON file says, an empty mapping where there is none; raises `FileError` for others."""
        if not path.exists() and not path.is_symlink():
            return {}
        self._own(path)
        with open_regular_file(path) as stream:
            text = stream.read(MAX_JSON + 1)
        try:
            found = json.loads(text) if len(text) <= MAX_JSON else None
        except (ValueError, RecursionError) as error:
            raise FileError(f"{printable(path)}: not JSON ({one_line(error, 80)}); copy the folder again") from error
        if not isinstance(found, dict):
            raise FileError(f"{printable(path)}: not a description of a TensorDict; copy the folder again")
        return found

    def _own(self, path: Path) -> None:
        if path.is_symlink():
            raise UnsafeFileError(f"{printable(path)}: refused: a link, which could lead to another file; copy it")
        self.read.add(path)

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the description of every tensor, those of inner TensorDicts as ``next.observation``."""
        found: dict[str, dict[str, Any]] = {}
        pending = [("", self._meta)]
        while pending:
            prefix, meta = pending.pop()
            for key, told in meta.items():
                if not isinstance(told, dict):
                    continue
                name = f"{prefix}.{key}" if prefix else key
                if not re.fullmatch(r"[\w-]+", key) or name.count(".") >= MAX_DEPTH or len(found) >= MAX_ENTRIES:
                    raise FormatError(
                        f"{self.name}: entry '{printable(name, 60)}' is not read; rename it, or leave it out"
                    )
                if "type" in told:
                    pending.append((name, self._inner(name)))
                else:
                    found[name] = told
        return dict(sorted(found.items()))

    def _inner(self, name: str) -> dict[str, Any]:
        folder = self.folder.joinpath(*name.split("."))
        if folder.is_symlink():
            self._own(folder)
        return self.json(folder / "meta.json")

    def _shape(self, told: Any) -> tuple[int, ...]:
        if not isinstance(told, list) or not all(type(size) is int and 0 <= size < 1 << 48 for size in told):
            raise SampleError(f"{self.name}: its meta.json says no shape; copy the folder again")
        return tuple(told)

    def array(self, name: str, told: dict[str, Any], batch: tuple[int, int]) -> SpanArray:
        """Return an entry as (steps, environments, ...); raises `SampleError` for what is no array of numbers."""
        shape, kind = self._shape(told.get("shape")), _TYPES.get(str(told.get("dtype")))
        if kind is None or told.get("is_nested") or shape[: len(self.shape)] != self.shape:
            raise SampleError(f"{self.name}: '{printable(name, 60)}' is not a tensor with the shape of its storage")
        path = self.folder.joinpath(*name.split(".")).with_name(f"{name.split('.')[-1]}.memmap")
        self._own(path)
        file = OpenFile.of(self._stack.enter_context(open_regular_file(path)), path)
        whole = (*batch, *shape[len(self.shape) :])
        if prod(whole) * np.dtype(kind).itemsize != file.size:
            file.damaged(f"it has {file.size} bytes, not the {prod(whole) * np.dtype(kind).itemsize} of its shape")
        return SpanArray(file, name, np.dtype(kind), whole)
