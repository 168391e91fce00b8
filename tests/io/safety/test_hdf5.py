"""Hostile and damaged samples: each is refused in one line, reads no other file, takes little memory and time."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from dormancy.errors import DormancyError, FileError, FormatError, InputError, SampleError, UnsafeFileError
from dormancy.io import ReplaySample, open_sample, save_sample
from dormancy.io.safety.hdf5 import GuardedFile
from tests.io.expectations import Refused, one_printable_line, single_input
from tests.io.samples.test_native import equal

pytestmark = pytest.mark.usefixtures("bounded")

Build = Callable[[h5py.File], object]
ROWS = np.arange(40, dtype=np.float32).reshape(10, 4)


def read(path: Path) -> list[object]:
    """Open a sample and read everything in it."""
    with open_sample(path) as sample:
        parts = sample.observations
        whole = [parts[name][0:99] for name in parts] if isinstance(parts, dict) else [parts[0:99]]  # type: ignore[index]
        return [whole, sample.actions, dict(sample.provenance)]


def build(path: Path, change: Build, observations: bool = True, schema: str = "dormancy.sample 1.0") -> Path:
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        name, _, version = schema.partition(" ")
        file.attrs["schema"], file.attrs["schema_version"] = np.bytes_(name), np.bytes_(version)
        if observations:
            file["observations"] = ROWS
        change(file)
    return path


def secret(file: h5py.File) -> str:
    """Another file of the user, which a hostile one tries to read."""
    other = Path(file.filename).with_name("secret.h5")
    with h5py.File(other, "w") as stream:
        stream["observations"] = ROWS
    return str(other)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((10, 4), np.float32)
    layout[:] = h5py.VirtualSource(secret(file), "observations", (10, 4))
    file.create_virtual_dataset("observations", layout)


def external_storage(file: h5py.File) -> None:
    other = Path(file.filename).with_name("secret.bin")
    other.write_bytes(bytes(160))
    file.create_dataset("observations", (10, 4), np.float32, external=[(str(other), 0, 160)])


def twice_deflated(file: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((10, 4))
    properties.set_deflate(4)
    properties.set_deflate(4)
    h5py.h5d.create(file.id, b"observations", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((10, 4)), properties)
    file["observations"][:] = ROWS


def linked_input(file: h5py.File) -> None:
    file["observations/a"] = ROWS
    file["observations/b"] = h5py.SoftLink("/observations/a")


def reference(file: h5py.File) -> None:
    file.create_dataset("observations", (1,), h5py.ref_dtype)


def vlen_attribute(file: h5py.File) -> None:
    file.attrs["env_id"] = "variable length"


def many_attributes(file: h5py.File) -> None:
    for index in range(300):
        file.attrs[f"a{index}"] = index


def many_entries(file: h5py.File) -> None:
    for index in range(300):
        file.create_group(f"g{index}")


HOSTILE: dict[str, tuple[Build, type[DormancyError]]] = {
    "an external link": (
        lambda f: f.update({"observations": h5py.ExternalLink(secret(f), "/observations")}),
        UnsafeFileError,
    ),
    "a soft link": (lambda f: f.update({"x": ROWS, "observations": h5py.SoftLink("/x")}), UnsafeFileError),
    "a dangling link": (lambda f: f.update({"observations": h5py.SoftLink("/nowhere")}), UnsafeFileError),
    "a link of several inputs": (linked_input, UnsafeFileError),
    "a virtual dataset": (virtual, UnsafeFileError),
    "external storage": (external_storage, UnsafeFileError),
    "text of variable length": (lambda f: f.update({"observations": np.array(["a", "b"], "O")}), UnsafeFileError),
    "text of fixed length": (lambda f: f.update({"observations": np.array([b"a", b"b"])}), UnsafeFileError),
    "lists of variable length": (
        lambda f: f.create_dataset("observations", (3,), h5py.vlen_dtype(np.uint8)),
        UnsafeFileError,
    ),
    "references": (reference, UnsafeFileError),
    "records": (lambda f: f.update({"observations": np.zeros(3, [("a", "i4")])}), UnsafeFileError),
    "complex numbers": (lambda f: f.update({"observations": np.zeros(3, complex)}), UnsafeFileError),
    "opaque bytes": (lambda f: f.update({"observations": np.zeros(3, "V5")}), UnsafeFileError),
    "long doubles": (lambda f: f.update({"observations": np.zeros(3, np.longdouble)}), SampleError),
    "an enumeration": (
        lambda f: f.create_dataset("observations", (3,), h5py.enum_dtype({"A": 1, "B": 2}, "i4")),
        SampleError,
    ),
    "a filter that loses": (lambda f: f.create_dataset("observations", data=[1, 2], scaleoffset=0), UnsafeFileError),
    "deflate twice": (twice_deflated, UnsafeFileError),
    "petabytes in one piece": (lambda f: f.create_dataset("observations", (1 << 50,), "u1"), UnsafeFileError),
    "petabytes in chunks": (
        lambda f: f.create_dataset("observations", (1 << 40, 84, 84), "u1", chunks=(16, 84, 84), compression="gzip"),
        UnsafeFileError,
    ),
    "a huge chunk": (
        lambda f: f.create_dataset("observations", (1 << 12, 1 << 20), "u1", chunks=(1 << 11, 1 << 20)),
        UnsafeFileError,
    ),
    "a huge row": (
        lambda f: f.create_dataset("observations", (1, 1 << 30), "u1", chunks=(1, 1 << 10)),
        UnsafeFileError,
    ),
    "no rows": (lambda f: f.update({"observations": np.zeros((0, 4))}), SampleError),
    "no numbers in a row": (lambda f: f.update({"observations": np.zeros((4, 0))}), SampleError),
    "a single number": (lambda f: f.update({"observations": 3.0}), SampleError),
    "a null space": (lambda f: f.update({"observations": h5py.Empty("f")}), SampleError),
    "a named type": (lambda f: f.update({"observations": np.dtype("f4")}), SampleError),
    "no inputs": (lambda f: f.create_group("observations"), SampleError),
    "groups in groups": (lambda f: f.create_group("observations/a"), SampleError),
    "nothing": (lambda f: None, SampleError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_observations_are_refused(tmp_path: Path, refused: Refused, name: str) -> None:
    change, kind = HOSTILE[name]
    path = build(tmp_path / "a.h5", change, observations=False)
    assert "a.h5" in refused(kind, lambda: read(path))


ONE_DATASET = [
    name for name in HOSTILE if name not in ("nothing", "no inputs", "groups in groups", "a link of several inputs")
]


@pytest.mark.parametrize("name", ONE_DATASET)
def test_hostile_optional_arrays_are_refused(tmp_path: Path, refused: Refused, name: str) -> None:
    """The same file with its content under /actions, beside honest observations."""
    change, kind = HOSTILE[name]
    path = build(tmp_path / "a.h5", change, observations=False)
    with h5py.File(path, "r+") as file:
        file.move("observations", "actions")
        file["observations"] = ROWS
    assert "a.h5" in refused(kind, lambda: read(path))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (vlen_attribute, UnsafeFileError),
        (many_attributes, UnsafeFileError),
        (many_entries, UnsafeFileError),
        (lambda f: f.attrs.create("space", b"", dtype=h5py.string_dtype("utf-8", 2 << 20)), UnsafeFileError),
        (lambda f: f.attrs.create("list", [1, 2]), UnsafeFileError),
        (lambda f: f.attrs.create("ref", f.ref, dtype=h5py.ref_dtype), UnsafeFileError),
        (lambda f: f.update({"unknown": h5py.ExternalLink("/etc/passwd", "/")}), UnsafeFileError),
        (lambda f: f.update({"\x1b[2J\u202e": h5py.SoftLink("/x")}), UnsafeFileError),
        (lambda f: f.update({"actions": np.zeros(9)}), SampleError),
        (lambda f: f.create_group("actions"), SampleError),
        (lambda f: f.update({"next_observations": np.zeros((11, 4))}), SampleError),
        (lambda f: f.create_dataset("actions", (10, 1 << 24), "u1", chunks=(1, 1 << 24), fillvalue=1), UnsafeFileError),
    ],
)
def test_what_stands_beside_honest_observations_is_checked(
    tmp_path: Path, refused: Refused, change: Build, kind: type[DormancyError]
) -> None:
    path = build(tmp_path / "a.h5", change)
    refused(kind, lambda: read(path))


def test_unknown_members_are_left_alone(tmp_path: Path) -> None:
    path = build(tmp_path / "a.h5", lambda f: f.update({"later": np.zeros(3), "text": np.array(["x"], "O")}))
    observations, actions, _ = read(path)
    assert np.array_equal(np.asarray(observations)[0], ROWS)
    assert actions is None


def test_nothing_outside_the_file_is_opened(tmp_path: Path, refused: Refused) -> None:
    """The other file is a FIFO: opening it would hang until the time is up."""
    os.mkfifo(tmp_path / "fifo")
    target = str(tmp_path / "fifo")
    layout = h5py.VirtualLayout((10, 4), np.float32)
    layout[:] = h5py.VirtualSource(target, "x", (10, 4))
    for change in (
        lambda f: f.update({"observations": h5py.ExternalLink(target, "/x")}),
        lambda f: f.create_virtual_dataset("observations", layout),
        lambda f: f.create_dataset("observations", (10, 4), "f4", external=[(target, 0, 160)]),
    ):
        path = build(tmp_path / "a.h5", change, observations=False)
        refused(UnsafeFileError, partial(read, path))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("dormancy.sample 2.0", "2.0"),
        ("d4rl 1.0", "d4rl"),
        ("dormancy.sample ", "dormancy.sample"),
        ("\x1b[2J 1", "x1b"),
    ],
)
def test_another_schema_is_named(tmp_path: Path, refused: Refused, schema: str, said: str) -> None:
    path = build(tmp_path / "a.h5", lambda f: None, schema=schema)
    assert said in refused(FormatError, lambda: read(path))


def test_a_later_minor_version_is_read(tmp_path: Path) -> None:
    assert read(build(tmp_path / "a.h5", lambda f: None, schema="dormancy.sample 1.9"))[2] == {}


def test_a_file_without_a_schema_is_told(tmp_path: Path, refused: Refused) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["terminals"] = np.zeros(3)
    assert "'terminals'" in refused(FormatError, lambda: read(tmp_path / "a.h5"))


def test_other_files_are_told(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "a.h5").write_bytes(b"PK\x03\x04" + bytes(99))
    assert "zip" in refused(FormatError, lambda: read(tmp_path / "a.h5"))
    (tmp_path / "a.h5").write_bytes(b"hello")
    assert "text" in refused(FormatError, lambda: read(tmp_path / "a.h5"))
    assert "no such file" in refused(FileError, lambda: read(tmp_path / "missing.h5"))
    assert "is a folder" in refused(FileError, lambda: read(tmp_path))


def test_a_sample_cut_anywhere_is_refused(tmp_path: Path, sample: ReplaySample, refused: Refused) -> None:
    raw = save_sample(tmp_path / "whole.h5", sample).read_bytes()
    for cut in [7, 8, 9, 48, len(raw) - 1, *random.Random(1).sample(range(10, len(raw) - 1), 50)]:
        (tmp_path / "cut.h5").write_bytes(raw[:cut])
        refused(InputError, lambda: read(tmp_path / "cut.h5"))
    (tmp_path / "cut.h5").write_bytes(b"")
    refused(FileError, lambda: read(tmp_path / "cut.h5"))


def test_a_damaged_chunk_shows_when_its_rows_are_read(tmp_path: Path, refused: Refused) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 4, 20, 20), dtype=np.uint8)
    path = save_sample(tmp_path / "a.h5", ReplaySample(noise))
    with h5py.File(path) as file:
        dataset = file["observations"]
        rows = dataset.chunks[0]
        place = dataset.id.get_chunk_info(1)
    raw = bytearray(path.read_bytes())
    raw[place.byte_offset + place.size // 2] ^= 4
    path.write_bytes(raw)
    with open_sample(path) as damaged:
        observations = single_input(damaged)
        assert np.array_equal(observations[0:rows], noise[0:rows])
        message = refused(FileError, lambda: observations[rows : rows + 1])
        assert "a.h5" in message
        assert f"rows {rows} to {rows + 1} of 'observations'" in message
        # and when it is copied, the error is that of the damaged file and no copy is left
        assert "a.h5: damaged" in refused(FileError, lambda: save_sample(tmp_path / "copy.h5", damaged))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


def test_a_chunk_counted_many_times_is_refused(
    tmp_path: Path, sample: ReplaySample, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index may name one stored chunk for every row: then more is stored than the file is long."""
    path = save_sample(tmp_path / "a.h5", sample)
    with h5py.File(path, locking=False) as file:
        claimed = GuardedFile(file, path, size=100)
        assert "stored bytes in a file of 100" in refused(UnsafeFileError, lambda: claimed.lazy(file, "observations"))
        monkeypatch.setattr("dormancy.io.safety.hdf5.MAX_IN_MEMORY", 10)
        honest = GuardedFile(file, path, path.stat().st_size)
        assert "takes 400 bytes" in refused(UnsafeFileError, lambda: honest.in_memory(file, "actions"))


def test_rows_asked_for_after_closing_are_told(tmp_path: Path, sample: ReplaySample, refused: Refused) -> None:
    with open_sample(save_sample(tmp_path / "a.h5", sample)) as opened:
        pass
    observations = single_input(opened)
    assert "was closed" in refused(FileError, lambda: observations[0:3])


def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(tmp_path: Path, sample: ReplaySample) -> None:
    path = save_sample(tmp_path / "a.h5", sample)
    raw = path.read_bytes()
    whole = read(path)
    choose = random.Random(4)
    found = 0
    for _ in range(300):
        damaged = bytearray(raw)
        damaged[choose.randrange(len(raw))] ^= 1 << choose.randrange(8)
        path.write_bytes(damaged)
        try:
            result = read(path)
        except InputError as error:
            one_printable_line(error)
            found += 1
        else:
            assert equal(result[0][0], whole[0][0])  # type: ignore[index]
            assert equal(result[1], whole[1])
            assert result[2] == whole[2]
    assert found > 200
