"""Every reader against files that want to run code, take all memory, or are cut short.

Bounds, held by the `bounded` fixture: a quarter of a gigabyte of further address space and 20 seconds of computing for
each test, whatever the file claims. No file here makes anything run, and each is answered in one line.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dormancy.errors import InputError
from dormancy.io import Hints, load_checkpoint, survey_checkpoint
from dormancy.io.checkpoints.reader import READERS
from tests.io import hostile
from tests.io.checkpoints.recorded_outputs import FOLDER
from tests.io.expectations import Refused

KINDS = {
    "dormancy.checkpoint": "",
    "state_dict": "dueling.pt",
    "safetensors": "efficient.safetensors",
    "stable-baselines3": "sb3_dqn.zip",
    "pickled module": "module_sequence.pt",
    "flax": "flax_state.msgpack",
    "torchscript": "script_critic.pt",
    "torch.export": "export_critic.pt2",
}
"""A file of each format that is read; our own is made by the test of it."""

ZIPS = [name for name in KINDS.values() if name.endswith((".pt", ".zip", ".pt2"))]


def test_every_reader_is_here() -> None:
    assert set(KINDS) == set(READERS)


def rewritten(name: str, change: Callable[[str, bytes], bytes], **more: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(FOLDER / name) as archive:
        members = {info.filename: change(info.filename, archive.read(info)) for info in archive.infolist()}
    return members | more


def runs(mark: Path) -> bytes:
    return hostile.program(hostile.call(hostile.named("os", "mkdir"), hostile.text(str(mark))))


@pytest.mark.parametrize("name", ZIPS)
@pytest.mark.parametrize("member", ["data.pkl", "data", "constants.pkl", "model.json", "model.pt", "policy.pth"])
def test_a_pickle_in_the_place_of_any_member_never_runs(
    name: str, member: str, tmp_path: Path, bounded: None, refused: Refused
) -> None:
    """Plain, nested in the zip, in an agent's data, in a program's constants or sample inputs."""
    mark = tmp_path / "ran"
    for body in (runs(mark), hostile.torch_zip(runs(mark))):
        members = rewritten(name, lambda each, raw, body=body: body if each.rpartition("/")[2] == member else raw)
        changed = members != rewritten(name, lambda each, raw: raw)
        (tmp_path / "a").write_bytes(hostile.plain_zip(members))
        if changed:
            refused(InputError, lambda: load_checkpoint(tmp_path / "a"))
    (tmp_path / "b").write_bytes(runs(mark))
    refused(InputError, lambda: load_checkpoint(tmp_path / "b"))
    assert not mark.exists()


def test_a_pickle_in_the_text_of_an_agent_never_runs(tmp_path: Path, bounded: None) -> None:
    mark = tmp_path / "ran"
    serialized = base64.b64encode(runs(mark)).decode()
    data = {
        key: {":type:": "x", ":serialized:": serialized} for key in ("policy_class", "observation_space", "lr_schedule")
    }
    members = rewritten("sb3_dqn.zip", lambda each, raw: json.dumps(data).encode() if each == "data" else raw)
    (tmp_path / "a.zip").write_bytes(hostile.plain_zip(members))
    load_checkpoint(tmp_path / "a.zip")
    assert not mark.exists()


@pytest.mark.parametrize("name", ZIPS)
def test_zip_bombs_are_refused(name: str, tmp_path: Path, bounded: None, refused: Refused) -> None:
    """A member of 256 megabytes of zeros that takes a quarter of a megabyte in the file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(FOLDER / name) as old, zipfile.ZipFile(stream, "w") as new:
        root = old.namelist()[0].partition("/")[0] + "/" if "/" in old.namelist()[0] else ""
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
        bomb = zipfile.ZipInfo(f"{root}data/99")
        bomb.compress_type = zipfile.ZIP_DEFLATED
        with new.open(bomb, "w", force_zip64=True) as member:
            for _ in range(256):
                member.write(bytes(1 << 20))
    (tmp_path / "a").write_bytes(stream.getvalue())
    refused(InputError, lambda: load_checkpoint(tmp_path / "a"))
    refused(InputError, lambda: load_checkpoint(tmp_path / "a", Hints(trust=True)))


