"""Acting and learning side by side, with the results of taking turns.

Between two gradient steps an agent takes several steps in its environment, on one core: the network sees one
observation at a time. What the target network thinks of the next batch depends on none of that, and keeps a second core
busy. The batch is drawn as it will be drawn when it is due, from a copy of the random stream; should an episode end in
the meantime, or a transition be wanted that is still to come, the work is thrown away and done again at its time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar, final

import numpy as np
import torch

from dormancy_agents.replay import Positions, Replay

__all__ = ["Ahead"]

T = TypeVar("T")
FEWEST_AGENT_STEPS = 3
"""With fewer agent steps to a gradient step, one core alone would be waited for."""


class _Pending(NamedTuple, Generic[T]):
    newest: int  # the position at which the replay must have arrived
    rng: np.random.Generator  # where its stream is after the draw
    work: Future[T]


@final
@final
class Ahead(Generic[T]):
    """Does `work` with the positions of the next batch on a thread of its own, one step of PyTorch at a time.

    `rng` is the stream from which batches are drawn; `size` and `steps` are those of `Replay.draw`. The replay may be
    written to while the work is done: it reads rows that are there and stay.
    """

    def __init__(
        self, replay: Replay, rng: np.random.Generator, size: int, steps: int, work: Callable[[Positions], T]
    ) -> None:
        self._replay, self._rng, self._size, self._steps, self._work = replay, rng, size, steps, work
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: _Pending[T] | None = None

    def begin(self, agent_steps: int) -> None:
        """Start on the batch that is due after so many further agent steps, unless that was done or does not pay."""
        if self._pending is not None or agent_steps < FEWEST_AGENT_STEPS:
            return
        newest = self._replay.newest + agent_steps
        rng = np.random.default_rng()
        rng.bit_generator.state = self._rng.bit_generator.state
        positions = self._replay.draw_ahead(rng, self._size, self._steps, newest)
        if positions is not None:
            self._pending = _Pending(newest, rng, self._thread.submit(self._on_one_core, positions))

    def _on_one_core(self, positions: Positions) -> T:
        torch.set_num_threads(1)
        return self._work(positions)

    def take(self) -> T | None:
        """Return the work on the batch that is due now, and move the stream on; None where it has to be done anew."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        found = pending.work.result()
        if self._replay.newest != pending.newest:
            return None
        self._rng.bit_generator.state = pending.rng.bit_generator.state
        return found

    def cancel(self) -> None:
        """Throw away what was begun: for when the target network or the replay is about to change under it."""
        if self._pending is not None:
            self._pending.work.result()
            self._pending = None
