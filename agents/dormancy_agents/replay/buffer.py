"""The replay: each frame is stored once, and stacks are put together again when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dormancy.errors import UsageError
from dormancy_agents.replay.n_step import n_step
from dormancy_agents.replay.pixel_layout import interleave, to_device

__all__ = ["Batch", "Records", "Replay"]

Array = NDArray[Any]
Positions = NDArray[np.int64]


class Batch(NamedTuple):
    """Transitions to learn from. Observations are in their stored dtype and valid until the next batch is drawn.

    Stacks of frames lie in memory as channels-last convolutions want them.
    """

    observations: Tensor
    actions: Tensor
    returns: Tensor
    discounts: Tensor
    next_observations: Tensor
    positions: Positions


class Records(NamedTuple):
    """What the replay knows of transitions beside their observations, as arrays of shape (N,), or (N, *action_shape).

    Rewards are those learned from (clipped on Atari); `agent_steps` says when each action was taken, from 1.
    """

    actions: Array
    rewards: Array
    terminations: Array
    truncations: Array
    episode_ids: Array
    agent_steps: Array


_COLUMNS = ("_age", "_action", "_acted", "_reward", "_terminated", "_truncated", "_episode", "_agent_step")
_COUNTERS = ("_newest", "_ended", "episodes", "transitions")


@final
class Replay:
    """A ring of observations in the order in which they were seen, each with the action taken in it.

    An episode of T actions fills T + 1 rows; no action was taken in the last one, so it is never drawn, but it is
    there as the successor of the one before (a truncated episode needs its value). Positions count all rows ever
    written; a row's place in the ring is its position modulo the capacity. The age of a row counts the rows since its
    episode began: a stack never reaches back further than that, and what is missing is black, as in the emulator.

    Memory is taken as rows are written (the system hands out untouched pages only when they are used), 7 kB an Atari
    frame. `frame_stack` None means that observations have no axis of frames. Actions are numbers, or vectors of
    `action_shape`.
    """

    def __init__(
        self,
        capacity: int,
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        frame_stack: int | None = None,
        device: str | torch.device = "cpu",
        *,
        action_shape: tuple[int, ...] = (),
    ) -> None:
        self.capacity, self.frame_shape, self.frame_stack = capacity, frame_shape, frame_stack
        self._depth = frame_stack or 1
        self._black = capacity  # one more row, of zeros
        self._frames = _empty_frames(capacity + 1, int(np.prod(frame_shape)), dtype, device)
        self._frames[self._black] = 0
        self._age = np.zeros(capacity, np.int32)
        self._action = np.zeros((capacity, *action_shape), np.float32 if action_shape else np.int16)
        self._acted = np.zeros(capacity, np.bool_)
        self._reward = np.zeros(capacity, np.float32)
        self._terminated = np.zeros(capacity, np.bool_)
        self._truncated = np.zeros(capacity, np.bool_)
        self._episode = np.zeros(capacity, np.int64)
        self._agent_step = np.zeros(capacity, np.int64)
        self._newest = -1
        self._lost = 0
        self._ended = True
        self.episodes = 0
        self.transitions = 0
        self._buffers: dict[tuple[str, int], Tensor] = {}

    # Writing

    def begin(self, observation: Array) -> None:
        """Open an episode with its first observation."""
        if not self._ended:
            raise RuntimeError("an episode begins before the last one ended")
        self.episodes += 1
        self._ended = False
        self._open(observation, age=0)

    def add(self, action: int | Array, reward: float, terminated: bool, truncated: bool, observation: Array) -> None:
        """Store the action taken in the newest observation, and the observation that it led to."""
        if self._ended:
            raise RuntimeError("a transition without an episode: call begin first")
        row = self._newest % self.capacity
        self.transitions += 1
        self._action[row], self._reward[row], self._acted[row] = action, reward, True
        self._terminated[row], self._truncated[row] = terminated, truncated
        self._agent_step[row] = self.transitions
        self._ended = terminated or truncated
        self._open(observation, age=int(self._age[row]) + 1)

    def _open(self, observation: Array, age: int) -> None:
        self._newest += 1
        row = self._newest % self.capacity
        frame = observation if self.frame_stack is None else observation[-1]
        self._frames[row] = self._tensor(frame.reshape(-1))
        self._age[row], self._episode[row], self._acted[row] = age, self.episodes, False
        self._terminated[row] = self._truncated[row] = False

    def give_up(self) -> None:
        """End an open episode where it is: its last transition is a truncation."""
        if not self._ended:
            self._truncated[(self._newest - 1) % self.capacity] = self._age[self._newest % self.capacity] > 0
            self._ended = True

    # Saving

    @property
    def newest(self) -> int:
        """The position of the newest observation, -1 where there is none."""
        return self._newest

    @property
    def oldest(self) -> int:
        """The position of the oldest row that is still there."""
        return max(self._lost, self._newest + 1 - self.capacity)

    def state(self) -> dict[str, Any]:
        """Return the counters; the rows are saved apart."""
        return {name: getattr(self, name) for name in _COUNTERS} | {"lost": self.oldest}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the counters of a saved run, before its rows."""
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self._lost = int(state["lost"])

    def _columns(self) -> dict[str, Array]:
        return {name.removeprefix("_"): getattr(self, name) for name in _COLUMNS}

    def row_types(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Return shape and dtype of a row in each array that `rows` returns."""
        found = {name: (column.shape[1:], column.dtype) for name, column in self._columns().items()}
        return {"frames": ((self._frames.shape[1],), self._frames[:0].cpu().numpy().dtype), **found}

    def rows(self, first: int, stop: int) -> dict[str, Array]:
        """Return copies of the rows at positions `first`..`stop`-1 by name, (stop - first, ...) each."""
        rows = np.arange(first, stop) % self.capacity
        frames = self._frames.index_select(0, self._tensor(rows)).cpu().numpy()
        return {"frames": frames, **{name: column[rows] for name, column in self._columns().items()}}

    def put_rows(self, first: int, arrays: Mapping[str, Array]) -> None:
        """Write rows back to where they were; of more rows than the ring has, the last ones stay."""
        rows = np.arange(first, first + len(arrays["age"])) % self.capacity
        keep = slice(max(0, len(rows) - self.capacity), None)
        self._frames[self._tensor(rows[keep])] = self._tensor(arrays["frames"][keep].copy())
        for name, column in self._columns().items():
            column[rows[keep]] = arrays[name][keep]

    # Drawing

    def draw(self, rng: np.random.Generator, size: int, steps: int = 1) -> Positions:
        """Draw positions uniformly, with replacement, among those that have an action and `steps` steps to follow."""
        low, high = self._range()
        positions = rng.integers(low, high, size)
        while (unusable := ~self._usable(positions, steps)).any():
            positions[unusable] = rng.integers(low, high, int(unusable.sum()))
        return positions

    def _range(self) -> tuple[int, int]:
        """Return the positions between which stacks are whole; raise `UsageError` when nothing can be drawn."""
        low = 0 if self.oldest == 0 else self.oldest + self._depth - 1
        if self.transitions == 0:
            raise UsageError("the replay holds no transition yet; lengthen the warm-up")
        return low, self._newest

    def _usable(self, positions: Positions, steps: int) -> NDArray[np.bool_]:
        taken = self._acted[positions % self.capacity]
        if steps == 1 or self._ended:
            return taken
        episode_start = self._newest - self._age[self._newest % self.capacity]
        return np.asarray(taken & ((positions + steps <= self._newest) | (positions < episode_start)))

    def batch(self, rng: np.random.Generator, size: int, steps: int, gamma: float) -> Batch:
        """Draw transitions to learn from: `steps`-step returns that stop at the end of an episode."""
        return self.transitions_at(self.draw(rng, size, steps), steps, gamma)

    def transitions_at(self, positions: Positions, steps: int, gamma: float) -> Batch:
        """Return the transitions that begin at `positions`, which were drawn for as many steps."""
        rows = (positions[:, None] + np.arange(steps)) % self.capacity
        ahead = n_step(self._reward[rows], self._terminated[rows], self._truncated[rows], gamma)
        actions = self._as_taken(self._action[positions % self.capacity])
        return Batch(
            self._stacks(positions, "now"),
            self._tensor(actions),
            self._tensor(ahead.returns),
            self._tensor(ahead.discounts),
            self._stacks(positions + ahead.lengths, "next"),
            positions,
        )

    def observations(self, positions: Positions) -> Tensor:
        """Return a copy of the observations at `positions`: (N, frame_stack, *frame_shape) or (N, *frame_shape)."""
        frames = self._frames.index_select(0, self._tensor(self._rows(positions).T.reshape(-1)))
        stack = () if self.frame_stack is None else (self.frame_stack,)
        return frames.view(len(positions), *stack, *self.frame_shape)

    def _stacks(self, positions: Positions, buffer: str) -> Tensor:
        """Return the same as `observations` in memory that is used again, with the stack as the fastest axis."""
        if self.frame_stack is None:
            return self.observations(positions)
        rows = self._tensor(self._rows(positions).reshape(-1))
        frames = torch.index_select(self._frames, 0, rows, out=self._buffer(f"{buffer} frames", len(rows)))
        planes = frames.view(self._depth, len(positions), -1)
        pixels = interleave(planes, out=self._buffer(f"{buffer} pixels", len(rows)))
        return pixels.view(len(positions), *self.frame_shape, self._depth).movedim(-1, 1)

    def _rows(self, positions: Positions) -> Positions:
        """Return the rows of the frames that make up the observations at `positions`, shape (depth, N), newest last."""
        if self._depth == 1:
            return (positions % self.capacity)[None]
        back = np.arange(self._depth - 1, -1, -1)[:, None]
        missing = back > self._age[positions % self.capacity]
        return np.where(missing, self._black, (positions - back) % self.capacity)

    def _buffer(self, name: str, rows: int) -> Tensor:
        """Reuse memory between batches: fresh pages for each would cost as much as the copy into them."""
        if (name, rows) not in self._buffers:
            self._buffers[name, rows] = self._frames.new_empty(rows, self._frames.shape[1])
        return self._buffers[name, rows]

    def _tensor(self, array: Array) -> Tensor:
        return to_device(array, self._frames.device)

    def records(self, positions: Positions) -> Records:
        """Return what is known of the transitions at `positions`."""
        rows = positions % self.capacity
        columns = (self._reward, self._terminated, self._truncated, self._episode, self._agent_step)
        return Records(self._as_taken(self._action[rows]), *(column[rows] for column in columns))

    @staticmethod
    def _as_taken(actions: Array) -> Array:
        return actions.astype(np.int64) if actions.dtype == np.int16 else actions


def _empty_frames(rows: int, size: int, dtype: np.dtype[Any], device: str | torch.device) -> Tensor:
    need = rows * size * dtype.itemsize
    refused = f"a replay of {rows - 1} observations needs {need / 1e9:.1f} GB on {device}: lower --capacity"
    if torch.device(device).type == "cpu" and need > _physical_memory():
        raise UsageError(refused)  # pages are taken as they are written: the system would not refuse, but kill later
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    try:
        return torch.empty((rows, size), dtype=kind, device=device)
    except RuntimeError as error:
        raise UsageError(refused) from error


def _physical_memory() -> float:
    """Return the bytes of memory this machine has, infinity where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
