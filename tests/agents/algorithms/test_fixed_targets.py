"""Targets that stay: random networks, random values, teachers; and weights to begin with."""

from typing import Any

import numpy as np
import pytest
import torch

from dormancy.errors import SampleError, UsageError
from dormancy.io import load_checkpoint
from dormancy_agents.algorithms.dqn.agent import DQN
from dormancy_agents.algorithms.fixed_targets import random_values
from dormancy_agents.algorithms.registry import dqn_config
from tests.agents.conftest import Run

SMALL = {"hidden": (16, 16), "batch_size": 8, "warmup_agent_steps": 50, "agent_steps": 200, "threads": 1}


def seen(**settings: Any) -> DQN:
    """Return an agent that has seen 60 steps of CartPole and learned nothing."""
    agent = DQN(dqn_config("CartPole-v1", {**SMALL, **settings}))
    agent.replay.begin(agent.env.reset())
    for index in range(60):
        step = agent.env.step(index % 2)
        agent.replay.add(index % 2, step.reward, step.terminated, step.truncated, step.observation)
        if step.terminated:
            agent.replay.begin(agent.env.reset())
    return agent


def next_batch(agent: DQN) -> Any:
    twin = np.random.default_rng(0)
    twin.bit_generator.state = agent.streams.replay.bit_generator.state
    return agent.replay.batch(twin, agent.config.batch_size, 1, agent.config.gamma)


def huber(errors: np.ndarray) -> float:
    return float(np.where(np.abs(errors) <= 1, errors**2 / 2, np.abs(errors) - 0.5).mean())


def test_random_values_are_standard_normal_and_belong_to_the_transition() -> None:
    positions = np.arange(200_000)
    values = random_values(positions, seed=4).astype(float)
    assert np.array_equal(values[::-1], random_values(positions[::-1], seed=4))
    assert abs(values.mean()) < 4 / np.sqrt(200_000)
    assert values.std() == pytest.approx(1, abs=0.01)
    assert (np.abs(values) > 1.959964).mean() == pytest.approx(0.05, abs=0.003)
    assert (np.abs(values) > 3.290527).mean() == pytest.approx(0.001, abs=0.0004)
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(values, random_values(positions, seed=5))[0, 1]) < 0.01


def test_a_step_towards_random_values() -> None:
    agent = seen(targets="random-values")
    batch = next_batch(agent)
    with torch.no_grad():
        taken = agent.online(batch.observations)[torch.arange(8), batch.actions].double().numpy()
    expected = huber(taken - random_values(batch.positions, agent.streams.integer("targets")))
    assert agent.learn()["loss"].item() == pytest.approx(expected, rel=1e-5)
    agent.env.close()


def test_a_step_towards_a_random_network() -> None:
    agent = seen(targets="random-network")
    batch, fixed = next_batch(agent), agent.modules["fixed"]
    with torch.no_grad():
        ours, theirs = agent.online(batch.observations).double().numpy(), fixed(batch.observations).double().numpy()
    rows = np.arange(8)
    expected = huber((ours - theirs)[rows, batch.actions.numpy()])
    assert agent.learn()["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert not np.allclose(ours, theirs)  # drawn on its own
    agent.env.close()


def test_fixed_targets_stay_and_can_be_reached() -> None:
    agent = seen(targets="random-network", learning_rate=3e-3)
    before = {name: value.clone() for name, value in agent.modules["fixed"].state_dict().items()}
    losses = []
    for _ in range(400):
        losses.append(agent.learn()["loss"].item())
        agent.update_target()
    assert np.mean(losses[-20:]) < 0.02 * np.mean(losses[:20])
    after = agent.modules["fixed"].state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    agent.env.close()


def test_drawing_targets_does_not_change_the_first_weights() -> None:
    agents = [seen(targets=targets) for targets in ("bootstrap", "random-network", "random-values")]
    first = [agent.online.state_dict() for agent in agents]
    assert all(torch.equal(value, other[name]) for other in first[1:] for name, value in first[0].items())
    for agent in agents:
        agent.env.close()


def test_a_teacher_is_distilled_by_the_squared_error_of_all_its_values(cartpole: Run) -> None:
    path = cartpole.checkpoints[-1]
    agent = seen(teacher=str(path), learning_rate=3e-3)
    assert agent.config.targets == "teacher"
    batch, teacher = next_batch(agent), load_checkpoint(path).build()
    with torch.no_grad():
        errors = (agent.online(batch.observations) - teacher(batch.observations)).double()
    first = agent.learn()["loss"].item()
    assert first == pytest.approx(float((errors**2).mean()), rel=1e-5)
    assert np.mean([agent.learn()["loss"].item() for _ in range(400)][-20:]) < 0.05 * first
    agent.env.close()


def test_training_can_begin_with_the_weights_of_another_run(cartpole: Run) -> None:
    path = cartpole.checkpoints[-1]
    agent = DQN(dqn_config("CartPole-v1", {**SMALL, "initial": str(path)}))
    theirs = load_checkpoint(path).parameters
    assert all(torch.equal(value, theirs[name]) for name, value in agent.online.state_dict().items())
    assert all(torch.equal(value, theirs[name]) for name, value in agent.target.state_dict().items())
    agent.env.close()


def test_what_does_not_fit_says_so(cartpole: Run, breakout: Run) -> None:
    with pytest.raises(UsageError, match="give the --arch"):
        DQN(dqn_config("CartPole-v1", {"initial": str(cartpole.checkpoints[-1])}))
    with pytest.raises(UsageError, match="has 4 outputs, this game needs 2: name a checkpoint of it"):
        DQN(dqn_config("CartPole-v1", {**SMALL, "initial": str(breakout.checkpoints[-1])}))
    with pytest.raises(SampleError, match="has 4 outputs, the student 2"):
        DQN(dqn_config("CartPole-v1", {**SMALL, "teacher": str(breakout.checkpoints[-1])}))
    with pytest.raises(UsageError, match="give --teacher"):
        dqn_config("CartPole-v1", {"targets": "teacher"})


@pytest.mark.parametrize("targets", ["bootstrap", "random-values"])
def test_a_teacher_that_teaches_nothing_is_refused(targets: str) -> None:
    config = dqn_config("CartPole-v1", {"teacher": "there.pt", "targets": targets})
    with pytest.raises(UsageError, match="give --targets teacher"):
        DQN(config)
