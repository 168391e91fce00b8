"""Safetensors: a length, a JSON header, numbers. Read here strictly, since a header may lie about every one of them."""

from __future__ import annotations

import json
from math import prod
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from dormancy.errors import FileError, UnsafeFileError
from dormancy.io.checkpoints.architecture.identify import checkpoint_of
from dormancy.io.checkpoints.checkpoint import Checkpoint
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.checkpoints.state_dicts import Parameters, choose
from dormancy.text.escape import one_line, printable

__all__ = ["FORMAT", "SafetensorsReader"]

FORMAT = "safetensors"

MAX_HEADER = 16 << 20
MAX_DIMENSIONS = 16

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


@final
class SafetensorsReader:
    """Reads the tensors of a safetensors file; its free-text metadata becomes the checkpoint's."""

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it begins with the length of a header, and the header with a brace."""
        return candidate.head[8:9] == b"{" and 2 <= int.from_bytes(candidate.head[:8], "little") < 1 << 30

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read it; raises `FileError` when it is damaged, `UnsafeFileError` when its header lies, else as `infer`."""
        return self.opened(candidate)[1]

    def networks(self, candidate: Candidate) -> dict[str, Parameters]:
        """Return all tensors, as one network."""
        return {"": _File(candidate).tensors()}

    def opened(self, candidate: Candidate) -> tuple[dict[str, Tensor], Checkpoint]:
        """Return all tensors of the file as well, of which the checkpoint has some: whoever writes it back needs them.

        The text of the header is the checkpoint's metadata.
        """
        file = _File(candidate)
        tensors = file.tensors()
        parameters, assumptions = choose({"": tensors}, candidate.hints.key, file.name)
        return tensors, checkpoint_of(candidate, FORMAT, parameters, assumptions, metadata=file.metadata)


@final
class _File:
    """An open file, its header checked as it is taken apart."""

    def __init__(self, candidate: Candidate) -> None:
        self.name = printable(candidate.path)
        self.stream = candidate.stream
        self.size = self.stream.seek(0, 2)
        self.start = 8 + int.from_bytes(candidate.head[:8], "little")
        self.header = self._header()
        self.metadata = self._metadata()

    def refuse(self, reason: str) -> NoReturn:
        raise UnsafeFileError(f"{self.name}: refused: {reason}; save it again with safetensors")

    def _header(self) -> dict[str, Any]:
        if self.start > self.size:
            raise FileError(f"{self.name}: truncated: its header ends behind the file; copy or save it again")
        if self.start > MAX_HEADER:
            self.refuse(f"its header takes {self.start - 8} bytes")
        self.stream.seek(8)
        try:
            header = json.loads(self.stream.read(self.start - 8).decode("utf-8"), object_pairs_hook=self._unique)
        except (ValueError, RecursionError) as error:
            raise FileError(f"{self.name}: damaged: its header is not JSON ({one_line(error, 80)})") from error
        if not isinstance(header, dict):
            self.refuse("its header is not a table of tensors")
        return header

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            self.refuse("its header has a name twice")
        return dict(pairs)

    def _metadata(self) -> dict[str, str]:
        found = self.header.pop("__metadata__", {})
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            self.refuse("its metadata is not text by name")
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors in the order of their bytes, which must follow each other without gap to the end."""
        entries = [(name, *self._entry(name, entry)) for name, entry in self.header.items()]
        found, position = {}, 0
        for name, dtype, shape, begin, end in sorted(entries, key=lambda entry: entry[3:]):
            if begin != position:
                self.refuse(f"the bytes of '{printable(name, 60)}' overlap others or leave a gap")
            found[name], position = self._tensor(dtype, shape, begin, end), end
        if self.start + position != self.size:
            self.refuse("it holds more bytes than its header tells of")
        return found

    def _entry(self, name: str, entry: Any) -> tuple[torch.dtype, tuple[int, ...], int, int]:
        shown = f"'{printable(name, 60)}'"
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            self.refuse(f"{shown} is not described by a type, shape and offsets")
        dtype, shape, offsets = _DTYPES.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
        if dtype is None:
            self.refuse(f"{shown} has the type '{printable(entry['dtype'], 20)}', which no network here computes with")
        if not _naturals(shape) or len(shape) > MAX_DIMENSIONS or not _naturals(offsets) or len(offsets) != 2:
            self.refuse(f"the shape or offsets of {shown} are not counts")
        begin, end = offsets
        if end - begin != prod(shape) * dtype.itemsize:
            self.refuse(f"{shown} of shape {printable(tuple(shape), 60)} has not the bytes that its offsets say")
        if self.start + end > self.size:
            raise FileError(f"{self.name}: truncated: the numbers of {shown} end behind the file; copy it again")
        return dtype, tuple(shape), begin, end

    def _tensor(self, dtype: torch.dtype, shape: tuple[int, ...], begin: int, end: int) -> Tensor:
        if begin == end:
            return torch.empty(shape, dtype=dtype)
        self.stream.seek(self.start + begin)
        raw = bytearray(self.stream.read(end - begin))
        if len(raw) != end - begin:
            raise FileError(f"{self.name}: changed while it was read; copy it first")
        return torch.frombuffer(raw, dtype=dtype).reshape(shape)


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


READERS.register(FORMAT)(SafetensorsReader())
