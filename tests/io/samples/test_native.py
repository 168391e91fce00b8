from __future__ import annotations

import hashlib
import resource
import threading
import time
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dormancy.errors import OutputError, SampleError, UsageError
from dormancy.io import ReplaySample, open_sample, save_sample, sha256_file
from dormancy.io.arrays.base import Array
from dormancy.io.limits import SAMPLE_DTYPES
from tests.io.expectations import Refused, single_input

OPTIONAL = ("actions", "rewards", "terminations", "truncations", "episode_ids", "steps")
FIELDS = ("observations", "next_observations", *OPTIONAL)
DTYPES = sorted(SAMPLE_DTYPES, key=str)
SHAPES = st.lists(st.integers(1, 4), max_size=3)
PROVENANCE = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: not name.startswith("schema")),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    max_size=4,
)


def made(rows: int, shape: list[int], dtype: np.dtype[Any], seed: int) -> Array:
    """Return an array of any bits, NaN and infinities included."""
    size = rows * int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(seed).integers(0, 2 if dtype.kind == "b" else 256, size).astype(np.uint8)
    return raw.view(dtype).reshape(rows, *shape)


def arrays(rows: int) -> st.SearchStrategy[Array]:
    return st.builds(made, st.just(rows), SHAPES, st.sampled_from(DTYPES), st.integers(0, 99))


@st.composite
def samples(draw: st.DrawFn) -> ReplaySample:
    rows = draw(st.integers(1, 40))
    names = st.from_regex(r"[a-zA-Z0-9_.:-]{1,8}", fullmatch=True).filter(lambda name: name not in (".", ".."))
    inputs = st.dictionaries(names, arrays(rows), min_size=1, max_size=3)
    optional: dict[str, Any] = {name: draw(st.none() | arrays(rows)) for name in OPTIONAL}
    return ReplaySample(
        draw(arrays(rows) | inputs),
        next_observations=draw(st.none() | arrays(rows) | inputs),
        provenance=draw(PROVENANCE),
        **optional,
    )


