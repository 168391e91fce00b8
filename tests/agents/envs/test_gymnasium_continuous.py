"""Environments whose actions are vectors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from dormancy.errors import UsageError
from dormancy_agents.algorithms.sac.config import SACConfig
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.envs.make import make_continuous, make_environment

MUJOCO = {"HalfCheetah-v5": (17, 6), "Hopper-v5": (11, 3), "Walker2d-v5": (17, 6), "Ant-v5": (105, 8)}


@pytest.mark.parametrize("env_id", MUJOCO)
def test_the_tasks_of_the_paper(
    env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    env = make_environment(SACConfig(env_id), 1)
    first = env.reset(1)
    assert (first.shape, env.actions) == ((MUJOCO[env_id][0],), MUJOCO[env_id][1])
    assert (first.dtype, env.frame_shape, env.action_shape) == (np.float32, first.shape, (env.actions,))
    step = env.step(np.zeros(env.actions, np.float32))
    assert step.observation.dtype == np.float32
    env.close()
    assert list(tmp_path.iterdir()) == []  # the simulator writes no log of its own
    assert "deprecated" not in "".join(capfd.readouterr())


def test_actions_are_stretched_to_the_bounds_and_cut() -> None:
    pairs = [(0.25, 0.5), (-1.0, -2.0), (1.0, 7.0)]  # the torque of Pendulum goes from -2 to 2
    for unit, own in pairs:
        one, other = make_continuous("Pendulum-v1"), make_continuous("Pendulum-v1")
        assert np.array_equal(one.reset(3), other.reset(3))
        left, right = one.step(np.array([unit], np.float32)), other.take(np.array([own]))
        assert left.reward == pytest.approx(right.reward)
        assert np.allclose(left.observation, right.observation)
        one.close()
        other.close()


def test_pendulum_is_truncated_not_terminated() -> None:
    env = make_continuous("Pendulum-v1", 0)
    env.reset()
    steps = [env.step(np.zeros(1, np.float32)) for _ in range(200)]
    assert [step.truncated for step in steps] == [False] * 199 + [True]
    assert not any(step.terminated for step in steps)
    env.close()


@pytest.mark.parametrize("env_id", ["Hopper-v5", "Pendulum-v1"])
def test_it_goes_back_to_where_it_was_by_seed_and_actions(env_id: str) -> None:
    env = RecordedEnvironment(make_continuous(env_id), lambda part: 5 + part)
    env.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (300, env.actions)).astype(np.float32)
    for action in actions[:250]:  # over the end of an episode
        step = env.step(action)
        if step.terminated or step.truncated:
            env.reset()
    state = env.state()
    expected = [env.step(action) for action in actions[250:255]]
    again = RecordedEnvironment(make_continuous(env_id), lambda part: 5 + part)
    again.restore(state)
    for wanted, found in zip(expected, [again.step(action) for action in actions[250:255]], strict=True):
        assert np.array_equal(wanted.observation, found.observation)
        assert wanted[1:] == found[1:]
    env.close()
    again.close()


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("halfcheetah", "unknown environment 'halfcheetah' .did you mean 'HalfCheetah-v5'"),
        ("Zzzz-v0", "unknown environment 'Zzzz-v0' .for example HalfCheetah-v5 or Pendulum-v1"),
        ("ALE/Breakout-v5", "ALE/Breakout-v5: SAC needs vector actions, not discrete ones; use `dormancy train dqn`"),
        ("CartPole-v1", r"CartPole-v1: actions must be vectors here, the environment takes Discrete\(2\)"),
    ],
)
def test_environments_that_cannot_be_are_told(env_id: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_continuous(env_id)


@pytest.mark.parametrize(("module", "extra"), [("mujoco", "mujoco"), ("gymnasium", "train")])
def test_a_missing_extra_is_named(module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"is not installed: pip install 'dormancy\[{extra}\]'"):
        make_continuous("HalfCheetah-v5")
