"""Replay memories that SB3, Dopamine and torchrl wrote, against the formulas and the library that they came from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dormancy.errors import FormatError, SampleError, UsageError
from dormancy.io import open_foreign_sample, open_sample, save_sample
from dormancy.io.arrays.concatenated import PickedArray
from dormancy.io.arrays.frame_stack import StackedArray
from dormancy.io.samples.load import STORE_READERS, open_picked
from tests.io.expectations import Refused
from tests.io.samples.replay_files import FOLDER, MEMORIES, copied, everything, read


def vectors(steps: np.ndarray) -> np.ndarray:
    """Observations of `make_samples.sb3`: the step, its third, zeros."""
    zeros = np.zeros_like(steps, dtype=float)
    return np.stack([steps, (steps % 100) / 3, zeros, zeros], axis=1).astype(np.float32)


def test_an_sb3_ring_is_read_from_its_oldest_row() -> None:
    found, steps = read(FOLDER / "sb3.pkl"), np.arange(2, 8)
    assert np.array_equal(found["observations"], vectors(steps))
    assert np.array_equal(found["next_observations"], vectors(steps) + 1)
    assert np.array_equal(found["actions"], steps % 2)
    assert np.array_equal(found["rewards"], steps * 0.5)
    assert np.flatnonzero(found["terminations"]).tolist() == [0]
    assert np.flatnonzero(found["truncations"]).tolist() == [3]  # step 5 was cut off, not over
    assert found["episode_ids"].tolist() == [0, 1, 1, 1, 2, 2]


def test_an_sb3_buffer_that_is_not_full_gives_what_is_there() -> None:
    found = read(FOLDER / "sb3-young.pkl")
    assert np.array_equal(found["observations"], vectors(np.arange(4)))
    assert found["episode_ids"].tolist() == [0, 0, 0, 1]


def test_sb3_observations_that_serve_as_the_next_ones() -> None:
    """The newest observation has overwritten the oldest row, so that row is lost."""
    found, steps = read(FOLDER / "sb3-slim.pkl"), np.arange(3, 8)
    assert np.array_equal(found["observations"], vectors(steps))
    assert np.array_equal(found["next_observations"][:-1], vectors(steps[1:]))
    assert np.array_equal(found["next_observations"][-1], vectors(steps[-1:])[0] + 1)
    assert np.array_equal(found["rewards"], steps * 0.5)


def test_sb3_environments_come_one_after_the_other() -> None:
    found, steps = read(FOLDER / "sb3-two-envs.pkl"), np.arange(2, 8)
    assert np.array_equal(found["observations"], vectors(np.concatenate([steps, 100 + steps])))
    assert found["episode_ids"].tolist() == [0, 1, 1, 1, 2, 2, 3, 4, 4, 4, 5, 5]


def test_sb3_observations_by_name_beside_arrays_of_objects() -> None:
    found, steps = read(FOLDER / "sb3-her.pkl"), np.arange(2, 8)
    assert set(found["observations"]) == {"observation", "achieved_goal", "desired_goal"}
    assert np.array_equal(found["observations"]["achieved_goal"], np.stack([steps + 10] * 2, 1))


@pytest.mark.parametrize(("name", "stack"), [("dopamine", 4), ("dopamine-young", 4), ("dopamine-vectors", 1)])
def test_states_are_those_that_dopamine_draws(name: str, stack: int) -> None:
    """`is_valid_transition` and `sample_transition_batch` of Dopamine itself gave the expected states.

    It also draws blank transitions behind a time-out (their frame is 0), and skips one row behind the cursor.
    """
    found, expected = read(FOLDER / name, stack), np.load(FOLDER / f"{name}.npz")
    states = np.moveaxis(expected["state"], -1, 1)
    following = np.moveaxis(expected["next_state"], -1, 1)
    if stack == 1:
        states, following = (each.reshape(len(each), -1) for each in (states, following))
    real = states.reshape(len(states), -1)[:, -1] != 0
    reward = {float(value): row for row, value in enumerate(found["rewards"])}  # one of its own for every step
    rows = [reward[float(value)] for value in expected["reward"][real]]
    assert np.array_equal(found["observations"][rows], states[real])
    assert np.array_equal(found["actions"][rows], expected["action"][real])
    assert np.array_equal(found["terminations"][rows], expected["terminal"][real] == 1)
    going = expected["terminal"][real] == 0
    assert np.array_equal(found["next_observations"][rows][going], following[real][going])
    extra = set(range(len(found["rewards"]))) - set(rows)
    assert extra <= {0}
    assert real.sum() >= 20


def test_stacks_respect_the_ends_of_episodes() -> None:
    """Frames hold their step + 1: a stack is blank before its episode's first step, and never holds an older one."""
    found = read(FOLDER / "dopamine-young")
    starts = {0: 0, 1: 4, 2: 9, 3: 18, 4: 22, 5: 27}
    for stack, episode in zip(found["observations"][..., 0, 0].astype(int), found["episode_ids"], strict=True):
        newest = stack[-1]
        wanted = [value if value > starts[int(episode)] else 0 for value in range(newest - 3, newest + 1)]
        assert stack.tolist() == wanted


def test_a_memory_without_the_file_of_time_outs_ends_at_terminals(tmp_path: Path) -> None:
    """Older versions kept no such file; they ended every episode with a terminal."""
    folder = copied("dopamine-young", tmp_path)
    (folder / "episode_end_indices_ckpt.3.gz").unlink()
    assert int(read(folder)["episode_ids"].max()) == 3


