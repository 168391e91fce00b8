"""Hostile and damaged checkpoints: each is refused in one line, nothing runs, little memory and time are taken."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import DormancyError, FileError, FormatError, InputError, UnsafeFileError
from dormancy.io import Checkpoint, load_checkpoint, save_checkpoint
from dormancy.io.safety.torch_load import load_guarded
from tests.io import hostile
from tests.io.checkpoints.formats.test_native import same
from tests.io.expectations import Refused, one_printable_line
from tests.io.hostile import (
    BUILD,
    FOUR,
    MARK,
    ORDERED_DICT,
    PLAIN,
    REDUCE,
    call,
    dict_,
    get,
    list_,
    named,
    number,
    program,
    put,
    storage,
    tensor,
    text,
    torch_zip,
    tuple_,
)

pytestmark = pytest.mark.usefixtures("bounded")


def load(path: Path, raw: bytes) -> Callable[[], Checkpoint]:
    path.write_bytes(raw)
    return lambda: load_checkpoint(path)


def outcome(act: Callable[[], Checkpoint]) -> Checkpoint | str:
    """Give a checkpoint, or the one line that says why not; anything else raised is a failure."""
    try:
        return act()
    except InputError as error:
        return one_printable_line(error)


def laughing(levels: int) -> bytes:
    """Lists of ten times the list before: a few bytes that unfold into ten to the power of `levels` items."""
    lists = [list_(number(1)) + put(0)]
    lists += [list_(*[get(level)] * 10) + put(level + 1) for level in range(levels)]
    return tuple_(*lists)


def described(
    stored: bytes = storage("0", 4),
    offset: bytes = number(0),
    shape: bytes = tuple_(number(4)),
    gradient: bytes = b"\x89",
    hooks: bytes = ORDERED_DICT,
    more: bytes = b"",
) -> bytes:
    """A tensor with one thing wrong."""
    strides = tuple_(number(1))
    return call(named("torch._utils", "_rebuild_tensor_v2"), stored, offset, shape, strides, gradient, hooks, more)


DEEP = b")" + b"\x85" * 50_000
BIG = 1 << 40

LIST_OF_ITSELF = b"]" + put(0) + get(0) + b"a"
DICT_OF_ITSELF = b"}" + put(0) + text("me") + get(0) + b"s"

HOSTILE: dict[str, dict[str, bytes]] = {
    "could run code": {
        "a command": call(named("os", "system"), text("true")),
        "a command under its other name": call(named("posix", "system"), text("true")),
        "a memoised command": named("os", "system") + put(7) + get(7) + tuple_(text("true")) + REDUCE,
        "eval": call(named("builtins", "eval"), text("1")),
        "getattr": call(named("builtins", "getattr"), ORDERED_DICT, text("pop")),
        "a huge bytearray": call(named("builtins", "bytearray"), number(BIG)),
        "encode": call(named("_codecs", "encode"), text("x" * 9), text("zlib")),
        "a tensor on a device": call(named("torch._utils", "_rebuild_device_tensor_from_numpy"), PLAIN),
        "a tensor of a type": call(named("torch._tensor", "_rebuild_from_type_v2"), PLAIN),
        "a storage of a type unknown": tensor(storage("0", 4, "UntypedStorage"), (4,), (1,)),
        "a long name": named("o" * 5000, "s\x1b[2J"),
    },
    "which tensors do not need": {
        "an object": named("collections", "OrderedDict") + b")\x81",
        "a global from the stack": text("os") + text("system") + b"\x93",
        "an instance": MARK + text("true") + b"ios\nsystem\n",
        "an extension": b"\x82\x01",
        "a popped value": number(1) + b"0",
        "bytes": b"U\x03abc",
    },
    "not a tensor or plain data": {
        "a global left over": named("collections", "OrderedDict"),
        "a storage left over": storage("0", 4),
        "a global in a list": list_(named("torch", "FloatStorage")),
    },
    "not how torch describes a tensor": {
        "a number called": number(1) + b")" + REDUCE,
        "a type called": call(named("torch", "FloatStorage"), number(1 << 30)),
        "an OrderedDict filled": call(named("collections", "OrderedDict"), list_()),
        "arguments in a list": named("collections", "OrderedDict") + b"]" + REDUCE,
        "arguments missing": call(named("torch._utils", "_rebuild_tensor_v2"), storage("0", 4), number(0)),
        "many arguments": named("collections", "OrderedDict") + tuple_(b"N" * 400_000) + REDUCE,
    },
    "sets attributes": {
        "hidden methods": ORDERED_DICT + dict_({"items": number(1)}) + BUILD,
        "hidden methods beside metadata": ORDERED_DICT + dict_({"_metadata": b"}", "items": b"N"}) + BUILD,
        "attributes of a tensor": PLAIN + dict_({"_metadata": number(1)}) + BUILD,
        "a state that is a list": ORDERED_DICT + b"]" + BUILD,
    },
    "claims more numbers than its storage holds": {
        "a stride of zero": tensor(storage("0", 4), (1 << 20, 1 << 20), (0, 0)),
        "overlapping rows": tensor(storage("0", 4), (3, 3), (1, 0)),
        "a view beyond its storage": tensor(storage("0", 4), (4,), (2,)),
        "a view that starts beyond": tensor(storage("0", 4), (1,), (1,), offset=4),
        "a huge shape": tensor(storage("0", 4), (BIG, BIG), (1, 1)),
    },
    "describes the shape of a tensor wrongly": {
        "a negative shape": tensor(storage("0", 4), (-1,), (1,)),
        "a negative stride": tensor(storage("0", 4), (2,), (-1,), offset=3),
        "a negative offset": tensor(storage("0", 4), (2,), (1,), offset=-4),
        "strides missing": tensor(storage("0", 4), (2, 2), (1,)),
        "many dimensions": tensor(storage("0", 4), (1,) * 1000, (1,) * 1000),
        "a shape of text": described(shape=tuple_(text("4"))),
        "a shape in a list": described(shape=list_(number(4))),
        "an offset of truth": described(offset=b"\x88"),
    },
    "not plain and dense": {
        "hooks": described(hooks=dict_({"a": number(1)})),
        "a gradient of text": described(gradient=text("no")),
        "no storage": described(stored=number(4)),
        "metadata": described(more=dict_({"conj": b"\x88"})),
    },
    "not a plain tensor": {
        "a parameter of a number": call(named("torch._utils", "_rebuild_parameter"), number(1), b"\x89", ORDERED_DICT),
        "a parameter with hooks": call(named("torch._utils", "_rebuild_parameter"), PLAIN, b"\x89", number(1)),
    },
    "has not the size that its pickle says": {
        "a storage larger than it is": tensor(storage("0", 400), (400,), (1,)),
        "a storage smaller than it is": tensor(storage("0", 2), (2,), (1,)),
        "a storage of wider numbers": tensor(storage("0", 4, "DoubleStorage"), (4,), (1,)),
        "a storage that is not there": tensor(storage("9", 4), (4,), (1,)),
        "a storage by a path": tensor(storage("../data/0", 4), (4,), (1,)),
        "a storage of negative size": tensor(storage("0", -4), (4,), (1,)),
    },
    "storage": {
        "a storage of two types": list_(PLAIN, tensor(storage("0", 4, "IntStorage"), (4,), (1,))),
        "a storage without a type": tuple_(text("storage"), *[text("0")] * 3, number(4)) + hostile.PERSID,
        "a storage of an odd type": tuple_(
            text("storage"), named("collections", "OrderedDict"), text("0"), text("cpu"), number(4)
        )
        + hostile.PERSID,
        "a storage under a number": tuple_(
            text("storage"), named("torch", "FloatStorage"), number(0), text("cpu"), number(4)
        )
        + hostile.PERSID,
        "a module outside": tuple_(text("module"), *[number(1)] * 4) + hostile.PERSID,
        "a number outside": number(1) + hostile.PERSID,
    },
    "levels deep or contains itself": {
        "a list that contains itself": LIST_OF_ITSELF,
        "a dict that contains itself": DICT_OF_ITSELF,
        "metadata that contain themselves": ORDERED_DICT + dict_({"_metadata": LIST_OF_ITSELF}) + BUILD,
        "lists nested deeply": b"]" * 5000 + b"a" * 4999,
        "tuples nested deeply": DEEP,
    },
    "unfolds into more than": {"a list that unfolds": laughing(12)},
    "takes more than": {"many steps": number(1) + b"q\x01" * 500_001},
    "not a name": {
        "a deep tuple as key": b"}" + DEEP + number(1) + b"s",
        "a float as key": b"}" + b"G" + struct.pack(">d", 1.0) + number(1) + b"s",
        "a truth value as key": b"}\x88" + number(1) + b"s",
    },
    "not a dict": {
        "an odd number of items": b"}(" + text("a") + b"u",
        "items of a list": b"]" + text("a") + number(1) + b"s",
    },
    "not a list": {"appended to a tuple": b")" + number(1) + b"a"},
    "has protocol": {"protocol 4": b"\x80\x04" + number(1)},
    "malformed": {
        "an end without a mark": number(1) + b"t",
        "an empty memo": get(5),
        "an unknown opcode": b"\xff",
        "text that is not UTF-8": b"X\x01\x00\x00\x00\xff",
        "text longer than the file": b"X\xff\xff\xff\x7fabc",
        "an enormous number": b"I" + b"9" * 100_000 + b"\n",
        "a name that is not ASCII": named("os", "\u202e"),
    },
}
ALONE = {"nothing": b"", "two results": number(1) + number(2), "a mark without an end": MARK + number(1)}


@pytest.mark.parametrize(("reason", "name"), [(reason, name) for reason in HOSTILE for name in HOSTILE[reason]])
def test_a_hostile_pickle_is_refused(tmp_path: Path, refused: Refused, reason: str, name: str) -> None:
    """On its own, and where metadata or a tensor is expected."""
    body = HOSTILE[reason][name]
    assert reason in refused(UnsafeFileError, load(tmp_path / "a.pt", torch_zip(program(body))))
    if len(body) < 200_000 and "unfolds" not in reason:
        refused(UnsafeFileError, load(tmp_path / "a.pt", hostile.checkpoint(metadata=body)))
        refused(UnsafeFileError, load(tmp_path / "a.pt", hostile.checkpoint(state_dict=dict_({"w": body}))))


@pytest.mark.parametrize("name", ALONE)
def test_a_pickle_of_more_or_less_than_one_object_is_refused(tmp_path: Path, refused: Refused, name: str) -> None:
    message = refused(UnsafeFileError, load(tmp_path / "a.pt", torch_zip(program(ALONE[name]))))
    assert "more or less than one" in message


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_runs(tmp_path: Path, refused: Refused, protocol: int) -> None:
    """A file left behind would show it; a real loader leaves one, so the test can fail."""
    canary = tmp_path / "canary"

    class Malicious:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return (io.open, (str(canary), "w"))  # type: ignore[return-value]

    bare = pickle.dumps({"format": "dormancy.checkpoint", "x": Malicious()}, protocol)
    refused(InputError, load(tmp_path / "bare.pt", bare))
    refused(UnsafeFileError, load(tmp_path / "zipped.pt", torch_zip(bare)))
    torch.save({"x": Malicious()}, tmp_path / "torch.pt", pickle_protocol=max(protocol, 2))
    assert not canary.exists()
    refused(UnsafeFileError, lambda: load_checkpoint(tmp_path / "torch.pt"))
    torch.save({"x": Malicious()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "before version 1.6" in refused(FormatError, lambda: load_checkpoint(tmp_path / "old.pt"))
    assert not canary.exists()
    pickle.loads(bare)["x"].close()
    assert canary.exists()


def with_attribute(value: torch.Tensor) -> torch.Tensor:
    value.attribute = 1  # type: ignore[attr-defined]
    return value


def odd_objects() -> dict[str, object]:
    return {
        "sparse": torch.eye(3).to_sparse(),
        "complex": torch.ones(2, dtype=torch.complex64),
        "an array": np.ones(3),
        "a NumPy number": np.float64(1),
        "bytes": b"abc",
        "a set": {1, 2},
        "an expanded tensor": torch.zeros(1).expand(1000),
        "a dtype": torch.float32,
        "a size": torch.Size([1]),
        "a meta tensor": torch.ones(3, device="meta"),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "a tensor with attributes": with_attribute(torch.ones(2)),
    }


@pytest.mark.parametrize("name", odd_objects())
def test_what_torch_writes_but_is_not_plain_is_refused(tmp_path: Path, refused: Refused, name: str) -> None:
    torch.save({"format": "dormancy.checkpoint", "thing": odd_objects()[name]}, tmp_path / "a.pt")
    refused(UnsafeFileError, lambda: load_checkpoint(tmp_path / "a.pt"))


def test_what_torch_writes_and_is_plain_is_read(tmp_path: Path) -> None:
    """Module state with its ``_metadata``, parameters, views, shared storages, nested containers, odd names."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LSTM(2, 2))
    whole = torch.arange(12.0)
    content: dict[str, Any] = {
        "state": network.state_dict(),
        "parameter": nn.Parameter(torch.ones(2)),
        "views": (whole[2:5], whole.view(3, 4).t(), whole, torch.empty(0), torch.tensor(2, dtype=torch.int16)),
        "plain": [1, 1 << 60, -1.5, float("nan"), None, True, "é\ud800", {}, (), [()], {3: "x"}],
    }
    torch.save(content, tmp_path / "odd (1).pt")
    with (tmp_path / "odd (1).pt").open("rb") as stream:
        read = load_guarded(stream, "odd")
    assert all(torch.equal(tensor, read["state"][name]) for name, tensor in network.state_dict().items())
    assert all(torch.equal(*pair) for pair in zip(content["views"], read["views"], strict=True))
    assert torch.equal(content["parameter"], read["parameter"])
    assert not read["parameter"].requires_grad
    assert str(read["plain"]) == str(content["plain"])


