"""Watching agents of Stable-Baselines3: the logic on stand-ins, and, marked `sb3`, the real library."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import NetworkError, OutputError, UsageError
from dormancy.integrations.stable_baselines3 import (
    AgentMonitor,
    gradient_steps_of,
    networks_of,
    observations_of,
    sb3_callback,
)


class Buffer:
    """Stands for a buffer of the library: (rows, environments, ...) arrays, filled from the front."""

    def __init__(self, filled: int, size: int = 50, n_envs: int = 2) -> None:
        self.buffer_size, self.n_envs, self.filled = size, n_envs, filled
        rows = np.arange(size * n_envs, dtype=np.float32).reshape(size, n_envs, 1)
        self.observations: Any = np.repeat(rows, 3, axis=2)
        self.actions = -rows

    def size(self) -> int:
        return self.filled


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        return self.net(torch.cat([obs, actions], dim=1))  # type: ignore[no-any-return]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))


def agent(filled: int = 40, normalizer: Any = None, on_policy: bool = False, **networks: nn.Module) -> Any:
    buffer = Buffer(filled)
    buffers = {"rollout_buffer": buffer} if on_policy else {"replay_buffer": buffer}
    return SimpleNamespace(
        policy=SimpleNamespace(**networks), _n_updates=17, get_vec_normalize_env=lambda: normalizer, **buffers
    )


def test_what_is_watched() -> None:
    q, actor, critic = mlp(), mlp(), Critic()
    assert networks_of(agent(q_net=q)) == {"q": q}
    assert networks_of(agent(quantile_net=q)) == {"quantile": q}
    assert networks_of(agent(actor=actor, critic=critic)) == {"actor": actor, "critic": critic}
    whole = agent()
    assert networks_of(whole) == {"policy": whole.policy}


def test_gradient_steps_are_known_off_policy_only() -> None:
    assert gradient_steps_of(agent()) == 17
    assert gradient_steps_of(agent(on_policy=True)) is None


def test_rows_are_drawn_without_replacement_from_what_is_there() -> None:
    found = observations_of(agent(filled=20), 30, np.random.default_rng(0))
    assert found is not None
    rows = found["q"][:, 0]
    assert np.unique(rows).size == 30
    assert rows.max() < 40
    assert np.array_equal(found["critic"]["obs"][:, :1], -found["critic"]["actions"])


def test_it_waits_until_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    assert observations_of(agent(filled=14), 30, rng) is None
    assert observations_of(agent(filled=15), 30, rng) is not None
    assert observations_of(agent(filled=48), 1000, rng) is None
    full = observations_of(agent(filled=49), 1000, rng)
    assert full is not None
    assert len(full["q"]) == 98


@pytest.mark.parametrize("on_policy", [False, True])
def test_a_replay_is_normalised_and_a_rollout_is_already(on_policy: bool) -> None:
    normalizer = SimpleNamespace(normalize_obs=lambda rows: rows / 100)
    found = observations_of(agent(normalizer=normalizer, on_policy=on_policy), 20, np.random.default_rng(0))
    assert found is not None
    assert (found["policy"].max() < 1) is not on_policy


def test_the_draw_is_repeatable_and_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    first, second = (observations_of(agent(), 20, np.random.default_rng(4)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first["q"], second["q"])
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]


def test_observations_in_parts_are_refused_in_words() -> None:
    several = agent()
    several.replay_buffer.observations = {"image": np.zeros((50, 2, 3))}
    with pytest.raises(NetworkError, match="several parts"):
        observations_of(several, 10, np.random.default_rng(0))


def test_it_scans_at_the_first_step_at_or_after_each_multiple() -> None:
    watched = agent(q_net=mlp())
    monitor = AgentMonitor(every=100, rows=10)
    scanned = [steps for steps in range(0, 420, 30) if monitor.step(watched, steps)]
    assert scanned == [120, 210, 300]
    assert monitor.series["q"].steps == (120, 210, 300)
    assert [found.gradient_step for found in monitor.series["q"].scans] == [17, 17, 17]


def test_an_empty_buffer_is_looked_at_again_at_the_next_step() -> None:
    watched = agent(filled=0, q_net=mlp())
    monitor = AgentMonitor(every=100, rows=10)
    assert monitor.step(watched, 100) == {}
    watched.replay_buffer.filled = 40
    assert monitor.step(watched, 101)
    assert monitor.series["q"].steps == (101,)


def test_actor_and_critic_have_curves_and_files_of_their_own(tmp_path: Path) -> None:
    monitor = AgentMonitor(every=1, tau=(0.1, 0.0), rows=10, folder=tmp_path / "new")
    curves = monitor.step(agent(actor=mlp(), critic=Critic()), 1)
    assert {"actor/fraction@0.1", "actor/fraction@0/0", "critic/fraction@0.1/net.0"} <= set(curves)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["actor.jsonl", "critic.jsonl"]
    assert monitor.series["critic"].layer_names == ("net.0",)
    with pytest.raises(OutputError, match=r"already holds actor\.jsonl"):
        AgentMonitor(folder=tmp_path / "new")


@pytest.mark.parametrize("wrong", [{"every": 0}, {"rows": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        AgentMonitor(**wrong)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.callbacks", None)
    with pytest.raises(UsageError, match=r"pip install 'dormancy\[sb3\]'"):
        sb3_callback()


def test_a_later_failure_warns_once_and_strict_raises(tmp_path: Path) -> None:
    for strict in (False, True):
        monitor = AgentMonitor(every=1, rows=10, strict=strict)
        watched = agent(q_net=mlp())
        assert monitor.step(watched, 1)
        watched.replay_buffer.observations = np.zeros((50, 2, 7), np.float32)
        if strict:
            with pytest.raises(NetworkError, match="does not take"):
                monitor.step(watched, 2)
            continue
        with pytest.warns(UserWarning, match="not watched any more from environment step 2"):
            assert monitor.step(watched, 2) == {}
        assert monitor.step(watched, 3) == {}  # a second warning would be an error
        assert monitor.stopped is not None
        assert monitor.series["q"].steps == (1,)


def test_a_check_refuses_at_the_start_and_names_what_is_watched() -> None:
    AgentMonitor().check(agent(actor=mlp(), critic=Critic()))
    bufferless = SimpleNamespace(policy=SimpleNamespace(q_net=mlp()))
    several = agent(q_net=mlp())
    several.replay_buffer.observations = {"image": np.zeros((50, 2, 3))}
    for unfit in (bufferless, several, agent(q_net=nn.Linear(5, 2))):
        with pytest.raises(UsageError, match=r"cannot be watched: .* watches A2C, DDPG"):
            AgentMonitor().check(unfit)


def algorithm_class(name: str) -> Any:
    import sb3_contrib
    import stable_baselines3

    return getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)


@pytest.mark.sb3
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("algorithm", "policy", "env_id"),
    [("RecurrentPPO", "MlpLstmPolicy", "CartPole-v1"), ("ARS", "LinearPolicy", "Pendulum-v1")],
)
def test_the_real_library_is_refused_before_the_first_step(algorithm: str, policy: str, env_id: str) -> None:
    agent = algorithm_class(algorithm)(policy, env_id, seed=3, device="cpu")
    with pytest.raises(UsageError, match=rf"{algorithm} cannot be watched: .* watches A2C"):
        agent.learn(50, callback=sb3_callback(every=10, rows=4))
    assert agent.num_timesteps == 0


@pytest.mark.sb3
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("algorithm", "env_id", "options", "watched"),
    [
        ("DQN", "CartPole-v1", {"learning_starts": 50, "buffer_size": 500}, {"q"}),
        ("SAC", "Pendulum-v1", {"learning_starts": 50, "buffer_size": 500}, {"actor", "critic"}),
        ("TD3", "Pendulum-v1", {"learning_starts": 50, "buffer_size": 500}, {"actor", "critic"}),
        ("PPO", "CartPole-v1", {"n_steps": 128}, {"policy"}),
        ("A2C", "CartPole-v1", {}, {"policy"}),
        ("DDPG", "Pendulum-v1", {"learning_starts": 50, "buffer_size": 500}, {"actor", "critic"}),
        ("TQC", "Pendulum-v1", {"learning_starts": 50, "buffer_size": 500}, {"actor", "critic"}),
        ("CrossQ", "Pendulum-v1", {"learning_starts": 50, "buffer_size": 500}, {"actor", "critic"}),
        ("QRDQN", "CartPole-v1", {"learning_starts": 50, "buffer_size": 500}, {"quantile"}),
        ("TRPO", "CartPole-v1", {"n_steps": 128}, {"policy"}),
        ("MaskablePPO", "CartPole-v1", {"n_steps": 128}, {"policy"}),
    ],
)
def test_the_real_library_trains_the_same_with_it(
    algorithm: str, env_id: str, options: dict[str, int], watched: set[str]
) -> None:
    def train(callback: Any) -> dict[str, Tensor]:
        agent = algorithm_class(algorithm)("MlpPolicy", env_id, seed=3, device="cpu", **options)
        masks = {"use_masking": False} if algorithm == "MaskablePPO" else {}
        agent.learn(400, callback=callback, **masks)
        return dict(agent.policy.state_dict())

    callback = sb3_callback(every=100, tau=(0.1, 0.0), rows=64)
    with_it, without = train(callback), train(None)
    for name, value in without.items():
        assert torch.equal(value, with_it[name]), name
    assert set(callback.monitor.series) == watched
    for series in callback.monitor.series.values():
        assert len(series) >= 3
        assert 0 <= series.scans[-1].fraction() <= 1
        assert series.scans[-1].neurons >= 128
