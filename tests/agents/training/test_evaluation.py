"""Episodes without exploration: whole ones, given up when asked, and made up for by a resumed run."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs import Environment
from dormancy_agents.envs.make import make_environment
from dormancy_agents.training import journal
from dormancy_agents.training.evaluation import Episode, play
from dormancy_cli.main import run
from tests.agents.conftest import CARTPOLE, SMALL, Run

OPTIONS = [
    *SMALL,
    *CARTPOLE,
    "--set",
    "hidden=16,16",
    "--resume-period",
    "150",
    "--evaluation-episodes",
    "3",
    "--quiet",
]


def cartpole() -> Environment:
    return make_environment(dqn_config("CartPole-v1"), 0)


def push_left(observation: Any, rng: np.random.Generator) -> int:
    return 0


def test_episodes_are_whole_and_follow_from_the_seed() -> None:
    found = list(play(cartpole(), push_left, 5, seed=3))
    assert len(found) == 5
    assert all(episode.value == episode.agent_steps for episode in found)  # CartPole gives 1 a step
    assert all(8 <= episode.agent_steps <= 11 for episode in found)  # a cart pushed to one side only
    assert found == list(play(cartpole(), push_left, 5, seed=3))
    assert found[:2] == list(play(cartpole(), push_left, 2, seed=3))


def test_an_episode_is_given_up_at_once() -> None:
    asked = iter(range(100))
    found = list(play(cartpole(), push_left, 5, 3, lambda: next(asked) < 15))
    assert len(found) == 1  # the second was in the middle at the fifteenth step
    assert next(asked) == 16  # and no further one was begun


def train(folder: Path, *arguments: str) -> int:
    return run(["train", "dqn", *OPTIONS, "--out", str(folder), *arguments])


def evaluations(found: Run) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "wall_seconds"} for row in found.rows("evaluation")]


def test_a_run_ends_with_an_evaluation_where_it_is_asked_for(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--set", "evaluation_at_end=true") == 0
    assert [row["agent_step"] for row in evaluations(Run(tmp_path / "run"))] == [600]
    assert train(tmp_path / "both", "--set", "evaluation_at_end=true", "--evaluation-period", "200") == 0
    assert [row["agent_step"] for row in evaluations(Run(tmp_path / "both"))] == [200, 400, 600]
    assert evaluations(Run(tmp_path / "both"))[-1] == evaluations(Run(tmp_path / "run"))[0]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException | signal.Signals, int], None]:
    """Let something happen after the first episode of evaluation number `which`, counted from 0."""

    def after_an_episode(what: BaseException | signal.Signals, which: int) -> None:
        numbers = iter(range(100))

        def playing(*arguments: Any) -> Iterator[Episode]:
            now = next(numbers)
            for episode in play(*arguments):
                yield episode
                if now == which and isinstance(what, signal.Signals):
                    signal.raise_signal(what)
                elif now == which:
                    raise what

        monkeypatch.setattr(journal, "play", playing)

    return after_an_episode


@pytest.mark.parametrize("which", [0, 2], ids=["in the middle", "at the end"])
def test_a_signal_ends_an_evaluation_and_resuming_makes_up_for_it(
    tmp_path: Path, interrupted: Callable[[Any, int], None], which: int
) -> None:
    assert train(tmp_path / "whole", "--evaluation-period", "200") == 0
    interrupted(signal.SIGTERM, which)
    assert train(tmp_path / "run", "--evaluation-period", "200") == 143
    found, whole = Run(tmp_path / "run"), Run(tmp_path / "whole")
    assert evaluations(found) == evaluations(whole)[:which]
    assert found.description["status"] == "stopped by signal 15"
    assert train(tmp_path / "run", "--evaluation-period", "200", "--resume") == 0
    assert evaluations(found) == evaluations(whole)
    assert all(torch.equal(value, whole.weights()[name]) for name, value in found.weights().items())
    assert train(tmp_path / "run", "--evaluation-period", "200", "--resume") == 0
    assert evaluations(found) == evaluations(whole)  # nothing is owed twice


def test_what_ends_the_last_evaluation_costs_no_training(
    tmp_path: Path, interrupted: Callable[[Any, int], None]
) -> None:
    asked = ["--set", "evaluation_at_end=true"]
    assert train(tmp_path / "whole", *asked) == 0
    interrupted(KeyboardInterrupt(), 0)  # as by a second SIGINT: nothing is written after it
    assert train(tmp_path / "run", *asked) == 130
    found = Run(tmp_path / "run")
    assert (found.folder / "resume" / "state_000000600.pt").exists()
    assert found.checkpoints[-1].name == "step_000000600.pt"
    assert train(tmp_path / "run", *asked, "--resume") == 0
    assert evaluations(found) == evaluations(Run(tmp_path / "whole"))


def test_an_evaluation_counts_in_no_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 1))
    monkeypatch.setattr(journal.time, "perf_counter", lambda: float(next(clock)))

    def long(*arguments: Any) -> Iterator[Episode]:
        for _ in range(10**6):
            next(clock)
        yield Episode(1.0, 1)

    monkeypatch.setattr(journal, "play", long)
    assert train(tmp_path / "run", "--evaluation-period", "150", "--evaluation-episodes", "1") == 0
    rates = [row["agent_steps_per_second"] for row in Run(tmp_path / "run").rows("learning")]
    assert min(rates) > 1.0  # a hundred steps within a few ticks; a million more would leave nothing of it
