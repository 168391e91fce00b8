"""SAC through the command line: what a run leaves is read by every other command, and it learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dormancy.io import load_checkpoint, open_sample
from dormancy.io.runs.record import read_training
from dormancy_agents.envs.make import make_continuous
from dormancy_agents.training.random_streams import Streams
from dormancy_cli.main import run
from tests.agents.conftest import Run

SMALL = ["--sample-size", "64", "--threads", "1", "--set", "hidden=16,16", "--set", "batch_size=16", "--quiet"]


def train(folder: Path, *arguments: str) -> Run:
    """Train SAC; it must succeed."""
    assert run(["train", "sac", *SMALL, "--out", str(folder), *arguments]) == 0
    return Run(folder)


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """300 agent steps of Hopper in MuJoCo with ReDo, 200 of them learning."""
    folder = tmp_path_factory.mktemp("runs") / "hopper"
    periods = ["--warmup", "100", "--checkpoint-period", "100", "--log-period", "50", "--redo", "--redo-period", "100"]
    return train(folder, "--env", "Hopper-v5", "--steps", "300", *periods, "--set", "metrics_period_agent_steps=100")


def test_a_run_says_what_it_did(hopper: Run) -> None:
    about = hopper.description
    assert (about["algorithm"], about["status"], about["network"]["arch"]) == ("sac", "finished", "sac")
    assert about["network"]["options"] == {
        "inputs": 11, "actions": 3, "hidden": [16, 16], "width": 1.0, "activation": "relu",
    }  # fmt: skip
    last = hopper.rows("learning")[-1]
    assert (last["agent_step"], last["gradient_step"]) == (300, 200)
    assert {"loss", "actor_loss", "entropy", "temperature"} <= last.keys()
    assert [row["gradient_step"] for row in hopper.rows("recycling")] == [100, 200]
    assert [row["gradient_step"] for row in hopper.rows("dormancy")] == [0, 50, 100, 150, 200]
    assert list(last_dormancy(hopper)["srank"]) == ["actor.fc2", "q1.fc2", "q2.fc2"]


def last_dormancy(run: Run) -> dict[str, object]:
    found: dict[str, object] = run.rows("dormancy")[-1]
    return found


def test_samples_have_the_actions_that_critics_read(hopper: Run) -> None:
    with open_sample(hopper.folder / "samples" / "step_000000300.h5") as sample:
        assert sample.actions is not None
        assert sample.actions.shape == (64, 3)
        assert np.abs(sample.actions).max() <= 1.0
        assert sample.provenance["env_id"] == "Hopper-v5"


def test_a_scan_of_a_checkpoint_is_what_was_logged(hopper: Run, capsys: pytest.CaptureFixture[str]) -> None:
    taus = [part for tau in ("0", "0.025", "0.1") for part in ("--tau", tau)]
    assert run(["scan", str(hopper.checkpoints[-1]), *taus, "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"][0]["scans"]
    layers = {layer["name"]: layer for layer in found["layers"]}
    logged = last_dormancy(hopper)["layers"]
    assert isinstance(logged, dict)
    assert list(layers) == list(logged) == [f"{tower}.fc{i}" for tower in ("actor", "q1", "q2") for i in (1, 2)]
    for name, layer in layers.items():
        dormant = [np.mean(np.array(layer["scores"]) <= tau) for tau in (0.0, 0.025, 0.1)]
        assert dormant == pytest.approx(list(logged[name]["dormant_fraction"].values()))


def test_report_reads_the_run(hopper: Run, tmp_path: Path) -> None:
    record = read_training(hopper.folder)
    assert record is not None
    assert record.config["algorithm"] == "sac"
    assert record.returns.size == len(hopper.rows("episode")) > 0
    assert run(["report", str(hopper.folder), "-o", str(tmp_path / "report.html")]) == 0
    assert "q2.fc2" in (tmp_path / "report.html").read_text()


def test_a_run_is_pruned_and_plays(hopper: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pruned = tmp_path / "small.pt"
    narrow = ["--mode", "remove", "--tau", "0.4", "--keep-one", "--episodes", "1", "-o", str(pruned)]
    assert run(["prune", str(hopper.checkpoints[-1]), *narrow, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pruned"] > 0
    assert found["returns"]["env_id"] == "Hopper-v5"
    assert set(load_checkpoint(pruned).network.options["hidden"]) == {"actor", "q1", "q2"}


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    short = ["--env", "Pendulum-v1", "--steps", "150", "--warmup", "100"]
    runs = [train(tmp_path / name, *short, "--seed", seed) for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))]
    one, same, other = (each.weights() for each in runs)
    assert all(bool((one[name] == same[name]).all()) for name in one)
    assert any(bool((one[name] != other[name]).any()) for name in one)


def test_logging_does_not_move_the_training(tmp_path: Path) -> None:
    short = ["--env", "Pendulum-v1", "--steps", "150", "--warmup", "100"]
    often = ["--log-period", "5", "--checkpoint-period", "10", "--set", "metrics_period_agent_steps=3"]
    calm, watched = train(tmp_path / "calm", *short).weights(), train(tmp_path / "watched", *short, *often).weights()
    assert all(bool((calm[name] == watched[name]).all()) for name in calm)


def test_a_resumed_run_comes_to_the_same_end(tmp_path: Path) -> None:
    """Stopped within an episode of MuJoCo, and gone on with."""
    options = ["--env", "Hopper-v5", "--warmup", "100", "--redo", "--redo-period", "30", "--resume-period", "50"]
    whole = train(tmp_path / "whole", *options, "--steps", "220")
    train(tmp_path / "half", *options, "--steps", "130")
    half = train(tmp_path / "half", *options, "--steps", "220", "--resume")
    one, other = whole.weights(), half.weights()
    assert all(bool((one[name] == other[name]).all()) for name in one)
    assert [row["return"] for row in whole.rows("episode")] == [row["return"] for row in half.rows("episode")]


def test_evaluation_plays_the_mean_action_and_leaves_training_alone(tmp_path: Path) -> None:
    short = ["--env", "Pendulum-v1", "--steps", "200", "--warmup", "100", "--evaluation-episodes", "2"]
    calm = train(tmp_path / "calm", *short, "--evaluation-period", "0")
    evaluated = train(tmp_path / "evaluated", *short, "--evaluation-period", "50")
    one, other = calm.weights(), evaluated.weights()
    assert all(bool((one[name] == other[name]).all()) for name in one)
    assert calm.rows("evaluation") == []
    found = evaluated.rows("evaluation")
    assert [row["agent_step"] for row in found] == [100, 150, 200]
    assert all((len(row["returns"]), row["episodes"], row["mean_length"]) == (2, 2, 200.0) for row in found)
    assert found[0]["mean_return"] == pytest.approx(np.mean(found[0]["returns"]))
    assert played(evaluated) == pytest.approx(found[-1]["returns"])


def played(run: Run) -> list[float]:
    """Play the last evaluation once more: with the last checkpoint, by hand."""
    network = load_checkpoint(run.checkpoints[-1]).build()
    seed = Streams(0).integer("evaluation", 200)
    env, returns = make_continuous("Pendulum-v1"), []
    for number in range(2):
        observation, total, over = env.reset(seed if number == 0 else None), 0.0, False
        while not over:
            with torch.inference_mode():
                mean, _ = network(torch.from_numpy(observation)[None])
            step = env.step(np.tanh(mean[0].numpy()))
            observation, total, over = step.observation, total + step.reward, step.truncated
        returns.append(total)
    env.close()
    return returns


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "HalfCheeta-v5"], "did you mean 'HalfCheetah-v5'?"),
        (["--env", "CartPole-v1"], "actions must be vectors here, the environment takes Discrete(2)"),
        (["--env", "Pendulum-v1", "--set", "target_smoothing=2"], "target_smoothing must be between 0 and 1, not 2.0"),
        (["--env", "Pendulum-v1", "--set", "epsilon_final=0"], "unknown field 'epsilon_final'"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "sac", *arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_it_learns_to_swing_a_pendulum_up(tmp_path: Path) -> None:
    """A random policy gets about -1200 an episode; one that swings up and holds gets -150 on average."""
    faster = ["--set", "batch_size=128", "--set", "hidden=64,64", "--set", "learning_rate=1e-3"]
    run = train(tmp_path / "run", "--env", "Pendulum-v1", "--steps", "5000", "--warmup", "500", *faster)
    returns = [row["return"] for row in run.rows("episode")]
    assert np.mean(returns[:3]) < -700
    assert np.mean(returns[-5:]) > -400
