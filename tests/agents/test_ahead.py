"""Acting and learning side by side gives what taking turns gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dormancy.errors import UsageError
from dormancy_agents.ahead import Ahead
from dormancy_agents.config import dqn_config
from dormancy_agents.replay import Replay
from tests.agents.conftest import BREAKOUT, CARTPOLE, Run, train

FOUR = np.zeros(4, np.float32)


def filled(lengths: list[int], running: int, capacity: int) -> Replay:
    """A replay of finished episodes of these lengths and one that still runs."""
    replay = Replay(capacity, (4,), np.dtype(np.float32))
    for length in lengths:
        replay.begin(FOUR)
        for step in range(length):
            replay.add(0, 0.0, step == length - 1, False, FOUR)
    replay.begin(FOUR)
    for _ in range(running):
        replay.add(0, 0.0, False, False, FOUR)
    return replay


@given(
    lengths=st.lists(st.integers(1, 9), max_size=6),
    running=st.integers(1, 20),
    capacity=st.integers(24, 60),
    steps=st.integers(1, 3),
    later=st.integers(1, 4),
    seed=st.integers(0, 1_000),
)
def test_a_draw_ahead_is_the_draw_that_comes(
    lengths: list[int], running: int, capacity: int, steps: int, later: int, seed: int
) -> None:
    replay = filled(lengths, max(running, steps), capacity)
    early, due = np.random.default_rng(seed), np.random.default_rng(seed)
    ahead = replay.draw_ahead(early, 4, steps, replay.newest + later)
    known = replay.newest
    for _ in range(later):
        replay.add(0, 0.0, False, False, FOUR)
    drawn = replay.draw(due, 4, steps)
    if ahead is None:
        assert drawn.max() + steps > known
    else:
        assert np.array_equal(ahead, drawn)
        assert early.bit_generator.state == due.bit_generator.state


def test_no_draw_ahead_between_episodes() -> None:
    replay = filled([], 9, 50)
    replay.add(0, 0.0, True, False, FOUR)
    assert replay.draw_ahead(np.random.default_rng(0), 4, 1, replay.newest + 4) is None


class Outcomes:
    """Counts what came of the work ahead."""

    used = wasted = 0


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Outcomes:
    counted, take = Outcomes(), Ahead.take

    def counting(ahead: Ahead[Any]) -> Any:
        begun = ahead._pending is not None
        found = take(ahead)
        counted.used += found is not None
        counted.wasted += begun and found is None
        return found

    monkeypatch.setattr(Ahead, "take", counting)
    return counted


@pytest.mark.parametrize("name", ["cartpole", "breakout"])
def test_overlapping_changes_no_weight(
    name: str, cartpole: Run, breakout: Run, tmp_path: Path, outcomes: Outcomes
) -> None:
    plain = cartpole if name == "cartpole" else breakout
    options = [*CARTPOLE, "--set", "hidden=16,16"] if name == "cartpole" else BREAKOUT
    found = train(tmp_path / "run", *options, "--set", "overlap=true")
    for weight, value in plain.weights().items():
        assert torch.equal(value, found.weights()[weight]), weight
    assert outcomes.used > 10
    if name == "cartpole":  # its episodes end every twenty steps or so
        assert outcomes.wasted > 5


def test_nothing_is_begun_where_it_does_not_pay() -> None:
    replay = filled([], 40, 100)
    ahead = Ahead(replay, np.random.default_rng(0), 4, 1, lambda positions: positions)
    ahead.begin(2)
    assert ahead.take() is None


def test_what_was_cancelled_is_drawn_anew() -> None:
    replay = filled([], 90, 200)
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    ahead = Ahead(replay, rng, 2, 1, lambda positions: positions)
    ahead.begin(4)
    ahead.cancel()
    assert ahead.take() is None
    assert rng.bit_generator.state == twin.bit_generator.state


def test_overlap_is_for_a_cpu() -> None:
    with pytest.raises(UsageError, match="overlap is for --device cpu"):
        dqn_config("CartPole-v1", {"overlap": True, "device": "cuda"})
