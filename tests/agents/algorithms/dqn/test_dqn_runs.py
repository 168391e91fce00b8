"""Short real runs, from the command line to the files they leave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dormancy.io import find_sample, load_checkpoint, open_sample
from dormancy.scanning.scanner import scan_checkpoint
from dormancy_agents.training.measurements import dormancy_row
from dormancy_cli.main import run
from tests.agents.conftest import BREAKOUT, CARTPOLE, SMALL, Run, train

TAUS = (0.0, 0.025, 0.1)


def equal_weights(first: Run, second: Run) -> bool:
    return all(torch.equal(value, second.weights()[name]) for name, value in first.weights().items())


@pytest.mark.parametrize("name", ["cartpole", "breakout"])
def test_a_run_leaves_checkpoints_with_their_samples(name: str, request: pytest.FixtureRequest) -> None:
    found: Run = request.getfixturevalue(name)
    steps = [load_checkpoint(path).agent_step for path in found.checkpoints]
    assert steps == ([100, 200, 400, 600] if name == "cartpole" else [100, 200, 300])
    assert [load_checkpoint(path).gradient_step for path in found.checkpoints] == [
        (step - 100) // 4 for step in steps if step
    ]
    assert all(find_sample(path) is not None for path in found.checkpoints)
    assert not list(found.folder.rglob("*.tmp"))
    assert found.description["status"] == "finished"


@pytest.mark.parametrize("name", ["cartpole", "breakout"])
def test_logged_statistics_equal_a_scan_of_the_files(name: str, request: pytest.FixtureRequest) -> None:
    found: Run = request.getfixturevalue(name)
    rows = {row["checkpoint"]: row for row in found.rows("dormancy") if row["checkpoint"]}
    assert len(rows) == len(found.checkpoints)
    for path in found.checkpoints:
        expected = dormancy_row(scan_checkpoint(path, tau=TAUS))
        assert {key: rows[path.stem][key] for key in expected} == expected


def test_samples_say_what_they_are(breakout: Run) -> None:
    path = find_sample(breakout.checkpoints[-1])
    assert path is not None
    with open_sample(path) as sample:
        assert (sample.observations.shape, sample.observations.dtype) == ((64, 4, 84, 84), np.uint8)  # type: ignore[union-attr]
        assert sample.provenance["env_id"] == "ALE/Breakout-v5"
        assert sample.steps is not None
        assert (np.diff(sample.steps) >= 0).all()
        assert sample.steps.max() <= 300
        assert sample.next_observations is None


def test_dormancy_is_logged_between_checkpoints(cartpole: Run) -> None:
    between = [row["gradient_step"] for row in cartpole.rows("dormancy") if row["checkpoint"] is None]
    assert between == [30, 60, 90, 120]


def test_learning_rows_have_units_and_add_up(cartpole: Run) -> None:
    rows = cartpole.rows("learning")
    assert [row["agent_step"] for row in rows] == [100, 200, 300, 400, 500, 600]
    assert [row["gradient_step"] for row in rows] == [0, 25, 50, 75, 100, 125]  # a quarter, after warm-up
    assert rows[0]["loss"] is None
    assert all(row["loss"] > 0 for row in rows[1:])
    assert [row["epsilon"] for row in rows] == [1.0] + [0.01] * 5
    assert all(row["agent_steps_per_second"] > 0 for row in rows)


def test_episodes_add_up_to_the_run(cartpole: Run) -> None:
    episodes = cartpole.rows("episode")
    assert [row["episode"] for row in episodes] == list(range(1, len(episodes) + 1))
    assert all(row["return"] == row["length_agent_steps"] for row in episodes)  # CartPole pays 1 a step
    lengths = np.cumsum([row["length_agent_steps"] for row in episodes])
    assert [row["agent_step"] for row in episodes] == lengths.tolist()


def test_the_same_seed_gives_the_same_weights(cartpole: Run, breakout: Run, tmp_path: Path) -> None:
    assert equal_weights(cartpole, train(tmp_path / "cartpole", *CARTPOLE, "--set", "hidden=16,16"))
    assert equal_weights(breakout, train(tmp_path / "breakout", *BREAKOUT))


def test_another_seed_gives_other_weights(cartpole: Run, tmp_path: Path) -> None:
    assert not equal_weights(cartpole, train(tmp_path / "run", *CARTPOLE, "--set", "hidden=16,16", "--seed", "1"))


@pytest.mark.parametrize("recycling", [[], ["--redo", "--redo-period", "20"]])
def test_looking_at_a_network_does_not_change_its_training(recycling: list[str], tmp_path: Path) -> None:
    common = [*CARTPOLE, "--set", "hidden=16,16", *recycling]
    often = ["--log-period", "5", "--checkpoint-period", "50", "--sample-size", "32"]
    seldom = ["--log-period", "100000", "--checkpoint-period", "100000", "--sample-size", "16"]
    assert equal_weights(train(tmp_path / "often", *common, *often), train(tmp_path / "seldom", *common, *seldom))


def test_evaluation_does_not_change_the_training(cartpole: Run, tmp_path: Path) -> None:
    asked = ["--set", "evaluation_period_agent_steps=200", "--set", "evaluation_episodes=3"]
    found = train(tmp_path / "run", *CARTPOLE, "--set", "hidden=16,16", *asked)
    assert equal_weights(cartpole, found)
    rows = found.rows("evaluation")
    assert [row["agent_step"] for row in rows] == [200, 400, 600]
    assert all(len(row["returns"]) == 3 and row["mean_return"] == np.mean(row["returns"]) for row in rows)
    assert all(row["mean_length"] == row["mean_return"] for row in rows)  # CartPole pays 1 a step


def test_redo_recycles_at_its_period(cartpole: Run, tmp_path: Path) -> None:
    found = train(
        tmp_path / "redo", *CARTPOLE, "--set", "hidden=16,16", "--redo", "--redo-tau", "0.5", "--redo-period", "50"
    )
    rows = found.rows("recycling")
    assert [row["gradient_step"] for row in rows] == [50, 100]
    assert all(set(row["recycled"]) == {"fc1", "fc2"} and row["tau"] == 0.5 for row in rows)
    assert sum(rows[0]["recycled"].values()) > 0
    assert not equal_weights(cartpole, found)


def test_redo_recycles_convolutions(breakout: Run, tmp_path: Path) -> None:
    found = train(tmp_path / "redo", *BREAKOUT, "--redo", "--redo-tau", "0.5", "--redo-period", "25")
    rows = found.rows("recycling")
    assert [row["gradient_step"] for row in rows] == [25, 50]
    assert set(rows[0]["recycled"]) == {"conv1", "conv2", "conv3", "fc1"}
    assert sum(rows[0]["recycled"].values()) > 0
    assert not equal_weights(breakout, found)


@pytest.mark.parametrize("option", [["--n-step", "3"], ["--replay-ratio", "2"], ["--activation", "leaky_relu"]])
def test_options_reach_the_training(option: list[str], cartpole: Run, tmp_path: Path) -> None:
    found = train(tmp_path / "run", *CARTPOLE, "--set", "hidden=16,16", *option)
    assert not equal_weights(cartpole, found)
    assert load_checkpoint(found.checkpoints[-1]).gradient_step == (1000 if "--replay-ratio" in option else 125)


def test_network_options_reach_the_file(tmp_path: Path) -> None:
    options = ["--padding", "same", "--dueling", "--steps", "120", "--set", "save_optimizer=true"]
    found = train(tmp_path / "run", *BREAKOUT, *options, "--set", "save_next_observations=true")
    last = load_checkpoint(found.checkpoints[-1])
    assert (last.network.options["padding"], last.network.options["dueling"]) == ("same", True)
    assert set(last.optimizer) == set(last.parameters)
    assert last.optimizer["head.weight"]["exp_avg"].shape == last.parameters["head.weight"].shape
    with open_sample(found.folder / "samples" / f"{found.checkpoints[-1].stem}.h5") as sample:
        now, following = sample.observations, sample.next_observations
        assert now is not None
        assert np.array_equal(now[0:64][:, 1:], following[0:64][:, :3])  # type: ignore[index]


def test_an_existing_folder_is_kept_as_it_is(cartpole: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in cartpole.folder.rglob("*") if path.is_file()}
    assert run(["train", "dqn", *SMALL, *CARTPOLE, "--out", str(cartpole.folder)]) == 3
    assert "choose another --out" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in cartpole.folder.rglob("*") if path.is_file()}


def test_a_diverging_run_stops_and_keeps_what_was_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert run(["train", "dqn", *SMALL, *CARTPOLE, "--learning-rate", "1e30", "--out", str(folder)]) == 4
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "the loss became" in message
    assert "gradient step" in message
    found = Run(folder)
    assert found.description["status"].startswith("failed: TrainingDiverged")
    assert all(torch.isfinite(value).all() for value in found.weights().values())


def test_no_checkpoint_of_infinite_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"  # one gradient step, at agent step 104: its loss is finite, what it leaves is not
    options = ["--steps", "104", "--learning-rate", "1e39", "--set", "taus=0.1", "--out", str(folder)]
    assert run(["train", "dqn", *SMALL, *CARTPOLE, *options]) == 4
    assert "the weights became infinite" in capsys.readouterr().err
    assert [path.stem for path in Run(folder).checkpoints] == ["step_000000100"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--env", "ALE/Breakot-v5"], 2, "did you mean 'ALE/Breakout-v5'"),
        (["--env", "CartPole-v1", "--device", "cuda:7"], 2, "--device cpu"),
        (["--env", "CartPole-v1", "--set", "gama=1"], 2, "did you mean 'gamma'"),
        (["--env", "CartPole-v1", "--activation", "rleu"], 2, "did you mean 'relu'"),
        (["--env", "CartPole-v1", "--width", "-1"], 2, "width must be positive"),
        (["--env", "CartPole-v1", "--set", "arch=nature", "--set", "hidden=512"], 2, "--set arch=mlp"),
        (["--env", "ALE/Pong-v5", "--set", "arch=mlp"], 2, "--set arch=nature"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(["train", "dqn", *arguments, "--out", str(folder)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_writes_a_checkpoint_and_leaves(number: signal.Signals, code: int, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    paths = [str(Path.cwd() / part) for part in (".", "cli", "agents")]
    command = [sys.executable, "-m", "dormancy_cli", "train", "dqn", *SMALL, *CARTPOLE, "--set", "hidden=8"]
    process = subprocess.Popen(
        [*command, "--steps", "100000000", "--out", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stderr=subprocess.PIPE,
    )
    while not list(folder.glob("checkpoints/step_*.pt")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    message = process.communicate(timeout=60)[1].decode()
    assert process.returncode == code, message
    assert "agent steps" in message
    found = Run(folder)
    last = load_checkpoint(found.checkpoints[-1])
    assert found.description["status"] == f"stopped by signal {int(number)}"
    assert found.rows("dormancy")[-1]["agent_step"] == last.agent_step
    assert scan_checkpoint(found.checkpoints[-1]).agent_step == last.agent_step