def equal(one: Any, other: Any) -> bool:
    """Whether two arrays, or two groups of arrays, are the same bit for bit."""
    if isinstance(one, dict) or isinstance(other, dict):
        return sorted(one) == sorted(other) and all(equal(one[name], other[name]) for name in one)
    if one is None or other is None:
        return one is other
    first, second = one[0 : len(one)], other[0 : len(other)]
    return (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(samples())
def test_what_is_saved_is_read(tmp_path: Path, saved: ReplaySample) -> None:
    path = save_sample(tmp_path / "step.h5", saved, force=True)
    with open_sample(path) as read:
        assert len(read) == len(saved)
        for name in FIELDS:
            assert equal(getattr(saved, name), getattr(read, name)), name
        assert {"created_by": read.provenance["created_by"], **saved.provenance} == read.provenance
        again = save_sample(tmp_path / "again.h5", read, force=True)
    assert again.read_bytes() == path.read_bytes()


def test_the_file_is_as_documented(tmp_path: Path, sample: ReplaySample) -> None:
    path = save_sample(tmp_path / "step.h5", sample)
    with h5py.File(path) as file:
        attributes = {name: file.attrs[name].decode() for name in file.attrs}
        assert attributes["schema"] == "dormancy.sample"
        assert attributes["schema_version"] == "1.0"
        assert attributes["observation_space"] == sample.provenance["observation_space"]
        assert not any(file.attrs.get_id(name).get_type().is_variable_str() for name in file.attrs)
        assert sorted(file) == ["actions", "episode_ids", "observations", "rewards", "terminations"]
        observations = file["observations"]
        assert observations.dtype == np.uint8
        assert (observations.compression, observations.compression_opts) == ("gzip", 4)
        assert observations.shuffle
        assert observations.fletcher32


def test_frames_come_in_chunks_of_16_rows_and_small_rows_in_larger_ones(tmp_path: Path) -> None:
    frames = np.zeros((40, 4, 84, 84), np.uint8)
    sample = ReplaySample({"frames": frames, "state": np.zeros((40, 3))}, rewards=np.zeros(40))
    with h5py.File(save_sample(tmp_path / "a.h5", sample)) as file:
        assert file["observations/frames"].chunks == (16, 4, 84, 84)
        assert file["observations/state"].chunks == (40, 3)
        assert file["rewards"].chunks == (40,)


def test_equal_samples_give_equal_bytes(tmp_path: Path, sample: ReplaySample) -> None:
    one = save_sample(tmp_path / "one.h5", sample).read_bytes()
    time.sleep(1.1)  # a time stamp in the file would show
    assert save_sample(tmp_path / "other.h5", sample).read_bytes() == one


def test_the_source_says_where_it_came_from(tmp_path: Path, sample: ReplaySample) -> None:
    path = save_sample(tmp_path / "a.h5", sample)
    with open_sample(str(path)) as read:
        assert read.source is not None
        assert (read.source.path, read.source.format) == (str(path), "dormancy.sample")
        assert read.source.sha256 == sha256_file(path)


def test_slices_read_as_those_of_an_array(tmp_path: Path, sample: ReplaySample, refused: Refused) -> None:
    path = save_sample(tmp_path / "a.h5", sample)
    with open_sample(path) as read:
        stored, whole = single_input(read), single_input(sample)
        assert (stored.shape, stored.dtype, len(stored)) == (whole.shape, whole.dtype, 50)
        for rows in (
            slice(0, 16),
            slice(7, 23),
            slice(40, 99),
            slice(-3, None),
            slice(9, 3),
            slice(None),
            slice(60, 70),
        ):
            assert np.array_equal(stored[rows], whole[rows])
        for wrong in (3, slice(0, 9, 2), [1, 2], slice(None, None, -1)):
            refused(UsageError, partial(stored.__getitem__, wrong))


def test_big_endian_numbers_are_read_in_native_order(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    values = np.arange(8, dtype=">f4").reshape(4, 2)
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {"schema": np.bytes_("dormancy.sample"), "schema_version": np.bytes_("1.0"), "frame_stack": 4}
        )
        file["observations"] = values
    with open_sample(path) as read:
        observations = single_input(read)
        assert observations.dtype == np.dtype("=f4")
        assert observations[0:4].dtype == np.dtype("=f4")
        assert np.array_equal(observations[0:4], values)
        assert read.provenance == {"frame_stack": "4"}


def test_memory_does_not_grow_with_the_sample(tmp_path: Path) -> None:
    """Copying 64 MB through an array that makes its rows when they are asked for."""

    class Rows:
        shape = (2048, 4, 96, 84)
        dtype = np.dtype(np.uint8)

        def __len__(self) -> int:
            return self.shape[0]

        def __getitem__(self, rows: slice) -> Array:
            start, stop, _ = rows.indices(len(self))
            return np.full((stop - start, *self.shape[1:]), start % 251, np.uint8)

    tracemalloc.start()
    save_sample(tmp_path / "a.h5", ReplaySample(Rows()))
    with open_sample(tmp_path / "a.h5") as read:
        total = sum(int(single_input(read)[start : start + 64].sum()) for start in range(0, 2048, 64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 0
    assert peak < 20e6


@pytest.mark.parametrize(
    "changed",
    [
        {"observations": np.zeros((0, 4))},
        {"observations": np.zeros((50, 0))},
        {"observations": np.float32(3)},
        {"observations": {}},
        {"observations": {"a/b": np.zeros(50)}},
        {"observations": {"..": np.zeros(50)}},
        {"observations": {"a\x1b": np.zeros(50)}},
        {"observations": np.zeros(50, complex)},
        {"observations": np.zeros(50, "U3")},
        {"observations": np.zeros(50, object)},
        {"observations": np.zeros(50, [("a", int)])},
        {"observations": np.zeros(50, "M8[s]")},
        {"observations": {"a": np.zeros(50), "b": np.zeros(49)}},
        {"next_observations": np.zeros((49, 2))},
        {"next_observations": {}},
        {"actions": np.zeros(51)},
        {"episode_ids": np.array(["a"] * 50)},
    ],
    ids=lambda changed: str({name: getattr(value, "dtype", value) for name, value in changed.items()})[:60],
)
def test_a_sample_that_breaks_the_schema_is_not_written(
    tmp_path: Path, sample: ReplaySample, refused: Refused, changed: dict[str, Any]
) -> None:
    refused(SampleError, lambda: save_sample(tmp_path / "a.h5", replace(sample, **changed)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "provenance",
    [{"schema": "x"}, {"a b": "x"}, {"": "x"}, {"seed": 3}, {"a": "x\0y"}, {"a": "x" * (2 << 20)}],
    ids=str,
)
def test_provenance_is_text_under_plain_names(
    tmp_path: Path, sample: ReplaySample, refused: Refused, provenance: dict[str, Any]
) -> None:
    refused(UsageError, lambda: save_sample(tmp_path / "a.h5", replace(sample, provenance=provenance)))


def test_long_provenance_is_kept(tmp_path: Path, sample: ReplaySample) -> None:
    space = "é" * 100_000
    path = save_sample(tmp_path / "a.h5", replace(sample, provenance={"observation_space": space, "layout": ""}))
    with open_sample(path) as read:
        assert read.provenance["observation_space"] == space
        assert read.provenance["layout"] == ""


def test_an_existing_sample_is_kept(tmp_path: Path, sample: ReplaySample, refused: Refused) -> None:
    path = save_sample(tmp_path / "a.h5", sample)
    before = path.read_bytes()
    refused(OutputError, lambda: save_sample(path, ReplaySample(np.zeros((3, 2)))))
    assert path.read_bytes() == before
    save_sample(path, ReplaySample(np.zeros((3, 2))), force=True)
    with open_sample(path) as read:
        assert len(read) == 3


@pytest.mark.parametrize("limit", [1 << 8, 1 << 12, 1 << 16, 1 << 20, (1 << 20) + 600_000])
def test_a_write_that_fails_anywhere_keeps_the_old_sample(
    tmp_path: Path, sample: ReplaySample, refused: Refused, limit: int
) -> None:
    """HDF5 told of a failed write published a broken file and crashed later; see `Sink`."""
    path = save_sample(tmp_path / "a.h5", sample)
    before = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, (60, 4, 84, 84), dtype=np.uint8)
    large = ReplaySample(noise, actions=np.arange(60))
    whole = len(save_sample(tmp_path / "whole.h5", large).read_bytes())
    assert limit < whole
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        assert "File too large" in refused(OutputError, lambda: save_sample(path, large, force=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.h5", "whole.h5"]


def test_an_error_of_the_rows_is_not_hidden(tmp_path: Path) -> None:
    class Broken:
        shape = (5, 2)
        dtype = np.dtype(np.float32)

        def __len__(self) -> int:
            return 5

        def __getitem__(self, rows: slice) -> Array:
            raise ZeroDivisionError("a bug elsewhere")

    with pytest.raises(ZeroDivisionError):
        save_sample(tmp_path / "a.h5", ReplaySample(Broken()))
    assert list(tmp_path.iterdir()) == []


def test_rows_can_be_read_in_a_background_thread(tmp_path: Path, sample: ReplaySample) -> None:
    path = save_sample(tmp_path / "a.h5", sample)
    digests: list[str] = []
    with open_sample(path) as read:
        observations = single_input(read)

        def work() -> None:
            digests.append(hashlib.sha256(observations[0:50].tobytes()).hexdigest())

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(digests) == 4
    assert len(set(digests)) == 1
