"""Real environments behind the small interface."""

import sys

import numpy as np
import pytest

from dormancy.errors import UsageError
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs import Environment
from dormancy_agents.envs.make import make_environment

SEVENTEEN = [
    "Asterix", "DemonAttack", "Seaquest", "WizardOfWor", "BeamRider", "RoadRunner", "Jamesbond", "Qbert", "Breakout",
    "Enduro", "SpaceInvaders", "Pong", "Zaxxon", "YarsRevenge", "MsPacman", "DoubleDunk", "IceHockey",
]  # fmt: skip
"""The games that the paper trains DQN on (table of hyper-parameters, appendix A)."""
ATARI_100K = [
    "Alien", "Amidar", "Assault", "Asterix", "BankHeist", "BattleZone", "Boxing", "Breakout", "ChopperCommand",
    "CrazyClimber", "DemonAttack", "Freeway", "Frostbite", "Gopher", "Hero", "Jamesbond", "Kangaroo", "Krull",
    "KungFuMaster", "MsPacman", "Pong", "PrivateEye", "Qbert", "RoadRunner", "Seaquest", "UpNDown",
]  # fmt: skip
"""The games of Atari 100k (Kaiser et al. 2020), on which it trains DrQ."""


def atari(game: str = "Breakout", seed: int = 1, **settings: object) -> Environment:
    return make_environment(dqn_config(f"ALE/{game}-v5", settings), seed)


def rollout(env: Environment, steps: int) -> tuple[list[np.ndarray], list[float]]:
    """Cycle through the actions; return newest frames and rewards."""
    frames, rewards = [env.reset()[-1]], []
    for index in range(steps):
        step = env.step(index % env.actions)
        frames.append(step.observation[-1])
        rewards.append(step.reward)
        if step.terminated or step.truncated:
            frames.append(env.reset()[-1])
    env.close()
    return frames, rewards


def test_atari_observations_are_four_stacked_grey_frames() -> None:
    env = atari()
    first = env.reset()
    assert (first.shape, first.dtype, env.frame_stack, env.frame_shape) == ((4, 84, 84), np.uint8, 4, (84, 84))
    assert not first[:3].any()  # nothing was seen before the first frame
    assert first[3].any()
    second = env.step(0).observation
    assert np.array_equal(second[2], first[3])
    env.close()


@pytest.mark.parametrize("game", sorted({*SEVENTEEN, *ATARI_100K}))
def test_every_game_of_the_paper_is_there(game: str) -> None:
    env = atari(game)
    assert env.reset().shape == (4, 84, 84)
    frames = [env.step(index % env.actions).observation for index in range(5)]
    assert 3 <= env.actions <= 18
    assert any(frame[-1].any() for frame in frames)
    env.close()


def test_atari_uses_the_minimal_action_set() -> None:
    env = atari()
    assert env.actions == 4
    env.close()


def test_atari_truncates_at_the_cap_and_goes_on() -> None:
    env = atari("Pong", max_episode_agent_steps=10)
    for _ in range(3):
        first = env.reset()
        assert not first[:3].any()
        steps = [env.step(0) for _ in range(10)]
        assert [step.truncated for step in steps] == [False] * 9 + [True]
        assert not any(step.terminated for step in steps)
        assert np.array_equal(steps[9].observation[:3], steps[8].observation[1:])  # the last one, not the next first
    env.close()


def test_atari_rewards_are_as_the_game_counts_them() -> None:
    _, rewards = rollout(atari("SpaceInvaders"), 400)
    assert max(rewards) >= 5.0


def test_atari_repeats_by_seed() -> None:
    same = [rollout(atari(seed=5), 200) for _ in range(2)]
    other = rollout(atari(seed=6), 200)
    assert np.array_equal(np.stack(same[0][0]), np.stack(same[1][0]))
    assert not np.array_equal(np.stack(same[0][0]), np.stack(other[0]))  # sticky actions draw from the seed


def test_loss_of_life_does_not_end_an_episode() -> None:
    env = atari()
    env.reset()
    steps = 0
    while not env.step(1 if steps % 20 == 0 else 0).terminated:
        steps += 1
    env.close()
    assert steps > 100  # five balls were lost on the way


def test_classic_control() -> None:
    env = make_environment(dqn_config("CartPole-v1"), seed=2)
    first = env.reset()
    assert (first.shape, first.dtype, env.frame_stack, env.actions) == ((4,), np.float32, None, 2)
    step = env.step(1)
    assert (step.reward, step.terminated, step.truncated) == (1.0, False, False)
    again = make_environment(dqn_config("CartPole-v1"), seed=2)
    assert np.array_equal(again.reset(), first)
    assert not np.array_equal(again.reset(), first)  # the seed holds for the first episode only


@pytest.mark.parametrize(
    ("env_id", "meant"),
    [
        ("ALE/Breakot-v5", "ALE/Breakout-v5"),
        ("breakout", "ALE/Breakout-v5"),
        ("ALE/MsPacman", "ALE/MsPacman-v5"),
        ("cartpole-v1", "CartPole-v1"),
    ],
)
def test_unknown_environments_name_the_nearest_one(env_id: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
        make_environment(dqn_config(env_id), 0)


def test_actions_must_be_discrete() -> None:
    with pytest.raises(UsageError, match="discrete"):
        make_environment(dqn_config("MountainCarContinuous-v0"), 0)


def test_observations_must_be_vectors() -> None:
    with pytest.raises(UsageError, match="vectors"):
        make_environment(dqn_config("FrozenLake-v1"), 0)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(UsageError, match=r"pip install 'dormancy\[train\]'"):
        make_environment(dqn_config("ALE/Pong-v5"), 0)
