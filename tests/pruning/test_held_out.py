"""Two halves of a sample: disjoint, together everything, and no episode on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dormancy.io import ReplaySample, open_sample, save_sample
from dormancy.probing.probe import Probe
from dormancy.pruning.held_out import SomeRows, halves


def rows_of(probe: Probe) -> list[float]:
    return [float(row) for batch in probe.batches() for row in batch[:, 0]]


def split(sample: ReplaySample, batch_size: int = 4) -> tuple[list[float], list[float]]:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    found = halves(Probe(model, sample, batch_size=batch_size), sample)
    assert found is not None
    return rows_of(found[0]), rows_of(found[1])


def numbered(rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.stack([np.arange(rows), np.zeros(rows)], axis=1).astype(np.float32)


@pytest.mark.parametrize("rows", [2, 3, 10, 37])
def test_without_episodes_the_first_half_and_the_second(rows: int) -> None:
    one, other = split(ReplaySample(numbered(rows)))
    assert one + other == list(range(rows))
    assert len(one) - len(other) in (0, 1)


def test_episodes_stay_whole() -> None:
    episodes = np.array([4, 4, 4, 9, 9, 4, 7, 7, 7, 2])
    one, other = split(ReplaySample(numbered(10), episode_ids=episodes))
    assert sorted(one + other) == list(range(10))
    assert not set(episodes[np.array(one, int)]) & set(episodes[np.array(other, int)])


def test_one_episode_is_split_by_rows() -> None:
    one, other = split(ReplaySample(numbered(6), episode_ids=np.zeros(6, int)))
    assert (one, other) == ([0, 1, 2], [3, 4, 5])


def test_a_single_row_has_no_halves() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    sample = ReplaySample(numbered(1))
    assert halves(Probe(model, sample), sample) is None


def test_a_file_is_read_by_slices(tmp_path: Path) -> None:
    episodes = np.repeat(np.arange(8), 9)
    save_sample(tmp_path / "s.h5", ReplaySample(numbered(72), episode_ids=episodes))
    with open_sample(tmp_path / "s.h5") as sample:
        one, other = split(sample)
    assert sorted(one + other) == list(range(72))
    assert set(episodes[np.array(one, int)]) == {0, 2, 4, 6}


@given(data=st.data())
def test_some_rows_are_sliced_like_an_array(data: st.DataObject) -> None:
    rows = numbered(data.draw(st.integers(1, 30)))
    index = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    some = SomeRows(rows, index)
    start, stop = data.draw(st.integers(0, 35)), data.draw(st.integers(0, 35))
    assert np.array_equal(some[start:stop], rows[index][start:stop])
    assert (len(some), some.shape) == (len(index), (len(index), 2))
