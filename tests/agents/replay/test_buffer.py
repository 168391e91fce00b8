"""The replay against a plain list of what was really seen: stacks, ends of episodes, n-step returns, the ring."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation
from hypothesis import given, settings
from hypothesis import strategies as st

from dormancy.errors import UsageError
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs.make import make_environment
from dormancy_agents.replay.buffer import Replay

STACK = 3
SHAPE = (2, 2)


@dataclass
class Seen:
    """What was seen, row by row, as plain Python: the oracle."""

    observations: list[np.ndarray] = field(default_factory=list)
    actions: list[int | None] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def open(self, observation: np.ndarray) -> None:
        self.observations.append(observation)
        self.actions.append(None)
        self.rewards.append(0.0)
        self.ends.append("")

    def n_step(self, position: int, steps: int, gamma: float) -> tuple[float, float, int]:
        total = 0.0
        for taken in range(steps):
            total += gamma**taken * self.rewards[position + taken]
            if self.ends[position + taken]:
                alive = self.ends[position + taken] == "truncated"
                return total, gamma ** (taken + 1) * alive, taken + 1
        return total, gamma**steps, steps


def play(capacity: int, lengths: list[int], seed: int = 0) -> tuple[Replay, Seen]:
    """Fill a replay with episodes of these lengths; the last one is left open. Every frame is different."""
    rng = np.random.default_rng(seed)
    replay, seen, count = Replay(capacity, SHAPE, np.dtype(np.uint8), STACK), Seen(), 0
    for number, length in enumerate(lengths):
        stack = np.zeros((STACK, *SHAPE), np.uint8)
        for age in range(length + 1):
            count += 1
            frame = np.full((1, *SHAPE), count % 251 + 1, np.uint8)
            stack = np.concatenate([stack[1:], frame])
            if age == 0:
                replay.begin(stack)
            else:
                last = age == length and number < len(lengths) - 1
                end = str(rng.choice(["terminated", "truncated"])) if last else ""
                action, reward = int(rng.integers(4)), float(rng.integers(-3, 4))
                replay.add(action, reward, end == "terminated", end == "truncated", stack)
                seen.actions[-1], seen.rewards[-1], seen.ends[-1] = action, reward, end
            seen.open(stack)
    return replay, seen


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    capacity=st.integers(20, 60),
    steps=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_batches_are_what_was_seen(lengths: list[int], capacity: int, steps: int, seed: int) -> None:
    lengths[-1] += steps  # the open episode is long enough for one return
    replay, seen = play(capacity, lengths, seed)
    rng = np.random.default_rng(seed)
    positions = replay.draw(np.random.default_rng(seed), 64, steps)
    batch = replay.batch(rng, 64, steps, 0.5)
    for row, position in enumerate(positions):
        total, discount, taken = seen.n_step(position, steps, 0.5)
        assert batch.actions[row] == seen.actions[position]
        assert np.array_equal(batch.observations[row], seen.observations[position])
        assert (batch.returns[row].item(), batch.discounts[row].item()) == (total, discount)
        if discount > 0:
            assert np.array_equal(batch.next_observations[row], seen.observations[position + taken])


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=15), capacity=st.integers(12, 40))
def test_every_whole_transition_is_drawn_and_nothing_else(lengths: list[int], capacity: int) -> None:
    replay, seen = play(capacity, lengths)
    oldest = max(0, len(seen.actions) - capacity)
    whole = {
        position
        for position, action in enumerate(seen.actions)
        if action is not None and (oldest == 0 or position >= oldest + STACK - 1)
    }
    assert set(replay.draw(np.random.default_rng(0), 4_000).tolist()) == whole


def test_draws_are_uniform() -> None:
    replay, _ = play(200, [30, 5, 20, 40])
    counts = np.bincount(replay.draw(np.random.default_rng(1), 95_000))
    counts = counts[counts > 0]
    assert counts.size == 95
    chi_square = ((counts - 1_000) ** 2 / 1_000).sum()
    assert chi_square < 94 + 4 * np.sqrt(2 * 94)  # four standard deviations of its distribution


def test_batch_and_plain_observations_agree() -> None:
    replay, _ = play(50, [7, 9, 11])
    batch = replay.batch(np.random.default_rng(3), 16, 1, 0.9)
    positions = replay.draw(np.random.default_rng(3), 16)
    assert np.array_equal(batch.observations, replay.observations(positions))
    assert replay.observations(positions).is_contiguous()


def test_four_stacked_byte_planes_are_interleaved_exactly() -> None:
    rng = np.random.default_rng(0)
    replay, seen = Replay(64, (5, 7), np.dtype(np.uint8), 4), []
    stack = rng.integers(0, 256, (4, 5, 7), np.uint8) * 0
    for age in range(40):
        stack = np.concatenate([stack[1:], rng.integers(0, 256, (1, 5, 7), np.uint8)])
        seen.append(stack)
        replay.begin(stack) if age == 0 else replay.add(0, 0.0, False, False, stack)
    batch = replay.batch(np.random.default_rng(1), 32, 1, 0.9)
    positions = replay.draw(np.random.default_rng(1), 32)
    assert np.array_equal(batch.observations, np.stack([seen[position] for position in positions]))
    assert np.array_equal(batch.next_observations, np.stack([seen[position + 1] for position in positions]))


def test_vectors_have_no_axis_of_frames() -> None:
    replay = Replay(20, (4,), np.dtype(np.float32))
    replay.begin(np.arange(4, dtype=np.float32))
    replay.add(1, 0.5, False, True, np.ones(4, np.float32))
    batch = replay.batch(np.random.default_rng(0), 3, 1, 0.5)
    assert batch.observations.tolist() == [[0, 1, 2, 3]] * 3
    assert batch.next_observations.tolist() == [[1, 1, 1, 1]] * 3
    assert batch.discounts.tolist() == [0.5] * 3  # truncated, not terminated


def test_records_name_the_transitions() -> None:
    replay, seen = play(50, [4, 6])
    positions = replay.draw(np.random.default_rng(0), 30)
    records = replay.records(positions)
    assert records.actions.tolist() == [seen.actions[position] for position in positions]
    assert records.rewards.tolist() == [seen.rewards[position] for position in positions]
    assert records.episode_ids.tolist() == [1 if position < 5 else 2 for position in positions]
    assert records.agent_steps.tolist() == [position + 1 if position < 5 else position for position in positions]


def test_an_empty_replay_says_so() -> None:
    replay = Replay(20, (4,), np.dtype(np.float32))
    replay.begin(np.zeros(4, np.float32))
    with pytest.raises(UsageError, match="holds no transition"):
        replay.draw(np.random.default_rng(0), 1)


def test_episodes_cannot_be_mixed_up() -> None:
    replay = Replay(20, (4,), np.dtype(np.float32))
    with pytest.raises(RuntimeError):
        replay.add(0, 0.0, False, False, np.zeros(4, np.float32))
    replay.begin(np.zeros(4, np.float32))
    with pytest.raises(RuntimeError):
        replay.begin(np.zeros(4, np.float32))


class Playback(gymnasium.Env[Any, Any]):
    """Shows recorded frames one after the other."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, frames[0].shape, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(4)
        self._frames, self._at = frames, 0

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self._at = 0
        return self._frames[0], {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._at += 1
        return self._frames[self._at], 0.0, self._at == len(self._frames) - 1, False, {}


def test_stacks_of_real_episodes_equal_those_of_gymnasium() -> None:
    env = make_environment(dqn_config("ALE/Breakout-v5"), seed=3)
    replay = Replay(1_000, env.frame_shape, env.dtype, env.frame_stack)
    expected: list[np.ndarray] = []
    for _ in range(2):
        frames, over = [env.reset()], False
        replay.begin(frames[0])
        while not over:
            step = env.step(len(frames) % env.actions)
            replay.add(0, step.reward, step.terminated, step.truncated, step.observation)
            frames.append(step.observation)
            over = step.terminated or step.truncated
        wrapped = FrameStackObservation(Playback([frame[-1] for frame in frames]), 4, padding_type="zero")
        expected += [wrapped.reset()[0], *(wrapped.step(0)[0] for _ in frames[1:])]
    env.close()
    assert np.array_equal(replay.observations(np.arange(len(expected))), np.stack(expected))
