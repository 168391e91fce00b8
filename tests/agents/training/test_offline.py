"""Learning from recordings: which transitions a sample gives, what is refused, and a run that never acts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dormancy.errors import SampleError, UsageError
from dormancy.io import ReplaySample, save_sample
from dormancy_agents.acting.sample import collect_sample
from dormancy_agents.algorithms.dqn.agent import DQN
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs.make import make_environment
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.run_folder.resume import ResumeStore
from dormancy_agents.training.offline import Recording, recorded_replay
from dormancy_cli.main import run
from tests.agents.conftest import Run

Transition = tuple[tuple[float, ...], int, float, tuple[float, ...], bool]


@pytest.fixture(scope="module")
def cartpole_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "cartpole.h5"
    save_sample(path, collect_sample("CartPole-v1", rows=400, seed=3))
    return path


def stored(replay: Replay) -> list[Transition]:
    """Read every one-step transition out of a replay by drawing them all."""
    drawn = np.unique(replay.draw(np.random.default_rng(0), 40 * replay.transitions))
    batch = replay.transitions_at(drawn, 1, 1.0)
    columns = (batch.observations, batch.actions, batch.returns, batch.next_observations, batch.discounts)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [(tuple(now), action, reward, tuple(then), alive == 0) for now, action, reward, then, alive in rows]


def expected(sample: ReplaySample) -> list[Transition]:
    """Find them as the definition says, row by row."""
    found: list[Transition] = []
    now = np.asarray(sample.observations[:])  # type: ignore[index]
    then = None if sample.next_observations is None else np.asarray(sample.next_observations[:])  # type: ignore[index]
    given_: Any = sample
    for row in range(len(sample)):
        action, reward = int(given_.actions[row]), float(given_.rewards[row])
        ended = bool(given_.terminations[row] or given_.truncations[row])
        linked = (
            row + 1 < len(sample)
            and not ended
            and given_.steps[row + 1] == given_.steps[row] + 1
            and given_.episode_ids[row + 1] == given_.episode_ids[row]
        )
        if linked:
            reached = now[row + 1]
        elif then is not None:
            reached = then[row]
        elif given_.terminations[row]:
            reached = now[row]  # worth nothing whatever it is
        else:
            continue
        found.append(
            (tuple(now[row].tolist()), action, reward, tuple(reached.tolist()), bool(given_.terminations[row]))
        )
    return found


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=8),
    ends=st.lists(st.sampled_from(["terminated", "truncated", "cut"]), min_size=8, max_size=8),
    successors=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_transition_whose_outcome_is_known_is_there(
    lengths: list[int], ends: list[str], successors: bool, seed: int
) -> None:
    rng, rows = np.random.default_rng(seed), sum(lengths)
    last = np.cumsum(lengths) - 1
    kinds = {kind: np.zeros(rows, bool) for kind in ("terminated", "truncated", "cut")}
    for row, kind in zip(last, ends, strict=False):
        kinds[kind][row] = True
    sample = ReplaySample(
        observations=rng.standard_normal((rows, 3)).astype(np.float32),
        next_observations=rng.standard_normal((rows, 3)).astype(np.float32) if successors else None,
        actions=rng.integers(0, 4, rows),
        rewards=rng.integers(-2, 3, rows).astype(np.float32),
        terminations=kinds["terminated"],
        truncations=kinds["truncated"],
        episode_ids=np.repeat(np.arange(len(lengths)), lengths),
        steps=np.arange(rows) + np.append(0, np.cumsum(kinds["cut"])[:-1]) * 100,
    )
    replay = Replay(2 * rows + 2, (3,), np.dtype(np.float32))
    Recording(sample, "sample").fill(replay, clip=False)
    known = expected(sample)
    assert replay.transitions == len(known)
    if known:
        assert sorted(stored(replay)) == sorted(known)


def test_stacks_of_frames_come_back(tmp_path: Path) -> None:
    path = tmp_path / "breakout.h5"
    sample = collect_sample("ALE/Breakout-v5", rows=250, seed=1)
    save_sample(path, sample)
    config = dqn_config("ALE/Breakout-v5", {"offline": str(path)})
    env = make_environment(config, 0)
    replay = recorded_replay(config, env)
    env.close()
    drawn = np.unique(replay.draw(np.random.default_rng(0), 20_000))
    assert len(drawn) == 249  # what the last action led to is not known
    found = {stack.numpy().tobytes() for stack in replay.observations(drawn)}
    assert found == {stack.tobytes() for stack in np.asarray(sample.observations[:])[:-1]}  # type: ignore[index]


def test_rewards_are_clipped_where_training_clips_them(cartpole_sample: Path) -> None:
    sample = collect_sample("CartPole-v1", rows=50)
    loud = replace(sample, rewards=np.full(50, 7.0, np.float32))
    for clip, reward in ((True, 1.0), (False, 7.0)):
        replay = Replay(200, (4,), np.dtype(np.float32))
        Recording(loud, "loud").fill(replay, clip=clip)
        assert {row[2] for row in stored(replay)} == {reward}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewards": None}, "has no rewards"),
        ({"steps": None}, "has no steps"),
        ({"steps": np.arange(60) * 7}, "the next step follows on 0 of 5"),
        ({"actions": np.full(60, 2)}, "its actions are not the 2 of CartPole-v1"),
        ({"observations": np.zeros((60, 3), np.float32)}, "CartPole-v1 shows float32"),
        ({"observations": {"a": np.zeros((60, 4), np.float32)}}, "has several inputs"),
    ],
)
def test_what_cannot_be_learned_from_says_why(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    save_sample(path, replace(collect_sample("CartPole-v1", rows=60), **change))
    config = dqn_config("CartPole-v1", {"offline": str(path)})
    env = make_environment(config, 0)
    with pytest.raises(SampleError, match=message):
        recorded_replay(config, env)
    env.close()


def test_a_draw_from_a_replay_is_refused(cartpole: Run) -> None:
    """By chance some rows of it have their successor beside them, and nearly every end of an episode would count."""
    sample = sorted((cartpole.folder / "samples").iterdir())[-1]
    config = dqn_config("CartPole-v1", {"offline": str(sample)})
    env = make_environment(config, 0)
    with pytest.raises(SampleError, match=r"a uniform draw from a replay\?"):
        recorded_replay(config, env)
    env.close()


def test_what_was_recorded_in_another_game_is_refused(cartpole: Run, cartpole_sample: Path, tmp_path: Path) -> None:
    """Also where observations and actions would fit: a replay of another game teaches another game."""
    shutil.copytree(cartpole.folder, tmp_path / "other")
    about = cartpole.description
    about["config"]["env_id"] = "Acrobot-v1"
    (tmp_path / "other" / "run.json").write_text(json.dumps(about))
    save_sample(tmp_path / "s.h5", replace(collect_sample("CartPole-v1", rows=60), provenance={"env_id": "Acrobot-v1"}))
    for path in (tmp_path / "other", tmp_path / "s.h5"):
        config = dqn_config("CartPole-v1", {"offline": str(path)})
        env = make_environment(config, 0)
        with pytest.raises(SampleError, match="was recorded in Acrobot-v1, not in CartPole-v1"):
            recorded_replay(config, env)
        env.close()


def offline(sample: Path, folder: Path, *arguments: str) -> Run:
    small = ["--steps", "400", "--set", "hidden=16,16", "--set", "batch_size=16", "--sample-size", "32"]
    settings_ = ["--log-period", "25", "--set", "metrics_period_agent_steps=100", "--threads", "1", "-q"]
    given_ = ["--env", "CartPole-v1", "--offline", str(sample), "--out", str(folder)]
    assert run(["train", "dqn", *given_, *small, *settings_, *arguments]) == 0
    return Run(folder)


def test_an_offline_run_never_acts_and_repeats(cartpole_sample: Path, tmp_path: Path) -> None:
    found = offline(cartpole_sample, tmp_path / "a")
    again = offline(cartpole_sample, tmp_path / "b")
    assert all(torch.equal(value, again.weights()[name]) for name, value in found.weights().items())
    assert found.rows("episode") == []
    transitions = {row["replay_transitions"] for row in found.rows("learning")}
    assert len(transitions) == 1
    assert [row["gradient_step"] for row in found.rows("learning")] == [24, 49, 74, 99]  # from the first step on
    assert found.description["config"]["offline"] == str(cartpole_sample)
    assert len(found.rows("dormancy")) >= 3


@pytest.mark.parametrize(("steps", "capacity"), [(120, 1000), (150, 60)])
@pytest.mark.parametrize("game", ["CartPole-v1", "MinAtar/Breakout-v1"])
def test_the_replay_of_another_run_is_taken_as_it_was(game: str, steps: int, capacity: int, tmp_path: Path) -> None:
    folder = tmp_path / "donor"
    size = ["--set", "hidden=16", "--set", "batch_size=8", "--sample-size", "16", "--threads", "1", "--n-step", "3"]
    given_ = ["--env", game, "--steps", str(steps), "--warmup", "100", "--capacity", str(capacity)]
    assert run(["train", "dqn", *given_, *size, "--out", str(folder), "-q"]) == 0
    config = dqn_config(game, {"offline": str(folder), "hidden": (16,), "n_step": 3, "batch_size": 8, "threads": 1})
    agent = DQN(config)
    donor = ResumeStore(folder / "resume")
    assert donor.find()
    known = donor.load()["replay"]
    assert agent.replay.transitions == steps == known["transitions"]
    first = agent.replay.newest
    agent.replay.begin(agent.env.reset())
    drawn = agent.replay.draw(np.random.default_rng(0), 20_000, 3)
    assert drawn.max() == first - 1  # the last transition, cut short, and never the new observation
    assert drawn.min() >= first + 1 - capacity
    batch = agent.replay.transitions_at(np.array([first - 1]), 3, 0.5)
    assert batch.discounts.tolist() in ([0.5], [0.0])  # one step, not three: the episode was given up there
    agent.env.close()
    offline_ = ["--env", game, "--offline", str(folder), "--steps", "60", *size, "--out", str(tmp_path / "b"), "-q"]
    assert run(["train", "dqn", *offline_]) == 0


def test_a_folder_without_a_replay_says_so(tmp_path: Path) -> None:
    config = dqn_config("CartPole-v1", {"offline": str(tmp_path)})
    env = make_environment(config, 0)
    with pytest.raises(UsageError, match="keeps no replay"):
        recorded_replay(config, env)
    env.close()


def test_a_missing_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(
        ["train", "dqn", "--env", "CartPole-v1", "--offline", str(tmp_path / "no.h5"), "--out", str(tmp_path / "o")]
    )
    assert code == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no.h5" in error
    assert not (tmp_path / "o").exists()
