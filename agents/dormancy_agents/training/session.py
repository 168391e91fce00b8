"""What surrounds a training loop: its run folder, journal, progress bar, and the signals that stop it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from dormancy.errors import FormatError, InputError
from dormancy.text.escape import one_line, printable
from dormancy_agents.run_folder.folder import RunFolder
from dormancy_agents.training.agent import Agent
from dormancy_agents.training.journal import Journal
from dormancy_agents.training.progress import ProgressBar
from dormancy_agents.training.random_state import restore_random_state
from dormancy_agents.training.setup import describe
from dormancy_agents.training.signals import StopRequest

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
                ...                              # act, learn, step, store
                session.journal.write_due()
        return session.outcome

    When the loop ends, a last checkpoint is written, and what is needed to resume. Raises `OutputError` when `out`
    cannot be written, or when it exists and `resume` was not asked for; what `RunFolder` raises otherwise.
    """

    journal: Journal

    def __init__(self, agent: Agent, out: Path, *, progress: bool = True, resume: bool = False) -> None:
        self._agent = agent
        self._stop = StopRequest()
        self._bar = ProgressBar(agent.config.agent_steps, shown=progress)
        about = describe(agent.config, agent.env, agent.network_spec)
        self._run = RunFolder(out, about, resume=resume, tensorboard=agent.config.tensorboard, warn=self._bar.note)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Make the run folder and begin to listen to signals."""
        with ExitStack() as stack:
            stack.enter_context(closing(self._agent.env))
            for part in (self._run, self._stop, self._bar):
                stack.enter_context(part)
            self.journal = Journal(self._agent, self._run, self._bar, self._stop)
            self._stack = stack.pop_all()
        return self

    def begin(self) -> NDArray[Any]:
        """Return the observation to act on first: the beginning of an episode, or where a resumed run stopped."""
        agent, saved = self._agent, self._run.resumed
        if saved is not None:
            observation = self._take_up(saved)
            self.journal.catch_up()
            return observation
        observation = agent.env.reset()
        agent.replay.begin(observation)
        return observation

    def _take_up(self, saved: Mapping[str, Any]) -> NDArray[Any]:
        """Put everything back where it was; random numbers last, for any of the others might draw some."""
        agent = self._agent
        try:
            agent.load_state(saved["agent"])
            self._run.store.load_replay(agent.replay, saved["replay"])
            observation = agent.env.restore(saved["environment"])
            self.journal.load_state(saved["journal"])
            restore_random_state(saved["random"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            folder = printable(self._run.store.folder)
            raise FormatError(f"{folder}: not the state of such a run ({one_line(error, 120)}); restore it") from error
        known = agent.replay.observations(np.array([agent.replay.newest])).cpu().numpy()[0]
        if not np.array_equal(known, observation):
            raise InputError(f"{agent.env.env_id} did not come back to where it was: it does not follow from its seed")
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
            self.journal.save_resume()
            if self._stop.signal is not None:
                self._run.status = f"stopped by signal {self._stop.signal}"
