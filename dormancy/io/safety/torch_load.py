"""The only door through which a torch file comes in.

In this order, each step before the next may look: a regular file, its first bytes, the zip directory and checksums
(`torch_zip`), the pickle read inertly (`pickle_tensors`), ``torch.load(weights_only=True)``, the structure of what came
out. A file is data, never code. Files with other objects take a path on which torch loads nothing at all: `load_stubs`
names the objects beside a state_dict and builds none of them, and `pickled_module` reads whole networks. Decision: the
format of torch before version 1.6 has no directory or checksums to check and is not read; the message says how to
convert such a file.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

from dormancy.errors import FileError, UnsafeFileError
from dormancy.io.safety.pickle_modules import Stub, read_stubs
from dormancy.io.safety.pickle_tensors import MAX_DEPTH, Global, TensorRecord, read_inert
from dormancy.io.safety.torch_zip import read_storages, read_torch_archive
from dormancy.text.escape import one_line, printable

__all__ = ["DTYPES", "check_guarded", "load_guarded", "load_stubs", "read_tensors"]

_DTYPES = {
    "Byte": torch.uint8, "Char": torch.int8, "Bool": torch.bool, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Short": torch.int16, "Float": torch.float32, "Int": torch.int32, "Double": torch.float64, "Long": torch.int64,
}  # fmt: skip

DTYPES = frozenset(
    {
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
    }
)


def load_guarded(stream: BinaryIO, path: object) -> Any:
    """Return the content of an open torch zip: dicts, lists, tuples, plain values and dense tensors on the CPU.

    Raises `FileError` when it is damaged, `UnsafeFileError` when it holds anything else, `FormatError` when it is a zip
    of another kind. `path` is named in messages. Nothing in the file is ever executed.
    """
    check_guarded(stream, path)
    stream.seek(0)
    try:
        content = torch.load(stream, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, AssertionError, pickle.UnpicklingError) as error:
        raise FileError(f"{printable(path)}: torch cannot load it ({one_line(error, 120)})") from error
    return _plain(content, printable(path), ())


def load_stubs(stream: BinaryIO, path: object) -> Any:
    """Return the content of an open torch zip that holds other objects beside tensors and plain data.

    Each such object (an ``argparse.Namespace``, a NumPy number, a class, bytes) is a `Stub` with its name. It is never
    built, and nothing is imported. Raises `FileError` and `UnsafeFileError` as `load_guarded` does.
    """
    archive = read_torch_archive(stream, path)
    content = read_stubs(archive.pickle, archive.storages, path, names_only=True)
    records = list(_records(content))
    tensors = dict(zip(map(id, records), read_tensors(stream, path, records), strict=True))

    def converted(item: Any) -> Any:
        if isinstance(item, TensorRecord):
            return tensors[id(item)]
        if isinstance(item, dict):
            return {key: converted(part) for key, part in item.items()}
        if type(item) in (list, tuple):
            return type(item)(map(converted, item))
        if isinstance(item, Stub) or item is None or type(item) in (bool, int, float, str):
            return item
        name = item.name.replace(" ", ".") if isinstance(item, Global) else f"builtins.{type(item).__name__}"
        return Stub(printable(name, 120), ())

    return converted(content)


def _records(item: Any) -> Iterator[TensorRecord]:
    if isinstance(item, TensorRecord):
        yield item
    for part in item.values() if isinstance(item, dict) else item if type(item) in (list, tuple) else ():
        yield from _records(part)


def read_tensors(stream: BinaryIO, path: object, records: Iterable[TensorRecord]) -> list[Tensor]:
    """Return the tensors of a checked torch zip that `records` describe, in their order.

    Tensors that share a storage in the file share memory.
    """
    described = list(records)
    storages = read_storages(stream, printable(path), sorted({record.storage for record in described}))
    return [_tensor(record, storages[record.storage]) for record in described]


def _tensor(record: TensorRecord, storage: bytearray) -> Tensor:
    dtype = _DTYPES[record.kind.removeprefix("torch ").removesuffix("Storage")]
    if not storage:
        return torch.empty(record.shape, dtype=dtype)
    return torch.frombuffer(storage, dtype=dtype).as_strided(record.shape, record.strides, record.offset)


def check_guarded(stream: BinaryIO, path: object) -> None:
    """Check an open torch zip from outside to inside, short of loading it; raises as `load_guarded` does."""
    archive = read_torch_archive(stream, path)
    read_inert(archive.pickle, archive.storages, path)


def _plain(item: Any, file: str, where: tuple[Any, ...]) -> Any:
    """Rebuild containers as plain ones, checking each leaf: the second line behind the inert reading."""
    if len(where) > MAX_DEPTH:
        raise UnsafeFileError(f"{file}: refused: nested more than {MAX_DEPTH} levels deep")
    if isinstance(item, Tensor):
        return _dense(item, file, where)
    if isinstance(item, Mapping):
        return {_key(key, file): _plain(part, file, (*where, key)) for key, part in item.items()}
    if type(item) in (list, tuple):
        return type(item)(_plain(part, file, (*where, index)) for index, part in enumerate(item))
    if item is None or type(item) in (bool, int, float, str):
        return item
    raise UnsafeFileError(f"{file}: refused: {_named(where)} is a {printable(type(item).__name__, 40)}, not plain data")


def _key(key: Any, file: str) -> str | int:
    if type(key) is str or type(key) is int:
        return key
    raise UnsafeFileError(f"{file}: refused: a key is a {printable(type(key).__name__, 40)}, not a name")


def _dense(tensor: Tensor, file: str, where: tuple[Any, ...]) -> Tensor:
    """Return a tensor without gradient, after checking that it is dense and lies within its storage."""
    plain = tensor.detach()
    reason = None
    if type(plain) is not Tensor or plain.layout is not torch.strided or plain.device.type != "cpu":
        reason = "is not a dense tensor on the CPU"
    elif plain.dtype not in DTYPES:
        reason = f"has the type {plain.dtype}, which no network here computes with"
    elif plain.numel() * plain.element_size() > plain.untyped_storage().nbytes():
        reason = f"claims more numbers ({tuple(plain.shape)}) than its storage holds"
    if reason:
        raise UnsafeFileError(f"{file}: refused: {_named(where)} {reason}; save it again as a plain state_dict")
    return plain


def _named(where: tuple[Any, ...]) -> str:
    shown = printable("/".join(str(step) for step in where), 80)
    return f"'{shown}'"
