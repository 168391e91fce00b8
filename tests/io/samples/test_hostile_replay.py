"""Replay memories that attack, lie or break off: nothing is run, one line is told, memory and time are bounded."""

from __future__ import annotations

import collections
import gzip
import io
import json
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dormancy.errors import DormancyError, FileError, FormatError, InputError, SampleError, UnsafeFileError
from tests.io.expectations import Refused, one_printable_line
from tests.io.samples.replay_files import FOLDER, MEMORIES, copied, read


class Attack:
    """Makes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


class Buffer:
    """Looks like a replay buffer of a user's own."""

    def __init__(self, **state: Any) -> None:
        one = np.zeros((4, 1, 3), np.float32)
        honest = {"observations": one, "next_observations": one, "actions": np.zeros((4, 1, 1), np.int64)}
        honest |= {"rewards": np.zeros((4, 1)), "dones": np.zeros((4, 1)), "pos": 1, "full": True}
        vars(self).update(honest | state)


def pickled(content: object, path: Path, protocol: int = 5) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_buffer_of_a_users_own_class_is_read(protocol: int, tmp_path: Path) -> None:
    path = pickled(Buffer(infos=collections.deque([{}]), big=np.zeros(999)), tmp_path / "b.pkl", protocol)
    assert read(path)["observations"].shape == (4, 3)