@pytest.mark.parametrize(
    ("name", "raw", "kind"),
    [
        ("compressed", torch_zip(program(PLAIN), compression=zipfile.ZIP_DEFLATED), UnsafeFileError),
        ("bzip2", torch_zip(program(PLAIN), compression=zipfile.ZIP_BZIP2), UnsafeFileError),
        ("path", torch_zip(program(PLAIN), extra={"archive/../../x": b"1"}), UnsafeFileError),
        ("absolute", torch_zip(program(PLAIN), extra={"/etc/x": b"1"}), UnsafeFileError),
        ("backslash", torch_zip(program(PLAIN), extra={"archive\\data\\1": b"1"}), UnsafeFileError),
        ("case", torch_zip(program(PLAIN), extra={"archive/DATA.pkl": program(PLAIN)}), UnsafeFileError),
        ("two roots", torch_zip(program(PLAIN), extra={"other/data.pkl": program(PLAIN)}), UnsafeFileError),
        ("code", torch_zip(program(PLAIN), extra={"archive/code/x.py": b"1"}), UnsafeFileError),
        ("TorchScript", torch_zip(program(PLAIN), extra={"archive/constants.pkl": b"1"}), UnsafeFileError),
        ("terminal", torch_zip(program(PLAIN), extra={"archive/\x1b[2J\u202e\n": b"1"}), UnsafeFileError),
        ("many", hostile.plain_zip({f"archive/data/{n}": b"" for n in range(20_001)}), UnsafeFileError),
        ("no pickle", hostile.plain_zip({"a/b": b"1"}), FormatError),
        ("no members", hostile.plain_zip({}), FormatError),
        ("prefix", b"PK\x03\x04" + hostile.checkpoint(), FileError),
        ("suffix", hostile.checkpoint() + b"\0", FileError),
        ("big endian", torch_zip(program(PLAIN)).replace(b"little", b"big\0\0\0"), FileError),
        ("a large pickle", torch_zip(program(text("x" * (17 << 20)))), UnsafeFileError),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_zip_is_refused(
    tmp_path: Path, refused: Refused, name: str, raw: bytes, kind: type[DormancyError]
) -> None:
    refused(kind, load(tmp_path / f"{name}.pt", raw))


def test_a_zip_bomb_costs_nothing(tmp_path: Path, refused: Refused) -> None:
    """Half a gigabyte of zeros in a few megabytes, more than may be taken here: it is never inflated."""
    size = 1 << 29
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a/data.pkl", program(tensor(storage("0", size // 4), (size // 4,), (1,))))
        with archive.open("a/data/0", "w") as member:
            for _ in range(size >> 20):
                member.write(bytes(1 << 20))
    assert (tmp_path / "bomb.pt").stat().st_size < size // 100
    assert "compressed" in refused(UnsafeFileError, lambda: load_checkpoint(tmp_path / "bomb.pt"))


def test_another_kind_of_zip_is_told_by_the_guard_too(refused: Refused) -> None:
    for members, said in (({"policy.pth": b"x"}, "'policy.pth'"), ({}, "nothing")):
        stream = io.BytesIO(hostile.plain_zip(members))
        assert said in refused(FormatError, partial(load_guarded, stream, "a model"))


def test_big_endian_files_are_told(tmp_path: Path, refused: Refused) -> None:
    members = {"a/data.pkl": program(PLAIN), "a/byteorder": b"big", "a/data/0": FOUR["0"]}
    assert "big-endian" in refused(FormatError, load(tmp_path / "a.pt", hostile.plain_zip(members)))


def directory_of(raw: bytes | bytearray) -> int:
    (offset,) = struct.unpack("<I", raw[-6:-2])
    return int(offset)


@pytest.mark.parametrize(
    "what", ["duplicate", "overlap", "long", "encrypted", "comment", "gap", "count", "size", "zip64"]
)
def test_a_forged_directory_is_refused(tmp_path: Path, refused: Refused, what: str) -> None:
    """What two zip parsers could read differently: one would check, the other load."""
    raw = bytearray(hostile.checkpoint())
    start = directory_of(raw)
    second = raw.index(b"PK\x01\x02", start + 4)
    last = raw.rindex(b"PK\x01\x02")
    kind: type[FileError] = UnsafeFileError
    if what == "duplicate":
        extra = {"archive/data/1": FOUR["0"]}
        raw = bytearray(torch_zip(program(PLAIN), extra=extra).replace(b"archive/data/1", b"archive/data/0"))
    elif what == "overlap":
        raw[last + 42 : last + 46] = raw[second + 42 : second + 46]
    elif what == "long":
        raw[last + 20 : last + 28] = struct.pack("<2I", 9999, 9999)
    elif what == "encrypted":
        raw[start + 8] |= 1
    elif what == "comment":
        raw[-2:] = b"\x01\x00x"
        kind = FileError
    elif what == "gap":
        raw[start:start] = b"\0" * 7
    elif what == "count":
        raw[-14:-10] = struct.pack("<2H", 3, 3)
    elif what == "size":
        raw[last + 20 : last + 28] = struct.pack("<2I", 8, 8)
        kind = FileError
    else:
        end, honest = len(raw) - 22, (4, len(raw) - 22 - start, start)
        record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 4, *honest)
        raw[end:end] = record + struct.pack("<4sIQI", b"PK\x06\x07", 0, end - 1, 1)
    message = refused(kind, load(tmp_path / "a.pt", bytes(raw)))
    assert what in ("comment", "size") or "refused" in message


def test_a_checkpoint_cut_anywhere_is_refused(tmp_path: Path, checkpoint: Checkpoint, refused: Refused) -> None:
    raw = save_checkpoint(tmp_path / "whole.pt", checkpoint).read_bytes()
    cuts = [1, 2, 3, 4, len(raw) - 1, *random.Random(1).sample(range(5, len(raw) - 1), 50)]
    for cut in cuts:
        refused(InputError, load(tmp_path / "cut.pt", raw[:cut]))
    refused(FileError, load(tmp_path / "cut.pt", b""))


def test_a_flipped_bit_in_any_member_is_found(tmp_path: Path, checkpoint: Checkpoint, refused: Refused) -> None:
    """torch.load itself reads a flipped weight without a word."""
    path = save_checkpoint(tmp_path / "whole.pt", checkpoint)
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = {info.filename: archive.read(info) for info in archive.infolist() if info.file_size}
    assert len(names) == 1 + 5 + len(checkpoint.parameters) + 2
    for name, content in names.items():
        place = raw.index(content, raw.index(name.encode()))
        damaged = bytearray(raw)
        damaged[place + len(content) // 2] ^= 1 << random.Random(name).randrange(8)
        assert "CRC" in refused(FileError, load(tmp_path / "flipped.pt", bytes(damaged)))


def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = save_checkpoint(tmp_path / "whole.pt", checkpoint)
    whole, raw = load_checkpoint(path), path.read_bytes()
    choose = random.Random(2)
    found = 0
    for _ in range(300):
        damaged = bytearray(raw)
        damaged[choose.randrange(len(raw))] ^= 1 << choose.randrange(8)
        result = outcome(load(path, bytes(damaged)))
        assert isinstance(result, str) or same(result, whole)
        found += isinstance(result, str)
    assert found > 100


def test_random_programs_end_in_an_expected_error(tmp_path: Path, refused: Refused) -> None:
    """Honest pickles with bytes changed: none crashes, hangs, or raises something unexpected."""
    honest = program(dict_(hostile.content()))
    choose = random.Random(3)
    for _ in range(400):
        raw = bytearray(honest)
        for _ in range(choose.randint(1, 4)):
            raw[choose.randrange(len(raw))] = choose.randrange(256)
        outcome(load(tmp_path / "a.pt", torch_zip(bytes(raw))))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"\x1f\x8b" + bytes(99), "gzip"),
        (bytes(99), "zeros"),
        (b"hello, this is text\n", "text"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (pickle.dumps({"w": [1.0]}), "Python pickle"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"\xde\xad\xbe\xef\x00", "de ad be ef"),
        (bytes(257) + b"ustar" + bytes(99), "tar"),
        (hostile.plain_zip({"policy.pth": b"x", "other": b"{}"}), "'policy.pth'"),
        (torch_zip(program(dict_({"model": PLAIN, "a\x1b": number(1)}))), "'model'"),
        (torch_zip(program(PLAIN)), "Tensor"),
    ],
)
def test_unknown_content_is_told(tmp_path: Path, refused: Refused, raw: bytes, said: str) -> None:
    assert said in refused(FormatError, load(tmp_path / "a.pt", raw))


def test_the_second_line_holds_alone(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the first checks wrong, what torch gives back would still be looked at."""
    monkeypatch.setattr("dormancy.io.safety.torch_load.check_guarded", lambda *_: None)
    recursive: list[object] = []
    recursive.append(recursive)
    sparse, complex_ = torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex64)
    for thing in (recursive, torch.zeros(1).expand(9), sparse, complex_, {1, 2}, {True: 1}, b"x", {"a": {2.5: 1}}):
        stream = io.BytesIO()
        torch.save(thing, stream)
        refused(UnsafeFileError, partial(load_guarded, stream, "thing"))
    refused(FileError, lambda: load_guarded(io.BytesIO(b"PK\x03\x04 nothing"), "not a zip at all"))
