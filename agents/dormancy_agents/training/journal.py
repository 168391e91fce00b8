"""When and what a run logs and keeps; the loop tells what happened, this decides what is written."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from torch import Tensor, nn

from dormancy.errors import OutputError
from dormancy.io import Checkpoint, ReplaySample, printable
from dormancy.scanning.result import DormancyScan
from dormancy_agents.config import CommonConfig
from dormancy_agents.envs import Step
from dormancy_agents.envs.make import make_environment
from dormancy_agents.errors import TrainingDiverged
from dormancy_agents.run_folder.folder import RunFolder
from dormancy_agents.training.agent import Agent
from dormancy_agents.training.evaluation import Episode, play
from dormancy_agents.training.interventions import Row
from dormancy_agents.training.measurements import (
    build_twin,
    dormancy_row,
    draw_sample,
    optimizer_state,
    scan_parameters,
)
from dormancy_agents.training.progress import ProgressBar
from dormancy_agents.training.random_state import random_state
from dormancy_agents.training.running_means import WindowMeans
from dormancy_agents.training.signals import StopRequest

__all__ = ["Journal"]

RETURNS_SHOWN = 20
"""The progress bar shows the mean return of this many episodes."""
_REMEMBERED = ("_return", "_length", "_scanned_at", "_saved_at", "_owed", "_evaluation_owed")


@final
class Journal:
    """Writes a run's rows, samples and checkpoints; it reads the agent and never changes what it will do."""

    def __init__(self, agent: Agent, run: RunFolder, bar: ProgressBar, stop: StopRequest) -> None:
        self._agent, self._run, self._bar, self._stop = agent, run, bar, stop
        self._config: CommonConfig = agent.config
        self._twin = build_twin(agent.network_spec, agent.config.device)
        self._returns: deque[float] = deque(maxlen=RETURNS_SHOWN)
        self._return, self._length = 0.0, 0
        self._losses = WindowMeans(agent.config.device)
        self._window_start = (time.perf_counter(), 0, 0)
        self._scanned_at = 0
        self._saved_at = 0
        self._owed = self._resume_owed = self._evaluation_owed = False
        self._told = False

    def stepped(self, step: Step) -> None:
        """Note an agent step; write a row when it ended an episode: a whole game, where episodes are lives."""
        self._return += step.reward
        self._length += 1
        if (step.terminated or step.truncated) and not step.life_lost:
            self._row("episode", episode=self._agent.replay.episodes, **self._episode())
            self._bar.episode(sum(self._returns) / len(self._returns))
            self._return, self._length = 0.0, 0

    def _episode(self) -> dict[str, float]:
        self._returns.append(self._return)
        return {"return": self._return, "length_agent_steps": self._length}

    def learned(self, losses: Mapping[str, Tensor]) -> None:
        """Note a gradient step and its losses by name."""
        self._losses.add(losses)

    def look(self) -> None:
        """Keep the checkpoint or log the scan that is due at this gradient step."""
        agent, config = self._agent, self._config
        last = agent.gradient_step >= agent.gradient_steps_due()  # of this agent step
        if last and (self._checkpoint_due() or agent.agent_step == config.agent_steps):
            self._unless_disk_is_full(self.checkpoint)
        elif self._scan_due():
            self._dormancy_row(self._look()[1], None)

    def intervened(self, row: Row) -> None:
        """Write what was recycled, reset or pruned; say once which layers never are."""
        if (refused := row.get("refused")) and not self._told:
            self._told = True
            names = printable(", ".join(refused), 200)
            self._run.warn(
                f"layers that are not recycled, for that would not be exact: {names}; "
                "`dormancy recycle CHECKPOINT --dry-run` says why"
            )
        self._row(**row)

    def write_due(self) -> None:
        """Write what is due after this agent step: rows, a checkpoint, what is needed to resume; evaluate."""
        agent, config = self._agent, self._config
        self._bar.at(agent.agent_step)
        logs = agent.agent_step % config.metrics_period_agent_steps == 0
        if logs:
            self._learning_row()
        self._evaluation_owed = self._evaluation_due()
        if (logs and self._owed) or (self._checkpoint_due() and not self._owed):
            self._unless_disk_is_full(self.checkpoint)
        if self._resume_due() or (logs and self._resume_owed):
            self._resume_owed = True
            self._resume_owed = not self._unless_disk_is_full(self.save_resume)
        if self._evaluation_owed:
            self._evaluate_safely()

    def _scan_due(self) -> bool:
        return self._agent.gradient_step >= self._scanned_at + self._config.dormancy_period_gradient_steps

    def _checkpoint_due(self) -> bool:
        step, config = self._agent.agent_step, self._config
        after = step > config.warmup_agent_steps and step % config.checkpoint_period_agent_steps == 0
        return after or step == config.warmup_agent_steps

    def _evaluation_due(self) -> bool:
        config, step = self._config, self._agent.agent_step
        if config.evaluation_at_end and step == config.agent_steps:
            return True
        period = config.evaluation_period_agent_steps
        return period > 0 and step % period == 0 and step >= config.warmup_agent_steps

    def _evaluate_safely(self) -> None:
        """Evaluate; after the last step only when the run is safe, for many games may take longer than it did."""
        if self._agent.agent_step == self._config.agent_steps:
            self._unless_disk_is_full(self.checkpoint)
            self._unless_disk_is_full(self.save_resume)
        self._evaluate()

    def catch_up(self) -> None:
        """Play the evaluation in which a resumed run was stopped."""
        if self._evaluation_owed:
            self._evaluate()

    def _evaluate(self) -> None:
        """Play episodes and write their row; where a signal comes in between, the evaluation is owed."""
        agent, episodes, started = self._agent, self._config.evaluation_episodes, time.perf_counter()
        seed = agent.streams.integer("evaluation", agent.agent_step)
        env = make_environment(self._config.for_evaluation(), seed)
        played: list[Episode] = []
        for episode in play(env, agent.evaluation_action, episodes, seed, lambda: not self._stop.requested):
            played.append(episode)
            self._bar.evaluating(len(played), episodes)
        since, agent_step, gradient_step = self._window_start
        self._window_start = since + time.perf_counter() - started, agent_step, gradient_step  # rates leave these out
        if len(played) == episodes:
            self._evaluation_owed = False
            self._row("evaluation", **_summary(played))

    def _resume_due(self) -> bool:
        period = self._config.resume_period_agent_steps
        return period > 0 and self._agent.agent_step % period == 0

    def _unless_disk_is_full(self, write: Callable[[], None]) -> bool:
        """Write, or say why not and go on: what is not written now is tried again with the next learning row."""
        try:
            write()
        except OutputError as error:
            self._run.warn(f"{error}; training goes on and tries again")
            return False
        return True

    def checkpoint(self) -> None:
        """Keep the network with a fresh sample, and log a scan of just these two; nothing twice at the same step.

        Raises `OutputError` when the disk is full; it is owed then.
        """
        agent = self._agent
        if agent.agent_step == self._saved_at:
            return
        sample, result = self._look()
        self._owed = True
        name = self._run.save(self._as_file(), sample)
        self._saved_at, self._owed = agent.agent_step, False
        self._dormancy_row(result, name)

    def save_resume(self) -> None:
        """Keep all that is needed to go on bit for bit, unless a period of 0 says that nothing is to be kept.

        Raises `OutputError` when the disk is full.
        """
        agent = self._agent
        if not self._config.resume_period_agent_steps or self._run.is_saved(agent.agent_step):
            return
        self._require_finite()
        state = {
            "agent": agent.state(),
            "journal": self.state(),
            "environment": agent.env.state(),
            "replay": agent.replay.state(),
            "random": random_state(),
        }
        self._run.save_resume(agent.agent_step, state, agent.replay)

    def state(self) -> dict[str, Any]:
        """Return what rows to come depend on: the episode so far, sums since the last row, what was written when."""
        return {"losses": self._losses.state(), "returns": list(self._returns)} | {
            name: getattr(self, name) for name in _REMEMBERED
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        self._losses.load_state(state["losses"])
        self._returns.extend(state["returns"])
        for name in _REMEMBERED:
            setattr(self, name, state[name])
        self._window_start = (time.perf_counter(), self._agent.agent_step, self._agent.gradient_step)

    def _look(self) -> tuple[ReplaySample, DormancyScan]:
        agent = self._agent
        self._require_finite()
        sample = draw_sample(agent.replay, agent.streams.at("statistics", agent.agent_step), agent.config)
        return sample, scan_parameters(self._twin, agent.online.state_dict(), sample, agent.config.taus)

    def _as_file(self) -> Checkpoint:
        agent = self._agent
        return Checkpoint(
            network=agent.network_spec,
            parameters=agent.online.state_dict(),
            optimizer=optimizer_state(agent.online, agent.optimizers.values()) if agent.config.save_optimizer else {},
            agent_step=agent.agent_step,
            gradient_step=agent.gradient_step,
            env_id=agent.config.env_id,
            metadata=self._metadata(),
        )

    def _metadata(self) -> dict[str, object]:
        config = self._agent.config
        about = {"algorithm": config.algorithm, "seed": config.seed, "replay_ratio": config.replay_ratio}
        return {**about, **self._agent.interventions.metadata()}

    def _dormancy_row(self, result: DormancyScan, name: str | None) -> None:
        # The next row is due a period after this one, wherever checkpoints fall in between.
        period = self._agent.config.dormancy_period_gradient_steps
        self._scanned_at = self._agent.gradient_step // period * period
        self._bar.dormancy(result.fraction(max(result.taus)))
        self._row("dormancy", checkpoint=name, **dormancy_row(result))
        self._run.scanned(result, self._agent.agent_step)

    def _learning_row(self) -> None:
        agent = self._agent
        self._require_finite()
        means = self._losses.take()
        transitions = agent.replay.transitions
        self._row("learning", **means, **agent.logged(), replay_transitions=transitions, **self._rates())

    def _rates(self) -> dict[str, float]:
        now = (time.perf_counter(), self._agent.agent_step, self._agent.gradient_step)
        seconds, agent_steps, gradient_steps = (b - a for a, b in zip(self._window_start, now, strict=True))
        self._window_start = now
        rates = {"agent_steps_per_second": agent_steps / seconds, "gradient_steps_per_second": gradient_steps / seconds}
        return {name: round(rate, 2) for name, rate in rates.items()}

    def _require_finite(self) -> None:
        """Look at loss and weights: the last step of a diverging run leaves a finite loss and infinite weights."""
        agent = self._agent
        broken, weights = self._losses.nonfinite(), _nonfinite_weights(agent.modules)
        if broken is not None:
            name, total, steps = broken
            what = f"the {name} became {total} in the {steps} gradient steps before"
        elif weights is not None:
            what = "the weights became infinite or undefined at"
        else:
            return
        first = f", the first weights that are not finite: {weights}" if weights else ""
        raise TrainingDiverged(
            f"{what} gradient step {agent.gradient_step} (agent step {agent.agent_step}){first}; {self._run.path} "
            "keeps what was good before: try a lower --learning-rate"
        )

    def _row(self, kind: str, **values: object) -> None:
        self._run.row(kind, self._agent.agent_step, self._agent.gradient_step, **values)


def _summary(played: Sequence[Episode]) -> dict[str, Any]:
    returns, lengths = [each.value for each in played], [each.agent_steps for each in played]
    count = len(played)
    return {
        "episodes": count,
        "mean_return": sum(returns) / count,
        "returns": returns,
        "mean_length": sum(lengths) / count,
    }


def _nonfinite_weights(modules: Mapping[str, nn.Module]) -> str | None:
    for name, module in modules.items():
        for parameter, value in module.named_parameters():
            if not bool(value.isfinite().all()):
                return f"{parameter} of {name}"
    return None
