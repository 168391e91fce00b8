"""One gradient step of SAC against an independent computation, and what else the agent does between two of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from dormancy_agents.algorithms.registry import ALGORITHMS
from dormancy_agents.algorithms.sac.agent import SAC
from dormancy_agents.algorithms.sac.config import SACConfig
from dormancy_agents.config import Layer, resolve

Array = NDArray[np.float64]
Weights = dict[str, Array]
SMALL = {"hidden": (16, 8), "batch_size": 32, "warmup_agent_steps": 20, "agent_steps": 400, "threads": 1}
LEARNING_RATE, SMOOTHING = 3e-4, 0.005


def config(**given: Any) -> SACConfig:
    found = resolve(ALGORITHMS["sac"], "Pendulum-v1", [Layer("given", {**SMALL, **given})]).config
    assert isinstance(found, SACConfig)
    return found


def seen(agent: SAC, steps: int = 250) -> SAC:
    """Let an agent act at random for some steps, which it learns nothing from yet."""
    agent.replay.begin(agent.env.reset())
    for _ in range(steps):
        action = agent.streams.exploration.uniform(-1, 1, agent.env.actions).astype(np.float32)
        step = agent.env.step(action)
        agent.agent_step += 1
        agent.replay.add(action, agent.config.reward_scale * step.reward, False, step.truncated, step.observation)
        if step.truncated:
            agent.replay.begin(agent.env.reset())
    return agent


@pytest.fixture
def agent() -> Iterator[SAC]:
    agent = seen(SAC(config()))
    yield agent
    agent.env.close()


def nothing() -> None:
    """Look at nothing between pruning and recycling."""


def weights(agent: SAC) -> tuple[Weights, Weights]:
    """Return the parameters of the networks and of their targets, in float64."""
    sides = (agent.online.state_dict(), agent.target.state_dict())
    online, target = ({name: value.double().numpy().copy() for name, value in side.items()} for side in sides)
    return online, target


def dense(parameters: Weights, tower: str, inputs: Array) -> list[Array]:
    """Return the inputs of each layer and, last, the output."""
    layers = [inputs]
    for name in ("fc1", "fc2"):
        weight, bias = parameters[f"{tower}.{name}.weight"], parameters[f"{tower}.{name}.bias"]
        layers.append(np.maximum(layers[-1] @ weight.T + bias, 0.0))
    return [*layers, layers[-1] @ parameters[f"{tower}.head.weight"].T + parameters[f"{tower}.head.bias"]]


def backwards(parameters: Weights, tower: str, layers: list[Array], slope: Array) -> tuple[Weights, Array]:
    """Propagate a slope by the output back, by hand: gradients of the parameters, and of the inputs."""
    found = {}
    for name, below in (("head", layers[2]), ("fc2", layers[1]), ("fc1", layers[0])):
        found[f"{tower}.{name}.weight"], found[f"{tower}.{name}.bias"] = slope.T @ below, slope.sum(axis=0)
        slope = slope @ parameters[f"{tower}.{name}.weight"]
        slope = slope if name == "fc1" else slope * (below > 0)
    return found, slope


def drawn(parameters: Weights, observations: Array, noise: Array) -> tuple[Array, Array, Array, list[Array]]:
    """Return mean, deviation, action and layers of the actor, for one number an action."""
    layers = dense(parameters, "actor", observations)
    mean, deviation = layers[-1][:, :1], np.exp(layers[-1][:, 1:])
    return mean, deviation, np.tanh(mean + deviation * noise), layers


def log_density(mean: Array, deviation: Array, action: Array) -> Array:
    base = Normal(torch.from_numpy(mean), torch.from_numpy(deviation))
    found: Array = TransformedDistribution(base, [TanhTransform()]).log_prob(torch.from_numpy(action)).numpy()
    return found


def adam(weight: Array, gradient: Array) -> Array:
    """Return the weight after the first step of Adam: by the learning rate, against the sign of the gradient."""
    return weight - LEARNING_RATE * gradient / (np.abs(gradient) + 1e-7)


def peek(agent: SAC) -> tuple[dict[str, Array], Array]:
    """Return the batch and the noise that the next gradient step will draw, as float64; the streams stay."""
    state = agent.streams.state()
    batch = agent.replay.batch(agent.streams.replay, 32, 1, 0.99)._asdict()
    noise = agent.streams.policy.standard_normal((64, 1), dtype=np.float32).astype(np.float64)
    agent.streams.restore(state)
    tensors = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
    return {name: value.clone().double().numpy() for name, value in tensors.items()}, noise


def test_critics_take_the_step_that_the_equations_ask_for(agent: SAC) -> None:
    batch, noise = peek(agent)
    online, target = weights(agent)
    mean, deviation, action, _ = drawn(online, batch["next_observations"], noise[:32])
    pairs = np.concatenate([batch["next_observations"], action], axis=1)
    least = np.minimum(dense(target, "q1", pairs)[-1], dense(target, "q2", pairs)[-1])
    goal = batch["returns"][:, None] + 0.99 * (least - 1.0 * log_density(mean, deviation, action))  # temperature 1
    expected = {}
    for tower in ("q1", "q2"):
        layers = dense(online, tower, np.concatenate([batch["observations"], batch["actions"]], axis=1))
        gradients, _ = backwards(online, tower, layers, (layers[-1] - goal) / len(goal))
        expected |= {name: adam(online[name], gradient) for name, gradient in gradients.items()}
    agent.learn()
    for name, value in expected.items():
        assert np.allclose(agent.online.state_dict()[name].numpy(), value, atol=2e-6), name


def test_the_actor_follows_the_updated_critics_and_leaves_them_alone(agent: SAC) -> None:
    batch, noise = peek(agent)
    before, _ = weights(agent)
    agent.learn()
    after, _ = weights(agent)  # its critics are those that the actor was shown
    mean, deviation, action, layers = drawn(before, batch["observations"], noise[32:])
    pairs = np.concatenate([batch["observations"], action], axis=1)
    passes = {name: dense(after, name, pairs) for name in ("q1", "q2")}
    first = passes["q1"][-1] <= passes["q2"][-1]
    slopes = {"q1": -first.astype(np.float64), "q2": -(~first).astype(np.float64)}
    by_action = sum(backwards(after, name, passes[name], slopes[name])[1][:, 3:] for name in passes)
    # d/du [log pi - min Q](tanh u), with log pi = -log deviation - log(1 - tanh(u)^2) + what does not depend on it
    by_u = 2 * action + by_action * (1 - action**2)
    by_log_deviation = by_u * deviation * noise[32:] - 1.0
    slope = np.concatenate([by_u, by_log_deviation], axis=1) / len(action)
    gradients, _ = backwards(before, "actor", layers, slope)
    for name, gradient in gradients.items():
        assert np.allclose(after[name], adam(before[name], gradient), atol=2e-6), name
    entropy = -log_density(mean, deviation, action).mean()
    steered = -LEARNING_RATE * np.sign(entropy - -0.5)  # towards the entropy -dim(A)/2
    assert float(agent.log_temperature.detach()) == pytest.approx(steered, rel=1e-3)


def test_targets_follow_slowly(agent: SAC) -> None:
    agent.learn()
    online, before = weights(agent)
    agent.update_target()
    _, after = weights(agent)
    for name in before:
        tower = name.partition(".")[0]
        moved = before[name] if tower == "actor" else before[name] + SMOOTHING * (online[name] - before[name])
        assert np.allclose(after[name], moved, atol=1e-7), name


def test_actions_are_uniform_in_warm_up_then_drawn_from_the_policy(agent: SAC) -> None:
    agent.agent_step = 0
    observation = np.array([1.0, 0.0, 0.0], np.float32)
    early = np.array([agent.act(observation) for _ in range(400)])
    assert abs(early.mean()) < 0.1
    assert early.std() == pytest.approx(1 / math.sqrt(3), abs=0.05)
    agent.agent_step = 20
    with torch.no_grad():
        agent.network.actor.head.weight.zero_()
        agent.network.actor.head.bias.copy_(torch.tensor([0.5, -3.0]))
    late = np.arctanh(np.array([agent.act(observation) for _ in range(400)]))
    assert late.mean() == pytest.approx(0.5, abs=0.02)
    assert late.std() == pytest.approx(math.exp(-3), rel=0.1)
    chosen = agent.evaluation_action(observation, np.random.default_rng(0))
    assert (chosen.shape, chosen.dtype) == ((1,), np.float32)
    assert float(chosen[0]) == pytest.approx(math.tanh(0.5))


def test_gradient_steps_are_owed_after_warm_up() -> None:
    agent = SAC(config(replay_ratio=2.0))
    agent.agent_step = 25
    assert agent.gradient_steps_due() == 10
    agent.env.close()


def test_a_saved_agent_goes_on_bit_for_bit() -> None:
    one, other = (seen(SAC(config())) for _ in range(2))
    for _ in range(3):
        one.learn()
        one.update_target()
    other.load_state(copy.deepcopy(one.state()))
    for agent in (one, other):
        agent.learn()
        agent.update_target()
        agent.env.close()
    for (name, mine), theirs in zip(one.online.state_dict().items(), other.online.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
    assert torch.equal(one.log_temperature, other.log_temperature)


@pytest.mark.parametrize(
    ("recycler", "options"),
    [
        ("redo", {}),
        ("regrama", {}),
        ("continual-backprop", {"maturity": 0, "rate": 0.5}),
        ("shrink-and-perturb", {}),
        ("reset", {}),
    ],
)
def test_every_recycler_takes_all_three_networks(recycler: str, options: dict[str, Any]) -> None:
    given = {"recycler_period_gradient_steps": 2, "recycler_tau": 0.5, "recycler_options": options}
    agent = seen(SAC(config(recycler=recycler, **given)))
    before = {name: value.clone() for name, value in agent.target.state_dict().items()}
    agent.learn()
    assert list(agent.intervene(nothing)) == []
    agent.learn()
    (row,) = agent.intervene(nothing)
    assert row["recycler"] == recycler
    if recycler in ("redo", "regrama", "continual-backprop"):
        assert {name.partition(".")[0] for name, count in row["recycled"].items() if count} == {"actor", "q1", "q2"}
    assert all(torch.equal(value, before[name]) for name, value in agent.target.state_dict().items())
    agent.env.close()


def test_recycling_silent_neurons_moves_no_output_on_its_batch(agent: SAC) -> None:
    agent = seen(SAC(config(recycler="redo", recycler_period_gradient_steps=1, recycler_tau=0.0)))
    with torch.no_grad():
        for tower in (agent.network.actor, agent.network.q1, agent.network.q2):
            tower.get_submodule("fc1").bias[:4] = -1e6  # type: ignore[index, operator]
    inputs = agent._statistics(256).inputs
    before = [each.clone() for each in agent.online(**inputs)]
    (row,) = agent.intervene(nothing)
    assert all(row["recycled"][f"{tower}.fc1"] >= 4 for tower in ("actor", "q1", "q2"))
    assert all(torch.equal(old, new) for old, new in zip(before, agent.online(**inputs), strict=True))
    fresh = [agent.online.get_submodule(f"{tower}.fc1").weight[:4] for tower in ("q1", "q2")]  # type: ignore[index]
    assert not torch.equal(*fresh)  # the twins draw from streams of their own
    agent.env.close()


def test_bf16_computes_products_in_half_precision_and_learns_in_full() -> None:
    agent = seen(SAC(config(precision="bf16")))
    losses = agent.learn()
    assert all(value.dtype == torch.float32 and bool(value.isfinite()) for value in losses.values())
    assert all(value.dtype == torch.float32 for value in agent.online.parameters())
    agent.env.close()


def test_the_defaults_are_those_of_table_4() -> None:
    found = resolve(ALGORITHMS["sac"], "HalfCheetah-v5").config
    assert isinstance(found, SACConfig)
    table = (found.warmup_agent_steps, found.gamma, found.agent_steps, found.replay_capacity, found.replay_ratio)
    assert table == (10_000, 0.99, 1_000_000, 1_000_000, 1.0)
    assert (found.target_period_gradient_steps, found.target_smoothing) == (1, 0.005)
    assert (found.learning_rate, found.adam_epsilon, found.batch_size, found.hidden) == (3e-4, 1e-7, 256, (256, 256))
    assert (found.target_entropy_per_action, found.reward_scale) == (-0.5, 0.1)
    recycling = (found.recycler_period_gradient_steps, found.recycler_tau, found.recycler_sample_size)
    assert recycling == (200_000, 0.0, 256)
    given = Layer("flag", {"recycler": "redo", "replay_ratio": 4.0})
    redo = resolve(ALGORITHMS["sac"], "HalfCheetah-v5", [given]).config
    assert (redo.recycler_tau, redo.recycler_period_gradient_steps) == (0.0, 200_000)
