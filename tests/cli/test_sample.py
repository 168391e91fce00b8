"""`dormancy sample`: a data set becomes a file that `dormancy scan` takes; collecting is acting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dormancy.io import Checkpoint, open_sample, save_checkpoint
from dormancy.networks import NetworkSpec, build_network
from dormancy_agents.acting.sample import collect_sample
from tests.cli.runs import Dormancy

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "samples"


@pytest.fixture
def cartpole(tmp_path: Path) -> Path:
    """A checkpoint that always prefers the second action."""
    spec = NetworkSpec("mlp", {"inputs": 4, "outputs": 2, "hidden": [8]})
    parameters = {name: value.detach() * 0 for name, value in build_network(spec).state_dict().items()}
    parameters["head.bias"][1] = 1.0
    return save_checkpoint(tmp_path / "right.pt", Checkpoint(spec, parameters, env_id="CartPole-v1"))


def test_a_data_set_becomes_a_sample(dormancy: Dormancy, tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    done = dormancy("sample", FOLDER / "tianshou.hdf5", "-o", out, "--rows", 5)
    assert done.code == 0
    assert "5 rows from tianshou: observations float32 (2,)" in done.err
    with open_sample(out) as sample:
        assert len(sample) == 5
    assert dormancy("inspect", out).code == 0
    assert dormancy("sample", FOLDER / "tianshou.hdf5", "-o", out).code == 3
    assert dormancy("sample", FOLDER / "tianshou.hdf5", "-o", out, "--force").code == 0


@pytest.mark.parametrize(("name", "kind"), [("sb3.pkl", "sb3"), ("dopamine", "dopamine"), ("torchrl", "torchrl")])
def test_a_replay_memory_becomes_a_sample(dormancy: Dormancy, tmp_path: Path, name: str, kind: str) -> None:
    done = dormancy("sample", FOLDER / name, "-o", tmp_path / "s.h5")
    assert done.code == 0, done.err
    assert f"rows from {kind}: observations" in done.err
    assert dormancy("inspect", tmp_path / "s.h5").code == 0


def test_single_frames_are_stacked_as_told(dormancy: Dormancy, tmp_path: Path) -> None:
    wrong = dormancy("sample", FOLDER / "dopamine-vectors", "-o", tmp_path / "s.h5")
    assert (wrong.code, wrong.err.count("\n")) == (3, 1)
    assert "--frame-stack 1" in wrong.err
    assert dormancy("sample", FOLDER / "dopamine-vectors", "-o", tmp_path / "s.h5", "--frame-stack", 1).code == 0


def test_scan_takes_a_replay_memory_as_it_is(dormancy: Dormancy, tmp_path: Path) -> None:
    """The scan of the buffer is the scan of the sample made of it."""
    spec = NetworkSpec("mlp", {"inputs": 4, "outputs": 2, "hidden": [8]})
    parameters = {name: value.detach() for name, value in build_network(spec).state_dict().items()}
    save_checkpoint(tmp_path / "random.pt", Checkpoint(spec, parameters))
    assert dormancy("sample", FOLDER / "sb3.pkl", "-o", tmp_path / "s.h5").code == 0
    scans = [
        dormancy("scan", tmp_path / "random.pt", "--sample", sample, "--format", "json")
        for sample in (FOLDER / "sb3.pkl", tmp_path / "s.h5")
    ]
    assert [scan.code for scan in scans] == [0, 0]
    direct, converted = (json.loads(scan.out)["runs"][0]["scans"][0] for scan in scans)
    assert direct["layers"] == converted["layers"]
    assert direct["observations"] == converted["observations"] == 6
    assert direct["sample"]["format"] == "sb3"


def test_what_cannot_be_converted_is_one_line(dormancy: Dormancy, tmp_path: Path) -> None:
    jpeg = dormancy("sample", FOLDER / "minari-jpeg.hdf5", "-o", tmp_path / "s.h5")
    assert (jpeg.code, jpeg.err.count("\n")) == (3, 1)
    assert "JPEG" in jpeg.err
    assert not (tmp_path / "s.h5").exists()


@pytest.mark.parametrize("arguments", [[], [FOLDER / "d4rl.hdf5", "--env", "CartPole-v1"]])
def test_one_source_is_named(dormancy: Dormancy, tmp_path: Path, arguments: list[object]) -> None:
    done = dormancy("sample", *arguments, "-o", tmp_path / "s.h5")
    assert done.code == 2
    assert "one of them" in done.err


def test_a_checkpoint_collects_its_own_sample_and_is_scanned_on_it(
    dormancy: Dormancy, cartpole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.h5"
    done = dormancy("sample", "--env", "CartPole-v1", "--policy", cartpole, "--rows", 60, "--epsilon", 0, "-o", out)
    assert done.code == 0, done.err
    with open_sample(out) as sample:
        assert sample.actions is not None
        assert (sample.actions == 1).all()
        assert sample.provenance["env_id"] == "CartPole-v1"
    scanned = dormancy("scan", cartpole, "--sample", out, "--format", "csv")
    assert scanned.code == 0
    assert "fc1" in scanned.out


def test_a_random_policy_is_repeatable_and_tries_everything() -> None:
    first, again, other = (collect_sample("CartPole-v1", rows=80, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.observations, again.observations)  # type: ignore[arg-type]
    assert not np.array_equal(first.observations, other.observations)  # type: ignore[arg-type]
    assert first.actions is not None
    assert set(first.actions) == {0, 1}


def test_episodes_begin_anew_after_their_end() -> None:
    sample = collect_sample("CartPole-v1", rows=120, seed=1)
    assert sample.terminations is not None
    assert sample.episode_ids is not None
    ends = np.flatnonzero(sample.terminations)
    assert len(ends) >= 2
    assert np.array_equal(np.flatnonzero(np.diff(sample.episode_ids)), ends[ends < 119])
    starts = np.asarray(sample.observations[0:120])[ends[ends < 119] + 1]
    assert (np.abs(starts) <= 0.05).all()  # where CartPole resets to


def test_pixels_are_stacked_bytes(dormancy: Dormancy, tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    assert dormancy("sample", "--env", "ALE/Pong-v5", "--rows", 12, "-o", out).code == 0
    with open_sample(out) as sample:
        pixels = np.asarray(sample.observations[0:12])  # type: ignore[index]
        assert pixels.shape == (12, 4, 84, 84)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels[9, 1:], pixels[10, :-1])
        assert sample.provenance["frame_stack"] == "4"


def test_a_network_of_another_environment_is_refused(dormancy: Dormancy, cartpole: Path, tmp_path: Path) -> None:
    done = dormancy("sample", "--env", "Acrobot-v1", "--policy", cartpole, "-o", tmp_path / "s.h5")
    assert done.code == 3
    assert "does not take observations of shape (6,)" in done.err
    assert dormancy("sample", "--env", "CartPole", "-o", tmp_path / "s.h5").code == 2
