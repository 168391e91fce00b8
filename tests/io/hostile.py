"""Files that no honest program writes: torch zips built opcode by opcode."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping

PROTO, STOP, MARK = b"\x80\x02", b".", b"("
APPEND, REDUCE, BUILD, PERSID = b"a", b"R", b"b", b"Q"


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    raw = pickle.encode_long(value)
    return b"\x8a" + bytes([len(raw)]) + raw


def tuple_(*items: bytes) -> bytes:
    return MARK + b"".join(items) + b"t"


def list_(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def dict_(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def named(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_(*arguments) + REDUCE


def put(index: int) -> bytes:
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


ORDERED_DICT = call(named("collections", "OrderedDict"))


def storage(key: str, numel: int, kind: str = "FloatStorage", location: str = "cpu") -> bytes:
    return tuple_(text("storage"), named("torch", kind), text(key), text(location), number(numel)) + PERSID


def tensor(
    stored: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, hooks: bytes = ORDERED_DICT
) -> bytes:
    return call(
        named("torch._utils", "_rebuild_tensor_v2"),
        stored,
        number(offset),
        tuple_(*map(number, shape)),
        tuple_(*map(number, strides)),
        b"\x89",
        hooks,
    )


FOUR = {"0": struct.pack("<4f", 1, 2, 3, 4)}
"""A storage of four floats under the key 0."""

PLAIN = tensor(storage("0", 4), (4,), (1,))
"""An honest tensor in that storage."""


def content(**changed: bytes) -> dict[str, bytes]:
    """The keys of a checkpoint, some of them changed."""
    honest = {
        "format": text("dormancy.checkpoint"),
        "version": text("1.0"),
        "arch": text("mlp"),
        "arch_kwargs": dict_({"inputs": number(4), "outputs": number(2)}),
        "state_dict": dict_({"w": PLAIN}),
        "optimizer": b"}",
        "agent_step": number(1),
        "gradient_step": b"N",
        "env_id": b"N",
        "input_scale": b"N",
        "activation": b"N",
        "metadata": b"}",
    }
    return honest | changed


def program(body: bytes) -> bytes:
    return PROTO + body + STOP


def checkpoint(**changed: bytes) -> bytes:
    return torch_zip(program(dict_(content(**changed))))


def torch_zip(
    pickled: bytes,
    storages: Mapping[str, bytes] = FOUR,
    compression: int = zipfile.ZIP_STORED,
    extra: Mapping[str, bytes] | None = None,
    root: str = "archive",
) -> bytes:
    members = {f"{root}/data.pkl": pickled, f"{root}/byteorder": b"little", f"{root}/version": b"3\n"}
    members |= {f"{root}/data/{key}": raw for key, raw in storages.items()} | dict(extra or {})
    return plain_zip(members, compression)


def plain_zip(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name), raw, compression)
    return stream.getvalue()
