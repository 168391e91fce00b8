"""Games of Atari with lives as episodes, and with random no-ops to begin with."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs import Environment, RecordedEnvironment
from dormancy_agents.envs.make import make_environment
from dormancy_agents.replay.buffer import Replay
from dormancy_cli.main import run

STEPS = 400


def breakout(seed: int = 1, **settings: object) -> Environment:
    return make_environment(dqn_config("ALE/Breakout-v5", {"sticky_action_probability": 0.0, **settings}), seed)


def action_at(index: int) -> int:
    """Serve now and then and never move: balls are lost."""
    return 1 if index % 15 == 0 else 0


def lives_of_the_emulator() -> list[int]:
    """Ask ale-py's own vector environment, with the same seed and actions."""
    from ale_py.vector_env import AtariVectorEnv

    settings = {"noop_max": 0, "use_fire_reset": False, "reward_clipping": False}
    envs = AtariVectorEnv("breakout", num_envs=1, num_threads=1, autoreset_mode="SameStep", **settings)
    envs.reset(seed=1)
    found = [int(envs.step(np.array([action_at(index)]))[4]["lives"][0]) for index in range(STEPS)]
    envs.close()
    return found


def test_a_lost_life_terminates_and_the_game_goes_on() -> None:
    lives = [5, *lives_of_the_emulator()]
    lost = [index for index in range(STEPS) if lives[index + 1] < lives[index]]
    over = [index for index in range(STEPS) if lives[index + 1] > lives[index]]
    assert len(lost) >= 4
    assert over
    env, whole = breakout(life_loss_terminates=True), breakout()
    env.reset()
    whole.reset()
    found: dict[str, list[int]] = {"lost": [], "over": []}
    for index in range(STEPS):
        step, theirs = env.step(action_at(index)), whole.step(action_at(index))
        assert np.array_equal(step.observation[-1], theirs.observation[-1])  # the same game, frame by frame
        assert step.reward == theirs.reward
        assert step.terminated == (theirs.terminated or step.life_lost)
        if step.terminated:
            found["lost" if step.life_lost else "over"].append(index)
            first = env.reset()
            assert not first[:-1].any()  # an episode begins on black frames
            if step.life_lost:
                assert np.array_equal(first[-1], step.observation[-1])
        if theirs.terminated:
            whole.reset()
    assert found == {"lost": lost, "over": over}
    env.close()
    whole.close()


def test_stacks_of_lives_are_those_that_the_replay_rebuilds() -> None:
    env = breakout(life_loss_terminates=True)
    replay, seen = Replay(2_000, env.frame_shape, env.dtype, env.frame_stack), [env.reset()]
    replay.begin(seen[0])
    for index in range(STEPS):
        step = env.step(action_at(index))
        replay.add(action_at(index), step.reward, step.terminated, step.truncated, step.observation)
        seen.append(step.observation)
        if step.terminated:
            seen.append(env.reset())
            replay.begin(seen[-1])
    env.close()
    assert replay.episodes >= 6
    assert np.array_equal(replay.observations(np.arange(len(seen))), np.stack(seen))


def test_a_new_seed_waits_for_the_end_of_the_game() -> None:
    seeds: list[int] = []

    def seed(number: int) -> int:
        seeds.append(number)
        return number + 1

    env = RecordedEnvironment(breakout(life_loss_terminates=True), seed, period=1)
    env.reset()
    parts = []
    for index in range(STEPS):
        step = env.step(action_at(index))
        if step.terminated:
            env.reset()
            parts.append((step.life_lost, len(seeds)))
    changed = [after > before for (_, before), (_, after) in itertools.pairwise(parts)]
    assert changed == [not lost for lost, _ in parts[1:]]
    env.close()


def test_a_saved_place_between_two_lives_is_found_again() -> None:
    env = RecordedEnvironment(breakout(life_loss_terminates=True), lambda number: number + 1)
    observation = env.reset()
    for index in range(40):
        step = env.step(action_at(index))
        observation = env.reset() if step.terminated else step.observation
    again = RecordedEnvironment(breakout(life_loss_terminates=True), lambda number: number + 1)
    assert np.array_equal(again.restore(env.state()), observation)
    for index in range(40, 120):
        ours, theirs = env.step(action_at(index)), again.step(action_at(index))
        assert np.array_equal(ours.observation, theirs.observation)
        assert ours[1:] == theirs[1:]
        if ours.terminated:
            assert np.array_equal(env.reset(), again.reset())
    env.close()
    again.close()


def test_no_ops_begin_a_game_at_one_of_many_moments() -> None:
    env = make_environment(dqn_config("ALE/Freeway-v5", {"noop_max": 30, "sticky_action_probability": 0.0}), 1)
    firsts = [env.reset(seed)[-1].tobytes() for seed in range(12)]
    assert len(set(firsts)) >= 5
    assert env.reset(3)[-1].tobytes() == firsts[3]
    env.close()


@pytest.mark.parametrize("lives", ["true", "false"])
def test_returns_are_logged_of_whole_games(lives: str, tmp_path: Path) -> None:
    folder = tmp_path / lives
    small = ["--width", "0.1", "--steps", "700", "--warmup", "690", "--sample-size", "16", "--threads", "1"]
    settings = ["--set", f"life_loss_terminates={lives}", "--set", "sticky_action_probability=0"]
    assert run(["train", "dqn", "--env", "ALE/Breakout-v5", *small, *settings, "--out", str(folder), "-q"]) == 0
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    games = [(row["return"], row["length_agent_steps"]) for row in rows if row["kind"] == "episode"]
    assert games
    assert all(length > 100 for _, length in games)  # five balls; a life lasts some 25 steps