def test_the_newest_memory_of_a_folder_is_read_and_any_can_be_named(tmp_path: Path) -> None:
    folder = copied("dopamine", tmp_path)
    for file in sorted((FOLDER / "dopamine-young").iterdir()):
        shutil.copy(file, folder / file.name.replace("ckpt.3", "ckpt.12"))
    young = read(FOLDER / "dopamine-young")
    np.testing.assert_equal(read(folder), young)
    np.testing.assert_equal(read(folder / "$store$_observation_ckpt.3.gz"), read(FOLDER / "dopamine"))
    with open_foreign_sample(folder) as sample:
        assert sample.provenance["iteration"] == "12"


@pytest.mark.parametrize(("name", "stack"), [("dopamine", 3), ("dopamine", 6), ("dopamine-vectors", None)])
def test_a_wrong_number_of_frames_is_noticed(name: str, stack: int | None, refused: Refused) -> None:
    if (name, stack) == ("dopamine", 3):  # said by the user: fewer frames than blank ones are possible
        assert read(FOLDER / name, stack)["observations"].shape[1] == 3
        return
    assert "--frame-stack" in refused(SampleError, lambda: read(FOLDER / name, stack))


def test_a_frame_stack_is_a_small_number() -> None:
    with pytest.raises(UsageError), open_foreign_sample(FOLDER / "dopamine", frame_stack=99):
        pass


def test_a_torchrl_ring_is_read_from_its_oldest_row() -> None:
    found, steps = read(FOLDER / "torchrl"), np.arange(3, 15)
    assert np.array_equal(found["observations"], np.stack([steps, steps + 1 / 3], 1).astype(np.float32))
    assert np.array_equal(found["next_observations"], found["observations"] + 1)
    assert np.array_equal(found["actions"], steps % 4)
    assert np.array_equal(found["rewards"], steps * 0.5)
    assert np.array_equal(found["terminations"], steps % 5 == 4)
    assert np.array_equal(found["truncations"], steps % 7 == 6)
    assert found["episode_ids"].tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4]


def test_torchrl_environments_side_by_side_and_one_hot_actions() -> None:
    found = read(FOLDER / "torchrl-two-envs")
    steps = np.concatenate([np.arange(7, 15), 100 + np.arange(7, 15)])
    assert np.array_equal(found["observations"][:, 0], steps)
    assert np.array_equal(found["actions"], steps % 4)
    assert found["episode_ids"][7] != found["episode_ids"][8]


def test_a_tensordict_without_a_buffer_around_it_is_read_as_it_lies(tmp_path: Path) -> None:
    folder = copied("torchrl", tmp_path)
    bare = folder / "storage"
    (bare / "storage_metadata.json").unlink()
    assert np.array_equal(read(bare)["observations"][:, 0], [12, 13, 14, *range(3, 12)])


@pytest.mark.parametrize("name", MEMORIES)
def test_what_was_converted_is_what_was_read(name: str, tmp_path: Path) -> None:
    expected = read(FOLDER / name, MEMORIES[name])
    with open_foreign_sample(FOLDER / name, frame_stack=MEMORIES[name]) as sample:
        save_sample(tmp_path / "s.h5", sample)
    with open_sample(tmp_path / "s.h5") as again:
        np.testing.assert_equal(everything(again), expected)
        assert again.provenance["source"] == name.partition(".")[0].partition("-")[0]
        assert len(again.provenance["source_sha256"]) == 64


@pytest.mark.parametrize("name", MEMORIES)
def test_drawn_rows_are_rows_of_the_whole(name: str) -> None:
    whole = read(FOLDER / name, MEMORIES[name])
    with open_picked(FOLDER / name, 3, 5, frame_stack=MEMORIES[name]) as sample:
        drawn = everything(sample)
    rows = [int(np.flatnonzero(whole["rewards"] == reward)[0]) for reward in drawn["rewards"]]
    if not name.startswith("sb3-two"):
        np.testing.assert_equal(drawn["observations"], _rows(whole["observations"], rows))
    assert len(rows) == 3


def _rows(arrays: object, rows: list[int]) -> object:
    return {key: each[rows] for key, each in arrays.items()} if isinstance(arrays, dict) else arrays[rows]  # type: ignore[index]


def test_stacked_rows_agree_with_numpy_in_any_order() -> None:
    random = np.random.default_rng(3)
    frames = random.integers(0, 255, (60, 2, 3), dtype=np.uint8)
    positions = np.sort(random.choice(np.arange(3, 60), 30, replace=False)).astype(np.int64)
    wanted = np.stack([frames[position - 3 : position + 1] for position in positions])
    stacked = StackedArray(frames, positions, 4)
    picked = PickedArray(stacked, np.array([0, 1, 5, 29]))
    for _ in range(80):
        rows = slice(*sorted(random.integers(0, 31, 2).tolist()))
        assert np.array_equal(stacked[rows], wanted[rows])
    assert np.array_equal(picked[0:4], wanted[[0, 1, 5, 29]])


def test_other_pickles_and_folders_are_not_taken_for_memories(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "list.pkl").write_bytes(b"\x80\x04]\x94.")
    assert "not of a replay buffer" in refused(FormatError, lambda: read(tmp_path / "list.pkl"))
    assert "torchrl" in refused(FormatError, lambda: read(tmp_path))


def test_every_registered_kind_has_a_file() -> None:
    assert set(STORE_READERS) == {name.partition(".")[0].partition("-")[0] for name in MEMORIES}
