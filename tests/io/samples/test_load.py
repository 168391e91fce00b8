"""Data sets of other libraries: files that these libraries wrote, against the formulas they were written from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dormancy.errors import DormancyError, FormatError, SampleError, UnsafeFileError, UsageError
from dormancy.io import ReplaySample, open_foreign_sample, open_sample, save_sample
from dormancy.io.arrays.concatenated import JoinedArray, PickedArray
from dormancy.io.samples.draw import pick_rows
from dormancy.io.samples.load import SAMPLE_READERS, open_picked
from tests.io.expectations import Refused, one_printable_line

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "samples"
READABLE = ("d4rl", "minari", "minari-pixels", "robomimic", "tianshou", "tianshou-vector")
LENGTHS = (5, 3, 12)


def episode(index: int, steps: int) -> np.ndarray:
    rows = 100.0 * index + np.arange(steps + 1)
    return np.stack([rows, rows + 1 / 3], axis=1).astype(np.float32)


def everything(sample: ReplaySample) -> dict[str, Any]:
    """Read all of a sample while its file is open."""
    found: dict[str, Any] = {}
    for name in ("observations", "next_observations"):
        part = getattr(sample, name)
        if isinstance(part, Mapping):
            found[name] = {key: array[0 : len(array)] for key, array in part.items()}
        elif part is not None:
            found[name] = part[0 : len(part)]
    others = ("actions", "rewards", "terminations", "truncations", "episode_ids")
    return found | {name: getattr(sample, name) for name in others if getattr(sample, name) is not None}


def read(name: str) -> dict[str, Any]:
    with open_foreign_sample(FOLDER / f"{name}.hdf5") as sample:
        assert sample.source is not None
        assert sample.source.format == name.partition("-")[0]
        return everything(sample)


def test_minari_joins_episodes_in_the_order_of_their_numbers() -> None:
    found = read("minari")
    lengths = [LENGTHS[index % 3] for index in range(11)]
    episodes = [episode(index, steps) for index, steps in enumerate(lengths)]
    assert np.array_equal(found["observations"], np.concatenate([rows[:-1] for rows in episodes]))
    assert np.array_equal(found["next_observations"], np.concatenate([rows[1:] for rows in episodes]))
    assert np.array_equal(found["episode_ids"], np.repeat(np.arange(11), lengths))
    assert np.array_equal(found["actions"], np.concatenate([np.arange(steps) % 4 for steps in lengths]))
    assert np.array_equal(found["rewards"], np.concatenate([np.arange(steps) * 0.5 for steps in lengths]))
    last = np.cumsum(lengths) - 1
    assert np.array_equal(np.flatnonzero(found["terminations"]), last[::2])
    assert np.array_equal(np.flatnonzero(found["truncations"]), last[1::2])


def test_minari_pixels_without_jpeg_are_the_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    found = read("minari-pixels")
    assert np.array_equal(found["observations"], noise[:-1])
    assert found["observations"].dtype == np.uint8


@pytest.mark.parametrize("name", ["minari-jpeg", "minari-jpeg-even"])
def test_minari_jpeg_is_named_and_refused(name: str, refused: Refused) -> None:
    """Images of different lengths are lists of bytes; of equal length they look like observations, and are not."""
    message = refused(SampleError, lambda: read(name))
    assert "JPEG" in message
    assert "jpeg_encoding=False" in message


def test_d4rl() -> None:
    found = read("d4rl")
    rows = np.concatenate([episode(index, steps)[:-1] for index, steps in enumerate(LENGTHS)])
    assert np.array_equal(found["observations"], rows)
    assert np.array_equal(found["actions"], rows[:, :1] / 1000)
    assert np.array_equal(found["episode_ids"], np.repeat([0, 1, 2], LENGTHS))
    assert np.flatnonzero(found["terminations"]).tolist() == [4]
    assert np.flatnonzero(found["truncations"]).tolist() == [7]


def test_robomimic() -> None:
    found = read("robomimic")
    rows = [episode(index, steps) for index, steps in enumerate(LENGTHS)]
    before, after = (np.concatenate([each[part] for each in rows]) for part in (slice(-1), slice(1, None)))
    assert np.array_equal(found["observations"]["robot0_eef_pos"], before)
    assert np.array_equal(found["next_observations"]["robot0_eef_pos"], after)
    assert found["observations"]["agentview_image"].shape == (20, 4, 4, 3)
    assert np.array_equal(found["observations"]["agentview_image"][:, 0, 0, 0], before[:, 0].astype(np.uint8))
    assert np.array_equal(found["episode_ids"], np.repeat([0, 1, 2], LENGTHS))
    assert np.array_equal(np.flatnonzero(found["terminations"]), np.cumsum(LENGTHS) - 1)


def test_a_ring_of_tianshou_is_read_from_its_oldest_row() -> None:
    found, steps = read("tianshou"), np.arange(3, 15)
    assert np.array_equal(found["observations"], np.stack([steps, steps + 1 / 3], 1).astype(np.float32))
    assert np.array_equal(found["next_observations"], found["observations"] + 1)
    assert np.array_equal(found["actions"], steps % 4)
    assert np.array_equal(found["rewards"], steps * 0.5)
    assert np.array_equal(found["episode_ids"], [0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2])


def test_several_rings_of_tianshou_are_read_one_after_the_other() -> None:
    found = read("tianshou-vector")
    assert np.array_equal(found["observations"][:, 0], [3, 4, 5, 6, 7, 8, 100, 101, 102, 103])
    assert np.array_equal(found["episode_ids"], [0, 0, 1, 1, 1, 1, 2, 2, 2, 2])


@pytest.mark.parametrize("name", READABLE)
def test_what_was_converted_is_what_was_read(name: str, tmp_path: Path) -> None:
    expected = read(name)
    with open_foreign_sample(FOLDER / f"{name}.hdf5") as sample:
        save_sample(tmp_path / "s.h5", sample)
    with open_sample(tmp_path / "s.h5") as again:
        np.testing.assert_equal(everything(again), expected)
        assert again.provenance["source"] == name.partition("-")[0]
        assert len(again.provenance["source_sha256"]) == 64
    with open_foreign_sample(tmp_path / "s.h5") as again:
        np.testing.assert_equal(everything(again), expected)


def test_drawn_rows_are_repeatable_and_stay_together() -> None:
    with open_picked(FOLDER / "d4rl.hdf5", 7, 3) as sample, open_picked(FOLDER / "d4rl.hdf5", 7, 3) as twin:
        found, again = everything(sample), everything(twin)
        assert sample.provenance["rows"] == "7 of 20, drawn uniformly"
    np.testing.assert_equal(found, again)
    assert len(found["observations"]) == 7
    assert np.array_equal(found["actions"], found["observations"][:, :1] / 1000)
    assert (np.diff(found["rewards"]) > 0).all()
    with open_picked(FOLDER / "d4rl.hdf5", 7, 4) as other:
        assert not np.array_equal(everything(other)["rewards"], found["rewards"])


def test_more_rows_than_there_are_means_all() -> None:
    with open_picked(FOLDER / "d4rl.hdf5", 500, 0) as sample:
        assert len(sample) == 20
        with pytest.raises(UsageError):
            pick_rows(sample, 0, 0)


def test_joined_and_picked_arrays_agree_with_numpy() -> None:
    rng = random.Random(3)
    parts = [np.arange(10 * size).reshape(size, 10) for size in (4, 1, 7)]
    joined = JoinedArray([(parts[0], 1, 4), (parts[1], 0, 1), (parts[2], 3, 3), (parts[2], 2, 7)], "x")
    plain = np.concatenate([parts[0][1:4], parts[1], parts[2][2:7]])
    positions = np.array([0, 1, 4, 5, 6, 8])
    picked = PickedArray(joined, positions)
    for _ in range(60):
        rows = slice(rng.randrange(12), rng.randrange(12))
        assert np.array_equal(joined[rows], plain[rows])
        assert np.array_equal(picked[rows], plain[positions][rows])
    assert joined.shape == plain.shape
    with pytest.raises(UsageError):
        joined[::2]


WRONG = {
    "an unknown kind": (lambda f: f.update({"x": np.ones(3)}), FormatError),
    "a soft link": (
        lambda f: f.update({"y": np.ones((3, 2)), "observations": h5py.SoftLink("/y")} | _columns()),
        UnsafeFileError,
    ),
    "an external link": (
        lambda f: f.update({"observations": h5py.ExternalLink("/etc/passwd", "/x")} | _columns()),
        UnsafeFileError,
    ),
    "objects": (
        lambda f: f.update({"observations": np.array(["a", "b", "c"], "O")} | _columns()),
        UnsafeFileError,
    ),
    "different lengths": (lambda f: f.update({"observations": np.ones((4, 2))} | _columns()), SampleError),
    "an episode too long": (
        lambda f: f.update(
            {
                "episode_0/observations": np.ones((9, 2)),
                "episode_0/actions": np.ones(3),
                "episode_0/rewards": np.ones(3),
            }
        ),
        SampleError,
    ),
    "states without observations": (lambda f: f.update({"data/demo_0/states": np.ones((3, 2))}), SampleError),
}


def _columns() -> dict[str, Any]:
    return {"actions": np.ones((3, 1)), "rewards": np.ones(3), "terminals": np.zeros(3)}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", WRONG)
def test_hostile_and_wrong_files_are_refused_in_one_line(name: str, tmp_path: Path, refused: Refused) -> None:
    build, kind = WRONG[name]
    with h5py.File(tmp_path / "wrong.hdf5", "w") as file:
        build(file)

    def act() -> None:
        with open_foreign_sample(tmp_path / "wrong.hdf5") as sample:
            everything(sample)

    assert "wrong.hdf5" in refused(kind, act)


@pytest.mark.parametrize("field", ["last_index", "_size", "maxsize"])
def test_a_ring_that_lies_is_refused(field: str, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "ring.hdf5"
    path.write_bytes((FOLDER / "tianshou.hdf5").read_bytes())
    with h5py.File(path, "r+") as file:
        if field == "last_index":
            file[field][0] = 12
        else:
            file.attrs[field] = np.int64(13 if field == "_size" else -4)

    def act() -> None:
        with open_foreign_sample(path) as sample:
            everything(sample)

    refused(SampleError, act)


@pytest.mark.parametrize("content", [b"", b"\x80\x04}.", b"\x1f\x8b\x08" + bytes(40), b"PK\x03\x04" + bytes(40)])
def test_other_kinds_of_files_are_described(content: bytes, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)

    def act() -> None:
        with open_foreign_sample(path):
            pass

    refused(DormancyError, act)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", READABLE)
def test_truncated_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    whole, rng = (FOLDER / f"{name}.hdf5").read_bytes(), random.Random(name)
    path = tmp_path / "cut.hdf5"
    for _ in range(50):
        path.write_bytes(whole[: rng.randrange(len(whole))])
        with pytest.raises(DormancyError) as caught, open_foreign_sample(path) as sample:
            everything(sample)
        one_printable_line(caught.value)


def test_every_registered_kind_has_a_file() -> None:
    assert set(SAMPLE_READERS) == {name.partition("-")[0] for name in READABLE}
