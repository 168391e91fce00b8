"""Learning from a recording, without acting (Fig. 4): a sample of consecutive steps, or the replay of another run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, final

import numpy as np
from torch import Tensor

from dormancy.errors import SampleError, UsageError
from dormancy.io import ReplaySample, open_sample, printable
from dormancy.io.env_names import game_name
from dormancy_agents.config import DiscreteConfig
from dormancy_agents.envs import Environment
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.run_folder.folder import recorded_run
from dormancy_agents.run_folder.resume import ResumeStore
from dormancy_agents.training.agent import Agent
from dormancy_agents.training.interventions import Row
from dormancy_agents.training.session import Outcome, Session

__all__ = ["Learner", "Recording", "learn_offline", "recorded_replay"]

BLOCK = 1_024
"""Observations that are read at a time."""


def recorded_replay(config: DiscreteConfig, env: Environment) -> Replay:
    """Return a replay that holds what `config.offline` recorded, and takes one more observation at least.

    That is a sample whose rows are consecutive steps, as ``dormancy sample --env`` makes one (its rewards are clipped
    where the configuration says so), or a run folder, whose replay is taken as it was when that run was last saved.
    Raises `SampleError` for what is of another environment and for steps that are not consecutive, `UsageError` for a
    folder without a replay, and what reading them raises.
    """
    if Path(config.offline).is_dir():
        return _replay_of_run(Path(config.offline), config, env)
    with open_sample(config.offline) as sample:
        _require_same_game(printable(config.offline), sample.provenance.get("env_id"), config.env_id)
        recording = Recording(sample, printable(config.offline))
        recording.require(env)
        replay = Replay(2 * len(sample) + 2, env.frame_shape, env.dtype, env.frame_stack, config.device)
        recording.fill(replay, clip=config.clip_rewards)
    return replay


def _require_same_game(name: str, theirs: Any, ours: str) -> None:
    """Raise `SampleError` when what is called `name` says that it was recorded in another game."""
    if isinstance(theirs, str) and theirs and game_name(theirs) != game_name(ours):
        raise SampleError(f"{name} was recorded in {printable(theirs, 60)}, not in {ours}: name one of this game")


def _replay_of_run(folder: Path, config: DiscreteConfig, env: Environment) -> Replay:
    store = ResumeStore(folder / "resume")
    if not store.find():
        raise UsageError(f"{printable(folder)} keeps no replay: name a run folder with resume/, or a sample file")
    if (about := folder / "run.json").exists():
        _require_same_game(printable(folder), recorded_run(about)["config"].get("env_id"), config.env_id)
    counters = store.load()["replay"]
    rows = int(counters["_newest"]) + 1 - int(counters["lost"])
    replay = Replay(rows + 2, env.frame_shape, env.dtype, env.frame_stack, config.device)
    store.load_replay(replay, counters)
    replay.give_up()
    return replay


def learn_offline(agent: Learner, out: Path, *, progress: bool = True, resume: bool = False) -> Outcome:
    """Train an agent on its replay as it is, and leave a run folder at `out`, or go on with the one that is there.

    Raises what its `train` raises.

    The agent steps of an offline run are those that acting would have taken: replay ratio, target period and
    checkpoints count by them as ever, and nothing acts.
    """
    config: DiscreteConfig = agent.config
    with Session(agent, out, progress=progress, resume=resume) as session:
        session.begin()  # one observation that no action follows: it is never drawn
        while session.goes_on():
            agent.agent_step += 1
            while agent.gradient_step < agent.gradient_steps_due():
                session.journal.learned(agent.learn())
                for row in agent.intervene(session.journal.look):
                    session.journal.intervened(row)
            if agent.agent_step % config.target_period_agent_steps == 0:
                agent.update_target()
            session.journal.write_due()
    return session.outcome


class Learner(Agent, Protocol):
    """An agent that learns from its replay step by step."""

    def gradient_steps_due(self) -> int:
        """Return how many gradient steps the agent steps so far call for."""

    def learn(self) -> Mapping[str, Tensor]:
        """Take one gradient step; return what is logged of it."""

    def intervene(self, look: Callable[[], None]) -> Iterable[Row]:
        """Let pruning and recycling count this gradient step; give what they did. `look` is called in between."""

    def update_target(self) -> None:
        """Copy the online network into the target network."""


class _Stretch(NamedTuple):
    """Rows `first`..`stop`-1 of a sample that follow one another within an episode."""

    first: int
    stop: int


@final
class Recording:
    """A sample, read as stretches of consecutive steps.

    A row leads to the next one where that is one agent step later in the same episode. The last row of a stretch leads
    to its next observation, where the sample has those, or to nothing, where the episode terminated there; otherwise
    what its action led to is not known, and that action is left out. A stretch that begins within an episode begins on
    black frames, for the frames before it are not part of its rows.
    """

    def __init__(self, sample: ReplaySample, name: str) -> None:
        self._sample, self._name = sample, name
        given = {"actions": sample.actions, "rewards": sample.rewards, "terminations": sample.terminations}
        missing = [field for field, array in (*given.items(), ("steps", sample.steps)) if array is None]
        if missing:
            raise SampleError(f"{name} has no {', '.join(missing)}: learning offline needs them; collect it anew")
        if hasattr(sample.observations, "keys"):
            raise SampleError(f"{name} has several inputs: DQN learns from one; give a sample with one array")
        rows = len(sample)
        self._actions, self._rewards = np.asarray(sample.actions), np.asarray(sample.rewards, np.float32)
        self._terminated = np.asarray(sample.terminations, bool)
        self._truncated = np.zeros(rows, bool) if sample.truncations is None else np.asarray(sample.truncations, bool)
        self._following = self._leads_on()

    def _leads_on(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Say of each row whether the next one is what its action led to."""
        steps, episodes = np.asarray(self._sample.steps), self._sample.episode_ids
        next_step = np.append(np.diff(steps) == 1, False)
        if episodes is not None:
            next_step &= np.append(np.diff(np.asarray(episodes)) == 0, False)
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = next_step & ~self._terminated & ~self._truncated
        return found

    def require(self, env: Environment) -> None:
        """Raise `SampleError` when this was not recorded in such an environment, or most of its steps stand alone.

        Where fewer than half of the rows that end no episode are followed by the next step, this is a draw from a
        replay: what is left of it are few transitions, and among them far too many ends of episodes.
        """
        observations = self._sample.observations
        shape = (*(() if env.frame_stack is None else (env.frame_stack,)), *env.frame_shape)
        if observations.shape[1:] != shape or observations.dtype != env.dtype:  # type: ignore[union-attr]
            shown = f"{observations.dtype} {observations.shape[1:]}"  # type: ignore[union-attr]
            raise SampleError(f"{self._name} holds {shown}, {env.env_id} shows {env.dtype} {shape}: name the right one")
        if self._actions.ndim != 1 or self._actions.min() < 0 or self._actions.max() >= env.actions:
            raise SampleError(
                f"{self._name}: its actions are not the {env.actions} of {env.env_id}; name the right one"
            )
        goes_on = int(np.sum(~self._terminated & ~self._truncated))
        known = int(self._following.sum())
        if self._sample.next_observations is None and 2 * known < goes_on:
            raise SampleError(
                f"{self._name}: the next step follows on {known} of {goes_on} rows within episodes (a uniform draw "
                "from a replay?); collect one with `dormancy sample --env`, or give a run folder"
            )

    def _stretches(self) -> Iterator[_Stretch]:
        first = 0
        for last in np.flatnonzero(~self._following):
            yield _Stretch(first, int(last) + 1)
            first = int(last) + 1

    def fill(self, replay: Replay, *, clip: bool) -> None:
        """Write all transitions into a replay, in order."""
        rewards = np.clip(self._rewards, -1, 1) if clip else self._rewards
        now, then = _Rows(self._sample.observations), self._sample.next_observations
        after = None if then is None else _Rows(then)
        for first, stop in self._stretches():
            known = after is not None or bool(self._terminated[stop - 1])
            last = stop - 1 if known else stop - 2
            if last < first:
                continue
            replay.begin(now[first])
            for row in range(first, last + 1):
                reached = now[row + 1] if row + 1 < stop else now[row] if after is None else after[row]
                ends = row == last
                over = bool(self._terminated[row])
                replay.add(int(self._actions[row]), float(rewards[row]), over, ends and not over, reached)


@final
class _Rows:
    """Single rows of an array that is read in blocks."""

    def __init__(self, array: object) -> None:
        self._array: object = array
        self._first, self._block = 0, np.empty(0)

    def __getitem__(self, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        if not self._first <= row < self._first + len(self._block):
            self._first, self._block = row, self._array[row : row + BLOCK]  # type: ignore[index]
        found: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = self._block[row - self._first]
        return found
