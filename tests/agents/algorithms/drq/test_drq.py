"""DrQ(epsilon): the paper's values, one gradient step against an independent computation, and a short real run."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch

from dormancy.errors import UsageError
from dormancy.io import load_checkpoint
from dormancy_agents.algorithms.drq.agent import DrQ
from dormancy_agents.algorithms.drq.config import DrQConfig
from dormancy_agents.algorithms.registry import ALGORITHMS
from dormancy_agents.config import Layer, resolve
from dormancy_cli.main import run
from tests.agents.conftest import Run

SMALL = {"width": 0.1, "batch_size": 4, "warmup_agent_steps": 20, "agent_steps": 60, "threads": 1}


def drq_config(env_id: str = "ALE/Breakout-v5", **values: Any) -> DrQConfig:
    return cast(DrQConfig, resolve(ALGORITHMS["drq"], env_id, [Layer("given", values)]).config)


def test_the_defaults_are_those_of_the_paper() -> None:
    found = drq_config()
    expected = {
        "agent_steps": 100_000,
        "gamma": 0.99,
        "n_step": 10,
        "batch_size": 32,
        "replay_capacity": 1_000_000,
        "warmup_agent_steps": 1_600,
        "replay_ratio": 1.0,
        "target_period_agent_steps": 1,
        "epsilon_final": 0.01,
        "epsilon_decay_agent_steps": 5_000,
        "dueling": True,
        "double": True,
        "learning_rate": 1e-4,
        "adam_epsilon": 1.5e-4,
        "hidden": (512,),
        "huber_delta": 1.0,
        "sticky_action_probability": 0.0,
        "life_loss_terminates": True,
        "evaluation_noop_max": 30,
        "evaluation_at_end": True,
        "evaluation_episodes": 100,
        "recycler_tau": 0.025,
        "recycler_period_gradient_steps": 1_000,
        "recycler_sample_size": 64,
    }
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(("ratio", "tau"), [(1.0, 0.025), (2.0, 0.1), (4.0, 0.1), (8.0, 0.1)])
def test_what_follows_from_the_replay_ratio(ratio: float, tau: float) -> None:
    found = drq_config(replay_ratio=ratio)
    assert (found.recycler_tau, found.target_period_agent_steps) == (tau, 1)  # a copy after every agent step
    assert drq_config(replay_ratio=ratio, recycler_tau=0.3).recycler_tau == 0.3


def test_evaluation_is_of_whole_games_that_begin_with_no_ops() -> None:
    evaluation = drq_config().for_evaluation()
    assert (evaluation.life_loss_terminates, evaluation.noop_max) == (False, 30)
    assert drq_config(noop_max=40).for_evaluation().noop_max == 40


def test_augmentation_needs_pixels() -> None:
    with pytest.raises(UsageError, match="augmentation moves pixels"):
        drq_config(arch="mlp", dueling=False)


@pytest.fixture
def agent() -> Iterator[DrQ]:
    """An agent that has seen 50 random steps of Breakout; its target is another network than its own."""
    agent = DrQ(drq_config(**SMALL))
    agent.replay.begin(agent.env.reset())
    for index in range(50):
        agent.agent_step += 1
        step = agent.env.step(index % 4)
        agent.replay.add(index % 4, step.reward + index % 3, step.terminated, step.truncated, step.observation)
        if step.terminated or step.truncated:
            agent.replay.begin(agent.env.reset())
    with torch.no_grad():
        for parameter in agent.target.parameters():
            parameter.mul_(torch.rand_like(parameter) + 0.5)
    yield agent
    agent.env.close()


def seen_by_hand(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment as DrQ does, with padding and cropping."""
    offsets, noise = rng.integers(0, 9, (len(images), 2)), rng.standard_normal(len(images), np.float32)
    padded = np.pad(images, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="edge").astype(np.float32)
    crops = [each[:, row : row + 84, column : column + 84] for each, (row, column) in zip(padded, offsets, strict=True)]
    return np.stack(crops) * (1 + 0.05 * np.clip(noise, -2, 2)).astype(np.float32)[:, None, None, None]


def test_a_gradient_step_learns_from_augmented_pixels_towards_the_double_target(agent: DrQ) -> None:
    config, rows = agent.config, np.arange(4)
    twin = np.random.default_rng(0)
    twin.bit_generator.state = agent.streams.replay.bit_generator.state
    batch = agent.replay.batch(twin, 4, 10, config.gamma)
    rng = agent.streams.at("augmentation", 0)
    now = torch.from_numpy(seen_by_hand(batch.observations.numpy(), rng))
    then = torch.from_numpy(seen_by_hand(batch.next_observations.numpy(), rng))
    with torch.no_grad():
        values, chosen = agent.online(now).double().numpy(), agent.online(then).numpy().argmax(axis=1)
        valued = agent.target(then).double().numpy()[rows, chosen]
    targets = batch.returns.numpy().astype(float) + batch.discounts.numpy().astype(float) * valued
    errors = np.abs(values[rows, batch.actions.numpy()] - targets)

    loss = agent.learn()["loss"]

    assert loss.item() == pytest.approx(np.where(errors <= 1, errors**2 / 2, errors - 0.5).mean(), rel=1e-4)
    assert (valued != agent.target(then).max(dim=1).values.detach().numpy()).any()  # choosing mattered


def test_returns_are_of_ten_steps(agent: DrQ) -> None:
    batch = agent.replay.batch(np.random.default_rng(0), 32, agent.config.n_step, 0.99)
    assert set(np.round(batch.discounts.numpy(), 6)) <= {0.0, np.float32(round(0.99**10, 6))}


def test_statistics_are_un_augmented(agent: DrQ) -> None:
    drawn = agent._statistics(16).inputs
    positions = agent.replay.draw(agent.streams.at("recycling", 0), 16, 10)
    assert torch.equal(drawn, agent.replay.observations(positions))


def train(folder: Any, *arguments: str) -> Run:
    small = ["--width", "0.1", "--steps", "150", "--warmup", "100", "--set", "batch_size=8", "--sample-size", "16"]
    games = ["--evaluation-episodes", "2", "--set", "max_episode_agent_steps=60", "--threads", "1"]
    code = run(["train", "drq", "--env", "ALE/Breakout-v5", *small, *games, "--out", str(folder), *arguments])
    assert code == 0
    return Run(folder)


def test_a_run_through_the_command_line(tmp_path: Any) -> None:
    found = train(tmp_path / "run", "--redo", "--redo-period", "25", "--redo-tau", "0.5")
    last = load_checkpoint(found.checkpoints[-1])
    assert (last.gradient_step, last.agent_step, last.network.arch) == (50, 150, "nature")
    assert last.network.options["dueling"] is True
    assert [row["gradient_step"] for row in found.rows("recycling")] == [25, 50]
    assert found.description["algorithm"] == "drq"
    (evaluation,) = found.rows("evaluation")
    assert (evaluation["agent_step"], evaluation["episodes"]) == (150, 2)
    again = train(tmp_path / "again", "--redo", "--redo-period", "25", "--redo-tau", "0.5")
    assert all(torch.equal(value, again.weights()[name]) for name, value in found.weights().items())
    plain = train(tmp_path / "plain", "--set", "augmentation=false", "--redo", "--redo-period", "25")
    assert not all(torch.equal(value, plain.weights()[name]) for name, value in found.weights().items())
