"""The replay on disk: after any sequence of saves, what is read back is the replay that was saved."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dormancy.errors import FileError
from dormancy_agents.replay import shards
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.replay.shards import Shard, read_shards, write_shards


def empty(capacity: int = 40, action_shape: tuple[int, ...] = ()) -> Replay:
    return Replay(capacity, (3,), np.dtype(np.uint8), 2 if not action_shape else None, action_shape=action_shape)


def act(replay: Replay, rng: np.random.Generator, steps: int) -> None:
    for _ in range(steps):
        if replay._ended:
            replay.begin(seen(replay, rng))
        action = rng.random(2).astype(np.float32) if replay.rows(0, 0)["action"].ndim > 1 else int(rng.integers(4))
        replay.add(action, float(rng.normal()), bool(rng.random() < 0.2), bool(rng.random() < 0.1), seen(replay, rng))


def seen(replay: Replay, rng: np.random.Generator) -> np.ndarray:
    frame = rng.integers(0, 256, 3).astype(np.uint8)
    return frame if replay.frame_stack is None else np.stack([frame] * 2)


def assert_same(first: Replay, second: Replay) -> None:
    assert first.state() == second.state()
    for name, column in first.rows(first.oldest, first.newest + 1).items():
        assert np.array_equal(column, second.rows(first.oldest, first.newest + 1)[name]), name
    one = first.batch(np.random.default_rng(1), 32, 2, 0.9)
    other = second.batch(np.random.default_rng(1), 32, 2, 0.9)
    for mine, yours in zip(one, other, strict=True):
        assert np.array_equal(np.asarray(mine), np.asarray(yours))


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(5, 60), min_size=1, max_size=6),
    vectors=st.booleans(),
    rows=st.sampled_from([7, 1000]),
    few=st.booleans(),
)
def test_what_is_read_back_is_what_was_saved(
    lengths: list[int], vectors: bool, rows: int, few: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, rng, known = tmp_path_factory.mktemp("shards"), np.random.default_rng(sum(lengths)), []
    shape = (2,) if vectors else ()
    replay = empty(action_shape=shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "ROWS", rows)
        patch.setattr(shards, "SMALL_SHARDS", 1 if few else 64)
        for steps in lengths:
            act(replay, rng, steps)
            published = {shard: (folder / shard.name).read_bytes() for shard in known}
            known = write_shards(replay, folder, known)
            assert all(
                (folder / shard.name).read_bytes() == data for shard, data in published.items() if shard in known
            )
            again = empty(action_shape=shape)
            again.load_state(replay.state())
            read_shards(again, folder, known)
            assert_same(replay, again)
    assert known[0].first <= replay.oldest
    assert known[-1].stop == replay.newest + 1


def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    replay, rng = empty(1000), np.random.default_rng(0)
    act(replay, rng, 50)
    first = write_shards(replay, tmp_path, [])
    act(replay, rng, 50)
    second = write_shards(replay, tmp_path, first)
    assert second[:-1] == first
    assert second[-1].first == first[-1].stop - 1


@pytest.mark.parametrize("wrong", ["shape", "missing", "bytes"])
def test_a_shard_of_another_replay(wrong: str, tmp_path: Path) -> None:
    replay, rng = empty(), np.random.default_rng(0)
    act(replay, rng, 20)
    (shard,) = write_shards(replay, tmp_path, [])
    path = tmp_path / shard.name
    other = empty(action_shape=(2,)) if wrong == "shape" else empty()
    if wrong == "missing":
        path.unlink()
    if wrong == "bytes":
        data = bytearray(path.read_bytes())
        data[80] ^= 0xFF  # within the numbers of the first array
        path.write_bytes(data)
    with pytest.raises(FileError, match=shard.name):
        read_shards(other, tmp_path, [shard])


def test_frames_are_packed(tmp_path: Path) -> None:
    replay = Replay(500, (84, 84), np.dtype(np.uint8), 4)
    black = np.zeros((4, 84, 84), np.uint8)
    replay.begin(black)
    for _ in range(200):
        replay.add(0, 0.0, False, False, black)
    (shard,) = write_shards(replay, tmp_path, [])
    assert (tmp_path / shard.name).stat().st_size < 201 * 84 * 84 / 50


def test_shards_are_named_by_their_rows() -> None:
    assert Shard(0, 16_384).name == "replay_000000000000_000000016384.npz"
    assert shards.is_shard(Shard(7, 9).name)
    assert not shards.is_shard("replay.npz")
