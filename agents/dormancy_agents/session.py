"""What surrounds a training loop: its run folder, journal, progress bar, and the signals that stop it."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from numpy.typing import NDArray

from dormancy_agents.agent import Agent
from dormancy_agents.journal import Journal
from dormancy_agents.progress import ProgressBar
from dormancy_agents.runlog import RunFolder
from dormancy_agents.setup import describe
from dormancy_agents.signals import StopRequest

__all__ = ["Outcome", "Session"]


@final
@dataclass(frozen=True)
class Outcome:
    """How far a run came, and the signal that stopped it, if one did."""

    agent_steps: int
    gradient_steps: int
    signal: int | None


@final
class Session:
    """Used in a `with` statement around the loop::

        with Session(agent, out, progress=True) as session:
            observation = session.begin()
            while session.goes_on():
                ...                              # act, store, learn
                session.journal.write_due()
        return session.outcome

    When the loop ends, a last checkpoint is written. Raises `OutputError` when `out` exists or cannot be written.
    """

    journal: Journal

    def __init__(self, agent: Agent, out: Path, *, progress: bool = True) -> None:
        self._agent = agent
        about = describe(agent.config, agent.env, agent.network_spec)
        self._run = RunFolder(out, about, tensorboard=agent.config.tensorboard)
        self._stop = StopRequest()
        self._bar = ProgressBar(agent.config.agent_steps, shown=progress)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Make the run folder and begin to listen to signals."""
        with ExitStack() as stack:
            stack.enter_context(closing(self._agent.env))
            for part in (self._run, self._stop, self._bar):
                stack.enter_context(part)
            self.journal = Journal(self._agent, self._run, self._bar)
            self._stack = stack.pop_all()
        return self

    def begin(self) -> NDArray[Any]:
        """Return the observation to act on first, the beginning of an episode."""
        observation = self._agent.env.reset()
        self._agent.replay.begin(observation)
        return observation

    def goes_on(self) -> bool:
        """Whether there are agent steps left and nobody asked to stop."""
        return self._agent.agent_step < self._agent.config.agent_steps and not self._stop.requested

    @property
    def outcome(self) -> Outcome:
        """How far the run came."""
        return Outcome(self._agent.agent_step, self._agent.gradient_step, self._stop.signal)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write a last checkpoint, unless an error ended the loop, and leave the folder in order."""
        with self._stack:
            if error is not None:
                raise error
            self.journal.checkpoint()
            if self._stop.signal is not None:
                self._run.status = f"stopped by signal {self._stop.signal}"