NESTED: dict[str, Callable[[Attack], object]] = {
    "alone": lambda attack: attack,
    "as an attribute": lambda attack: Buffer(device=attack),
    "as the observations": lambda attack: Buffer(observations=attack),
    "in an array of objects": lambda attack: Buffer(infos=np.array([[{}, attack]], dtype=object)),
    "as a name": lambda attack: {attack: 1},
    "deep in lists": lambda attack: [[[{"a": (attack,)}]]],
    "in a queue": lambda attack: Buffer(infos=collections.deque([attack])),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("where", NESTED)
def test_no_pickle_is_run(where: str, protocol: int, tmp_path: Path, refused: Refused) -> None:
    marker = tmp_path / "marker"
    path = pickled(NESTED[where](Attack(marker)), tmp_path / "attack.pkl", protocol)
    message = refused(UnsafeFileError, lambda: read(path))
    assert "nothing was run" in message
    assert not marker.exists()


PROGRAMS = {
    "old instance": b"\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.",
    "old object": b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",
    "persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "extension": b"\x80\x02\x82\x01.",
    "buffer from outside": b"\x80\x05\x97.",
    "exec": b"\x80\x02cbuiltins\nexec\nX\x04\x00\x00\x00passR.",
    "exec, called": b"\x80\x02cbuiltins\nexec\nX\x04\x00\x00\x00pass\x85R.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\nX\x01\x00\x00\x00aX\x01\x00\x00\x00b\x86R.",
    "an array that calls": b"\x80\x02cnumpy.f2py\ncompile\n)R.",
    "a text that is longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"a.",
    "bytes that are longer than the file": b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b"a.",
    "an item out of nowhere": b"\x80\x02j\xff\xff\xff\x7f.",
    "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "nothing on the stack": b"\x80\x02.",
    "marks without end": b"\x80\x02" + b"(" * 100_000 + b".",
    "tuples 300 000 deep": b"\x80\x02)" + b"\x85" * 300_000 + b".",
    "steps without end": b"\x80\x02" + b"}\x94" * 1_600_000 + b".",
    "an unknown protocol": b"\x80\x09N.",
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", PROGRAMS)
def test_hand_made_programs_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "p.pkl").write_bytes(PROGRAMS[name])
    with pytest.raises(InputError) as caught:
        read(tmp_path / "p.pkl")
    one_printable_line(caught.value)


LIES: dict[str, dict[str, Any]] = {
    "a place beyond the end": {"pos": 4},
    "a place that is no number": {"pos": "1"},
    "full of nothing": {"pos": 0, "full": False},
    "observations of objects": {"observations": np.array([[None]] * 4, dtype=object)},
    "observations of text": {"observations": np.array([["a"]] * 4)},
    "other lengths": {"rewards": np.zeros((3, 1))},
    "no environments": {"dones": np.zeros((4, 0))},
    "a number for an array": {"actions": 7},
    "columns first": {"observations": np.asfortranarray(np.zeros((4, 1, 300)))[:, :, ::2].copy("F")},
}


@pytest.mark.parametrize("name", LIES)
def test_a_buffer_that_lies_is_refused(name: str, tmp_path: Path, refused: Refused) -> None:
    path = pickled(Buffer(**LIES[name]), tmp_path / "b.pkl")
    refused(SampleError, lambda: read(path))


def test_an_array_whose_bytes_are_fewer_than_its_shape_is_refused(tmp_path: Path, refused: Refused) -> None:
    path = pickled(Buffer(), tmp_path / "b.pkl", protocol=4)
    whole = path.read_bytes()
    shape = b"K\x04K\x01K\x03\x87"
    assert shape in whole
    path.write_bytes(whole.replace(shape, b"K\x09K\x01K\x03\x87"))
    refused(FileError, lambda: read(path))


def npy(shape: str, kind: str = "'|u1'", body: bytes = b"", fortran: str = "False") -> bytes:
    """Write a `.npy` file that says what it likes."""
    header = f"{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


BAD_FRAMES: dict[str, tuple[bytes, type[DormancyError]]] = {
    "a terabyte": (npy("(40, 1000000000, 30)"), UnsafeFileError),
    "more rows than bytes": (npy("(40, 6, 5)"), FileError),
    "more bytes than rows": (npy("(40, 6, 5)", body=bytes(1 << 25)), FileError),
    "objects": (npy("(40, 6, 5)", kind="'|O'", body=pickle.dumps([1])), SampleError),
    "records": (npy("(40,)", kind="[('a', '<i4')]", body=bytes(160)), SampleError),
    "columns first": (npy("(40, 6, 5)", body=bytes(1200), fortran="True"), SampleError),
    "an expression": (npy("().__class__.__base__.__subclasses__()"), SampleError),
    "no array": (b"PK\x03\x04" + bytes(40), FormatError),
    "another length": (npy("(39, 6, 5)", body=bytes(1170)), SampleError),
    "nothing": (b"", FileError),
    "a header without end": (b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31), UnsafeFileError),
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", BAD_FRAMES)
def test_frames_that_lie_are_refused(name: str, tmp_path: Path, refused: Refused) -> None:
    folder = copied("dopamine", tmp_path)
    content, kind = BAD_FRAMES[name]
    (folder / "$store$_observation_ckpt.3.gz").write_bytes(gzip.compress(content))
    refused(FormatError if name == "nothing" else kind, lambda: read(folder))


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("bomb", [bytes(1 << 27), pickle.dumps(Attack(Path("/nowhere/marker")))])
def test_the_pickle_of_a_memory_is_neither_run_nor_inflated_without_end(
    bomb: bytes, tmp_path: Path, refused: Refused
) -> None:
    folder = copied("dopamine", tmp_path)
    (folder / "episode_end_indices_ckpt.3.gz").write_bytes(gzip.compress(bomb))
    refused(UnsafeFileError, lambda: read(folder))


def _meta(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "storage" / "meta.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def _link(folder: Path, name: str, target: Path) -> None:
    (folder / "storage" / name).unlink()
    (folder / "storage" / name).symlink_to(target)


TENSORS: dict[str, tuple[Callable[[Path], object], type[DormancyError]]] = {
    "a link to another file": (lambda f: _link(f, "observation.memmap", Path("/etc/hostname")), UnsafeFileError),
    "a link to another description": (lambda f: _link(f, "meta.json", FOLDER / "torchrl/storage/meta.json"), FileError),
    "a name that climbs": (lambda f: _meta(f, lambda m: m.update({"../x": {"type": "TensorDict"}})), FormatError),
    "a larger shape": (lambda f: _meta(f, lambda m: m["observation"].update(shape=[12, 1 << 40])), FileError),
    "another storage": (lambda f: _meta(f, lambda m: m.update(shape=[11])), InputError),
    "no shape": (lambda f: _meta(f, lambda m: m.update(shape=None)), SampleError),
    "an unknown type": (lambda f: _meta(f, lambda m: m["observation"].update(dtype="torch.complex64")), SampleError),
    "a pickled entry": (lambda f: _meta(f, lambda m: m.pop("observation")), SampleError),
    "deep JSON": (lambda f: (f / "storage/meta.json").write_text("[" * 500_000), FileError),
    "long JSON": (lambda f: (f / "storage/meta.json").write_text("{" + " " * (1 << 21) + "}"), FileError),
    "a cursor beyond": (lambda f: (f / "writer/metadata.json").write_text('{"cursor": 99}'), SampleError),
    "a length beyond": (lambda f: (f / "storage/storage_metadata.json").write_text('{"len": 99}'), SampleError),
    "a pytree": (lambda f: (f / "storage/storage_metadata.json").write_text('{"is_pytree": true}'), SampleError),
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_lie_are_refused(name: str, tmp_path: Path, refused: Refused) -> None:
    folder = copied("torchrl", tmp_path)
    change, kind = TENSORS[name]
    change(folder)
    refused(kind, lambda: read(folder))


def test_the_pickles_beside_a_buffer_of_torchrl_are_never_opened(tmp_path: Path) -> None:
    folder = copied("torchrl", tmp_path)
    pickled(Attack(tmp_path / "marker"), folder / "prefetch.pkl")
    pickled(Attack(tmp_path / "marker"), folder / "storage" / "other.pickle")
    assert len(read(folder)["rewards"]) == 12
    assert not (tmp_path / "marker").exists()


def parts(name: str, root: Path) -> list[Path]:
    """List the files of a memory that are needed to read it."""
    path = root / name
    unused = ("buffer_metadata.json", "index.memmap", "invalid_range_ckpt.3.gz")
    return [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file() and f.name not in unused)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", MEMORIES)
def test_truncated_memories_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    rng, root = random.Random(name), copied(name, tmp_path).parent
    for _ in range(50):
        part = rng.choice(parts(name, root))
        whole = part.read_bytes()
        part.write_bytes(whole[: rng.randrange(len(whole))])
        with pytest.raises(DormancyError) as caught:
            read(root / name, MEMORIES[name])
        one_printable_line(caught.value)
        part.write_bytes(whole)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", MEMORIES)
def test_changed_bytes_give_an_answer_or_one_line(name: str, tmp_path: Path) -> None:
    rng, root = random.Random(name), copied(name, tmp_path).parent
    for _ in range(150):
        part = rng.choice(parts(name, root))
        whole = part.read_bytes()
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] = rng.randrange(256)
        part.write_bytes(changed)
        try:
            read(root / name, MEMORIES[name])
        except DormancyError as error:
            one_printable_line(error)
        part.write_bytes(whole)


def test_a_pipe_is_not_waited_for(tmp_path: Path, refused: Refused) -> None:
    folder = copied("dopamine", tmp_path)
    (folder / "add_count_ckpt.3.gz").unlink()
    os.mkfifo(folder / "add_count_ckpt.3.gz")
    assert "FIFO" in refused(FileError, lambda: read(folder))


def test_a_stored_gzip_bomb_costs_its_declared_rows_only(tmp_path: Path, refused: Refused) -> None:
    """A header of small rows in front of 200 MB of zeros: what is read ends where the header says."""
    folder, stream = copied("dopamine", tmp_path), io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as out:
        out.write(npy("(40, 6, 5)"))
        for _ in range(200):
            out.write(bytes(1 << 20))
    (folder / "$store$_observation_ckpt.3.gz").write_bytes(stream.getvalue())
    assert "more follows" in refused(FileError, lambda: read(folder))
