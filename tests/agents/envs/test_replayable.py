"""Environments that are put back where they were, sticky actions and all."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.envs.make import make_environment
from dormancy_agents.training.random_streams import Streams

MINATAR = [f"MinAtar/{game}-v1" for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")]
LONG = ("Acrobot-v1", "MinAtar/Freeway-v1", "MinAtar/Seaquest-v1")


def made(env_id: str, period: int) -> RecordedEnvironment:
    config = dqn_config(env_id, {"max_episode_agent_steps": 60})
    seeds = Streams(3).numbered("environment")
    return RecordedEnvironment(make_environment(config, seeds(0)), seeds, period)


def acted(env: RecordedEnvironment, steps: int, rng: np.random.Generator) -> Iterator[tuple[object, ...]]:
    for _ in range(steps):
        step = env.step(int(rng.integers(env.actions)))
        over = step.terminated or step.truncated
        first = env.reset() if over else None
        yield (step.observation.tobytes(), *step[1:], None if first is None else first.tobytes())


@pytest.mark.parametrize(
    "env_id",
    [*MINATAR, "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "ALE/Breakout-v5", "ALE/Seaquest-v5"],
)
@pytest.mark.parametrize("period", [10_000, 50])
def test_what_comes_after_is_what_would_have_come(env_id: str, period: int) -> None:
    with closing(made(env_id, period)) as env, closing(made(env_id, period)) as other:
        env.reset()
        chance = np.random.default_rng(0)
        last = list(acted(env, 250, chance))[-1]
        state = env.state()
        assert (state["part"] > 0) == (period == 50) or env_id in LONG  # episodes
        rest = chance.bit_generator.state
        expected = list(acted(env, 90, chance))
        here = other.restore(state)
        assert here.tobytes() == (last[-1] or last[0])
        chance.bit_generator.state = rest
        assert list(acted(other, 90, chance)) == expected
        assert other.state()["actions"].equal(env.state()["actions"])


def test_seeds_are_new_only_now_and_then() -> None:
    seeds: list[int] = []
    env = RecordedEnvironment(
        make_environment(dqn_config("CartPole-v1"), 0), lambda part: seeds.append(part) or part, 40
    )
    with closing(env):
        env.reset()
        list(acted(env, 200, np.random.default_rng(0)))
    assert seeds == list(range(len(seeds)))
    assert 3 <= len(seeds) <= 5
