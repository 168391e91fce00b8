"""A prepared gradient step is the same gradient step."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from dormancy_agents.algorithms.dqn.agent import DQN
from dormancy_agents.algorithms.gradient_step import GradientStep
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.algorithms.sac.agent import SAC
from dormancy_agents.algorithms.sac.config import SACConfig

SMALL = {"hidden": (16,), "width": 0.1, "batch_size": 4, "warmup_agent_steps": 50, "threads": 1, "replay_capacity": 500}


def agent_on_breakout(**settings: object) -> DQN:
    """An agent that has seen 60 random steps and learned nothing yet."""
    agent = DQN(dqn_config("ALE/Breakout-v5", {**SMALL, **settings}))
    agent.replay.begin(agent.env.reset())
    for _ in range(60):
        action = int(agent.streams.exploration.integers(4))
        step = agent.env.step(action)
        agent.replay.add(action, step.reward, step.terminated, step.truncated, step.observation)
        if step.terminated or step.truncated:
            agent.replay.begin(agent.env.reset())
    return agent


def prepare(agent: DQN, kind: str) -> None:
    agent._take_gradient_step = GradientStep(agent._update, [agent.optimizer], kind)


@pytest.fixture
def pair() -> Iterator[tuple[DQN, DQN]]:
    """Two equal agents; the second prepares its gradient steps as for a graph."""
    plain, prepared = agent_on_breakout(), agent_on_breakout()
    prepare(prepared, "rehearsed")
    yield plain, prepared
    plain.env.close()
    prepared.env.close()


def assert_equal(first: DQN, second: DQN) -> None:
    for (name, mine), theirs in zip(first.online.named_parameters(), second.online.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
        states = zip(first.optimizer.state[mine].items(), second.optimizer.state[theirs].values(), strict=True)
        assert all(torch.equal(one, other) for (_, one), other in states), name


def test_prepared_steps_are_the_plain_ones_bit_for_bit(pair: tuple[DQN, DQN]) -> None:
    plain, prepared = pair
    for _ in range(5):
        assert torch.equal(plain.learn()["loss"], prepared.learn()["loss"])
        assert_equal(plain, prepared)
    assert plain.gradient_step == prepared.gradient_step == 5


def test_preparing_in_the_middle_of_a_run_leaves_no_trace(pair: tuple[DQN, DQN]) -> None:
    plain, prepared = pair
    for step in range(6):
        if step == 3:
            prepared._take_gradient_step.forget()  # the optimizer has state by now, which is put back
        plain.learn()
        prepared.learn()
    assert_equal(plain, prepared)


def test_the_random_generator_is_put_back(pair: tuple[DQN, DQN]) -> None:
    _, prepared = pair
    update = prepared._update
    drawn: list[float] = []

    def drawing(batch: object) -> dict[str, torch.Tensor]:
        drawn.append(float(torch.rand(())))
        return update(batch)  # type: ignore[arg-type]

    prepared._take_gradient_step = GradientStep(drawing, [prepared.optimizer], "rehearsed")
    torch.manual_seed(0)
    expected = float(torch.rand(()))
    torch.manual_seed(0)
    prepared.learn()
    assert drawn[-1] == expected
    assert len(drawn) > 1  # there were rehearsals, which drew too


def test_the_target_and_recycled_weights_reach_a_prepared_step(pair: tuple[DQN, DQN]) -> None:
    plain, prepared = pair
    for agent in pair:
        agent.learn()
        agent.update_target()
        with torch.no_grad():
            agent.online.get_parameter("fc1.weight")[0] = 0.5
        agent.learn()
    assert_equal(plain, prepared)


def test_a_resumed_agent_forgets_its_preparation(pair: tuple[DQN, DQN]) -> None:
    plain, prepared = pair
    for agent in pair:
        agent.learn()
        agent.load_state(agent.state())  # replaces the tensors of the optimizer
        agent.learn()
    assert_equal(plain, prepared)


def sac_on_pendulum(kind: str, **settings: object) -> SAC:
    """A SAC that has seen 60 random steps and learned nothing yet; `kind` says how it prepares its gradient steps."""
    small = {"hidden": (16, 16), "batch_size": 8, "warmup_agent_steps": 100, "threads": 1, "replay_capacity": 500}
    agent = SAC(SACConfig("Pendulum-v1", **{**small, **settings}))  # type: ignore[arg-type]
    observation = agent.env.reset()
    agent.replay.begin(observation)
    for _ in range(60):
        action = agent.act(observation)
        step = agent.env.step(action)
        agent.replay.add(action, step.reward, step.terminated, step.truncated, step.observation)
        observation = step.observation
    agent.env.close()
    agent._take_gradient_step = GradientStep(agent._update, list(agent.optimizers.values()), kind)
    return agent


def trained(agent: SAC) -> dict[str, torch.Tensor]:
    """Everything that a gradient step of SAC changes, by name."""
    found = {
        f"{module}.{name}": value for module, each in agent.modules.items() for name, value in each.named_parameters()
    }
    for name, optimizer in agent.optimizers.items():
        for number, state in enumerate(optimizer.state.values()):
            found |= {f"{name} {number} {entry}": value for entry, value in state.items()}
    return found


def test_a_prepared_step_of_sac_is_the_plain_one() -> None:
    plain, prepared = sac_on_pendulum("none"), sac_on_pendulum("rehearsed")
    for step in range(6):
        if step == 4:
            for agent in (plain, prepared):
                agent.load_state(agent.state())  # replaces the tensors of the optimizers
        losses = [agent.learn() for agent in (plain, prepared)]
        assert [*losses[0]] == [*losses[1]] == ["loss", "actor_loss", "entropy"]
        assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])
        for agent in (plain, prepared):
            agent.update_target()
        expected, found = trained(plain), trained(prepared)
        assert [*expected] == [*found]
        assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert not torch.equal(plain.log_temperature, torch.zeros(()))  # it moved


@pytest.mark.gpu
def test_a_recorded_graph_of_sac_learns_what_the_calls_do() -> None:
    plain, graph = (sac_on_pendulum(kind, device="cuda") for kind in ("none", "cuda"))
    for _ in range(20):
        expected, found = plain.learn(), graph.learn()
        for name in expected:
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-3, abs=1e-5), name
    for name, value in trained(plain).items():
        torch.testing.assert_close(trained(graph)[name], value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_recorded_graph_learns_what_the_calls_do(precision: str) -> None:
    plain = agent_on_breakout(device="cuda", precision=precision, cuda_graph=False)
    graph = agent_on_breakout(device="cuda", precision=precision)
    for _ in range(20):
        expected, found = float(plain.learn()["loss"]), float(graph.learn()["loss"])
        assert found == pytest.approx(expected, rel=1e-3)
    for mine, theirs in zip(plain.online.parameters(), graph.online.parameters(), strict=True):
        np.testing.assert_allclose(theirs.detach().cpu(), mine.detach().cpu(), rtol=1e-3, atol=1e-5)
    plain.env.close()
    graph.env.close()
