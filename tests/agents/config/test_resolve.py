"""Where a value comes from: presets, files, flags, settings, and what follows from them."""

from pathlib import Path

import pytest

from dormancy.errors import FileError, UsageError
from dormancy_agents.algorithms.dqn.config import DQNConfig
from dormancy_agents.algorithms.registry import ALGORITHMS
from dormancy_agents.config import Layer, resolve
from dormancy_agents.config.files import as_toml, read_settings, read_toml
from dormancy_cli.main import run

DQN = ALGORITHMS["dqn"]


@pytest.mark.parametrize("name", list(ALGORITHMS))
@pytest.mark.parametrize("preset", ["paper", "quick"])
def test_toml_reads_back_as_it_was_written(name: str, preset: str, tmp_path: Path) -> None:
    algorithm, env_id = ALGORITHMS[name], "Pendulum-v1" if name == "sac" else "CartPole-v1"
    options = {"selection": "random", "end": 5, "which": ["a", "b"], "x": True}
    values = {"gamma": 0.5, "taus": (0.0, 0.3), "recycler_options": options, "device": 'a "b"\\c\n'}
    resolved = resolve(algorithm, env_id, [Layer("test", values)], preset)
    path = tmp_path / "run.toml"
    path.write_text(as_toml(resolved))
    read = read_toml(path, name)
    assert read.pop("env_id") == env_id
    again = resolve(algorithm, env_id, [Layer(str(path), read)])
    assert again.config == resolved.config
    assert set(again.origins.values()) == {str(path), "given"}


def test_later_ones_win() -> None:
    layers = [Layer("file", {"gamma": 0.1, "n_step": 2, "seed": 4}), Layer("flag", {"gamma": 0.2, "n_step": 3})]
    resolved = resolve(DQN, "CartPole-v1", [*layers, Layer("--set", {"gamma": 0.3})], "quick")
    config, origins = resolved.config, resolved.origins
    assert (config.gamma, config.n_step, config.seed, config.agent_steps) == (0.3, 3, 4, 30_000)
    assert [origins[name] for name in ("gamma", "n_step", "seed", "agent_steps")] == [
        "--set", "flag", "file", "preset quick",
    ]  # fmt: skip
    assert (origins["clip_rewards"], origins["weight_decay"]) == ("for CartPole-v1", "default")


def test_what_follows_says_so() -> None:
    resolved = resolve(DQN, "ALE/Pong-v5", [Layer("flag", {"replay_ratio": 1.0})])
    assert resolved.config.target_period_agent_steps == 2_000
    assert resolved.origins["target_period_agent_steps"] == "follows from others"
    period = resolve(DQN, "ALE/Pong-v5", [Layer("flag", {"recycler": "reset"})]).config.recycler_period_gradient_steps
    assert period == 100_000


def test_a_file_and_flags_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.toml"
    path.write_text('algorithm = "dqn"\nenv_id = "CartPole-v1"\ngamma = 0.5\nhidden = [8]\n')
    command = ["train", "dqn", "--config", str(path), "--redo", "--n-step", "3", "--set", "gamma=0.25", "--show-config"]
    assert run(command) == 0
    shown = capsys.readouterr().out
    lines = {
        line.partition(" = ")[0]: line.partition(" = ")[2].split("  # ") for line in shown.splitlines() if " = " in line
    }
    found = {name: (value.strip(), *origin) for name, (value, *origin) in lines.items()}
    assert found["env_id"][0] == '"CartPole-v1"'
    assert found["gamma"] == ("0.25", "--set")
    assert found["n_step"] == ("3", "flag")
    assert found["recycler"] == ('"redo"', "flag")
    assert found["hidden"] == ("[8]", str(path))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("gamma = ", FileError, "not TOML"),
        ('algorithm = "sac"', UsageError, "is for sac"),
    ],
)
def test_files_that_cannot_be_used(content: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(content)
    with pytest.raises(error, match=message):
        read_toml(path, "dqn")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "papr"], "did you mean 'paper'"),
        (["--set", "precision=bf61"], "did you mean 'bf16'"),
        (["--set", "recycler_options=3"], "recycler_options takes a table"),
        (["--config", "nowhere.toml"], "no such file"),
    ],
)
def test_bad_configurations_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["train", "dqn", "--env", "CartPole-v1", "--out", str(tmp_path / "run"), *arguments])
    error = capsys.readouterr().err
    assert code in (2, 3)
    assert message in error
    assert error.count("\n") == 1


def test_wrong_kinds_in_a_file() -> None:
    for name, value in (
        ("gamma", "high"),
        ("batch_size", 1.5),
        ("clip_rewards", 1),
        ("hidden", [True]),
        ("seed", True),
    ):
        with pytest.raises(UsageError, match=f"{name} takes"):
            resolve(DQN, "CartPole-v1", [Layer("file", {name: value})])


def test_options_of_recyclers_are_read_by_how_they_look() -> None:
    items = ["selection=random", "end=100", "rate=0.5", "layers=fc1,fc2", "x=false"]
    found = read_settings([f"recycler_options.{item}" for item in items], DQNConfig)
    assert found == {
        "recycler_options": {"selection": "random", "end": 100, "rate": 0.5, "layers": ["fc1", "fc2"], "x": False}
    }