@pytest.mark.parametrize("name", ZIPS)
@pytest.mark.parametrize("odd", ["../../escaped", "/tmp/escaped", "C:\\escaped", "a\x00b", "a\x1b[31m\nb"])
def test_names_that_lead_elsewhere_write_nothing(
    name: str, odd: str, tmp_path: Path, bounded: None, refused: Refused
) -> None:
    """They are refused, or, in an agent's archive, where only two members are looked at, left alone."""
    before = set(tmp_path.parent.rglob("*escaped*"))
    members = rewritten(name, lambda each, raw: raw, **{odd: b"x"})
    (tmp_path / "a").write_bytes(hostile.plain_zip(members))
    if name == "sb3_dqn.zip":
        load_checkpoint(tmp_path / "a")
    else:
        refused(InputError, lambda: load_checkpoint(tmp_path / "a"))
    assert set(tmp_path.parent.rglob("*escaped*")) == before


@pytest.mark.parametrize("name", [name for name in KINDS.values() if name])
def test_wrong_magic_and_noise_are_told(name: str, tmp_path: Path, bounded: None, refused: Refused) -> None:
    raw = (FOLDER / name).read_bytes()
    noise = np.random.default_rng(2)
    for change in (b"PK\x03\x05", b"\x00" * 8, b"\x89HDF\r\n\x1a\n", b"\x80\x04\x95", b"<html>", b"\x82\xa1"):
        (tmp_path / "a").write_bytes(change + raw[len(change) :])
        refused(InputError, lambda: load_checkpoint(tmp_path / "a"))
    for _ in range(20):
        (tmp_path / "a").write_bytes(raw[:16] + noise.bytes(len(raw) - 16))
        refused(InputError, lambda: load_checkpoint(tmp_path / "a"))


@pytest.mark.parametrize("name", [name for name in KINDS.values() if name])
def test_fifty_flipped_bytes_are_read_or_told(name: str, tmp_path: Path, bounded: None) -> None:
    """Formats without checksums may give another number; they never give another kind of error."""
    raw = bytearray((FOLDER / name).read_bytes())
    hints = Hints(activation="relu") if name.startswith("flax") else Hints()
    for position in np.random.default_rng(3).integers(0, len(raw), 50).tolist():
        changed = bytearray(raw)
        changed[position] ^= 0xFF
        (tmp_path / "a").write_bytes(bytes(changed))
        try:
            load_checkpoint(tmp_path / "a", hints).build()
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("name", [name for name in KINDS.values() if name])
def test_fifty_truncations_are_told_to_inspect_as_well(
    name: str, tmp_path: Path, bounded: None, refused: Refused
) -> None:
    raw = (FOLDER / name).read_bytes()
    for cut in np.random.default_rng(4).integers(1, len(raw), 50).tolist():
        (tmp_path / "a").write_bytes(raw[:cut])
        refused(InputError, lambda: survey_checkpoint(tmp_path / "a"))


def test_sizes_that_lie_are_refused(tmp_path: Path, bounded: None, refused: Refused) -> None:
    """A storage of a terabyte, in each format that says how large its parts are."""
    huge = 1 << 40
    claims = hostile.tensor(hostile.storage("0", huge), (huge,), (1,))
    linear = hostile.named("torch.nn.modules.linear", "Linear") + b")" + b"\x81"
    parameters = hostile.dict_({"weight": claims})
    module = linear + hostile.dict_({"_parameters": parameters, "_modules": b"}"}) + hostile.BUILD
    header = json.dumps({"w": {"dtype": "F32", "shape": [huge], "data_offsets": [0, 4 * huge]}}).encode()
    files = [
        hostile.torch_zip(hostile.program(hostile.dict_({"w": claims}))),
        hostile.torch_zip(hostile.program(module)),
        struct.pack("<Q", len(header)) + header + bytes(16),
        b"\x81\xa6params\xc9\x7f\xff\xff\xff\x01" + bytes(16),
    ]
    for raw in files:
        (tmp_path / "a").write_bytes(raw)
        refused(InputError, lambda: load_checkpoint(tmp_path / "a"))
