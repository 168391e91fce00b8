"""One gradient step against an independent computation, and what else the agent does between two of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dormancy.errors import UsageError
from dormancy_agents.algorithms.dqn import config as dqn_values
from dormancy_agents.algorithms.dqn.agent import DQN, train
from dormancy_agents.algorithms.registry import dqn_config

SMALL = {"hidden": (16, 16), "batch_size": 8, "warmup_agent_steps": 50, "agent_steps": 200, "threads": 1}


@pytest.fixture
def agent() -> Iterator[DQN]:
    """An agent that has seen 60 random steps of CartPole and learned nothing yet."""
    agent = DQN(dqn_config("CartPole-v1", SMALL))
    agent.replay.begin(agent.env.reset())
    for _ in range(60):
        agent.agent_step += 1
        step = agent.env.step(agent.streams.exploration.integers(2))
        agent.replay.add(0, step.reward, step.terminated, step.truncated, step.observation)
        if step.terminated or step.truncated:
            agent.replay.begin(agent.env.reset())
    yield agent
    agent.env.close()


def forward(parameters: dict[str, np.ndarray], inputs: np.ndarray) -> list[np.ndarray]:
    """Return the inputs of each layer and, last, the values, in float64."""
    layers = [inputs]
    for name in ("fc1", "fc2"):
        layers.append(np.maximum(layers[-1] @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"], 0.0))
    return [*layers, layers[-1] @ parameters["head.weight"].T + parameters["head.bias"]]


def gradients(parameters: dict[str, np.ndarray], inputs: np.ndarray, slope: np.ndarray) -> dict[str, np.ndarray]:
    """Propagate the slope of the loss by the values back, by hand."""
    *layers, _ = forward(parameters, inputs)
    found = {}
    for name, below in (("head", layers[2]), ("fc2", layers[1]), ("fc1", layers[0])):
        found[f"{name}.weight"], found[f"{name}.bias"] = slope.T @ below, slope.sum(axis=0)
        slope = (slope @ parameters[f"{name}.weight"]) * (below > 0)
    return found


def test_a_gradient_step_is_huber_q_learning_with_adam(agent: DQN) -> None:
    config = agent.config
    before = {name: value.detach().numpy().astype(float) for name, value in agent.online.named_parameters()}
    twin = np.random.default_rng(0)
    twin.bit_generator.state = agent.streams.replay.bit_generator.state
    batch = agent.replay.batch(twin, config.batch_size, 1, config.gamma)
    rows = np.arange(config.batch_size)
    actions = batch.actions.numpy()
    best = forward(before, batch.next_observations.numpy().astype(float))[-1].max(axis=1)
    errors = forward(before, batch.observations.numpy().astype(float))[-1][rows, actions]
    errors = errors - (batch.returns.numpy() + batch.discounts.numpy() * best)
    slope = np.zeros((config.batch_size, 2))
    slope[rows, actions] = np.clip(errors, -1, 1) / config.batch_size
    expected = gradients(before, batch.observations.numpy().astype(float), slope)

    loss = agent.learn()["loss"]

    huber = np.where(np.abs(errors) <= 1, errors**2 / 2, np.abs(errors) - 0.5).mean()
    assert loss.item() == pytest.approx(huber, rel=1e-5)
    for name, parameter in agent.online.named_parameters():
        # Adam's first step: both bias-corrected moments are those of this one gradient.
        step = config.learning_rate * expected[name] / (np.abs(expected[name]) + config.adam_epsilon)
        assert parameter.detach().numpy() == pytest.approx(before[name] - step, rel=1e-5, abs=1e-7)


def test_the_target_follows_only_when_told(agent: DQN) -> None:
    start = {name: value.clone() for name, value in agent.target.state_dict().items()}
    agent.learn()
    assert all(torch.equal(value, start[name]) for name, value in agent.target.state_dict().items())
    agent.update_target()
    online = agent.online.state_dict()
    assert all(torch.equal(value, online[name]) for name, value in agent.target.state_dict().items())
    assert not any(parameter.requires_grad for parameter in agent.target.parameters())


def test_initial_weights_are_xavier_uniform_with_zero_bias(agent: DQN) -> None:
    bound = (6 / (16 + 16)) ** 0.5
    weights = agent.online.get_parameter("fc2.weight")
    assert 0.8 * bound < weights.abs().max() <= bound
    assert not agent.online.get_parameter("fc2.bias").any()


def test_actions_are_greedy_but_for_epsilon(agent: DQN) -> None:
    observation = np.array([0.01, -0.02, 0.03, 0.04], np.float32)
    greedy = int(agent.online(torch.from_numpy(observation).unsqueeze(0)).argmax())
    agent.agent_step = 10
    warming_up = [agent.act(observation) for _ in range(2_000)]
    assert warming_up.count(greedy) / 2_000 == pytest.approx(0.5, abs=0.05)  # epsilon 1, two actions
    agent.agent_step = 10_000
    trained = [agent.act(observation) for _ in range(4_000)]
    assert trained.count(greedy) / 4_000 == pytest.approx(0.995, abs=0.005)  # half of epsilon .01 explores


def test_rewards_are_clipped_for_learning_where_asked(agent: DQN) -> None:
    assert [agent.learned_reward(reward) for reward in (-5.0, 0.5, 7.0)] == [-5.0, 0.5, 7.0]
    clipping = DQN(dqn_config("CartPole-v1", {**SMALL, "clip_rewards": True}))
    assert [clipping.learned_reward(reward) for reward in (-5.0, 0.5, 7.0)] == [-1.0, 0.5, 1.0]
    clipping.env.close()


def test_a_replay_too_large_for_the_memory_is_told_in_one_line() -> None:
    settings = {**SMALL, "replay_capacity": 10**15, "agent_steps": 10**15}
    with pytest.raises(UsageError, match="lower --capacity"):
        DQN(dqn_config("CartPole-v1", settings))


@pytest.mark.parametrize(("ratio", "period"), [(0.25, 40), (0.5, 20), (1.0, 10), (2.0, 5)])
def test_the_target_is_copied_at_its_period_which_follows_the_replay_ratio(
    ratio: float, period: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[tuple[int, int]] = []
    monkeypatch.setattr(DQN, "update_target", lambda self: copies.append((self.agent_step, self.gradient_step)))
    monkeypatch.setitem(dqn_values.CLASSIC_CONTROL, "target_period_agent_steps", 40)  # type: ignore[index]
    config = dqn_config("CartPole-v1", {**SMALL, "replay_ratio": ratio, "agent_steps": 130, "sample_size": 32})
    train(config, tmp_path / "run", progress=False)
    assert [agent_step for agent_step, _ in copies] == list(range(period, 131, period))
    learning = [gradient_step for agent_step, gradient_step in copies if agent_step >= 50]
    assert set(np.diff(learning)) == {10}  # as many gradient steps between two copies whatever the ratio


@pytest.mark.parametrize("double", [False, True])
def test_double_q_learning_is_an_option(double: bool) -> None:
    agent = DQN(dqn_config("CartPole-v1", {**SMALL, "double": double}))
    agent.replay.begin(agent.env.reset())
    for index in range(60):
        step = agent.env.step(index % 2)
        agent.replay.add(index % 2, step.reward, step.terminated, step.truncated, step.observation)
        if step.terminated:
            agent.replay.begin(agent.env.reset())
    with torch.no_grad():
        agent.target.get_parameter("head.weight").neg_()  # the two networks disagree on every choice
    batch = agent.batch()
    with torch.no_grad():
        ours, theirs = agent.online(batch.next_observations), agent.target(batch.next_observations)
    rows, chosen = torch.arange(8), (ours if double else theirs).argmax(dim=1)
    expected = batch.returns + batch.discounts * theirs[rows, chosen]
    with torch.no_grad():
        assert torch.allclose(agent._targets(batch), expected)
    agent.env.close()
