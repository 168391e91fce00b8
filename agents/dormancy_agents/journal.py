"""When and what a run logs and keeps; the loop tells what happened, this decides what is written."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from dormancy.io import Checkpoint, ReplaySample
from dormancy.recycle import RecycleReport
from dormancy.result import DormancyScan
from dormancy_agents.envs import Step
from dormancy_agents.errors import TrainingDiverged
from dormancy_agents.measure import build_twin, dormancy_row, draw_sample, optimizer_state, scan_parameters
from dormancy_agents.progress import ProgressBar
from dormancy_agents.runlog import RunFolder

if TYPE_CHECKING:
    from dormancy_agents.dqn import DQN

__all__ = ["Journal"]

RETURNS_SHOWN = 20
"""The progress bar shows the mean return of this many episodes."""


@final
class Journal:
    """Writes a run's rows, samples and checkpoints; it reads the agent and never changes what it will do."""

    def __init__(self, agent: DQN, run: RunFolder, bar: ProgressBar) -> None:
        self._agent, self._run, self._bar = agent, run, bar
        self._twin = build_twin(agent.network_spec, agent.config.device)
        self._returns: deque[float] = deque(maxlen=RETURNS_SHOWN)
        self._return, self._length = 0.0, 0
        self._loss_sum = torch.zeros((), device=agent.config.device)
        self._window_start = (time.perf_counter(), 0, 0)
        self._losses = 0
        self._scanned_at = 0
        self._saved_at = 0

    def stepped(self, step: Step) -> None:
        """Note an agent step; write a row when it ended an episode."""
        self._return += step.reward
        self._length += 1
        if step.terminated or step.truncated:
            self._row("episode", episode=self._agent.replay.episodes, **self._episode())
            self._bar.episode(sum(self._returns) / len(self._returns))
            self._return, self._length = 0.0, 0

    def _episode(self) -> dict[str, float]:
        self._returns.append(self._return)
        return {"return": self._return, "length_agent_steps": self._length}

    def learned(self, loss: Tensor) -> None:
        """Note a gradient step. The loss is summed where it is, so that a GPU need not be waited for."""
        self._loss_sum += loss
        self._losses += 1

    def recycled(self, report: RecycleReport) -> None:
        """Write how many neurons of each layer were recycled."""
        neurons = {layer.name: int(layer.neurons.size) for layer in report.plan if layer.refused is None}
        self._row("recycling", tau=report.tau, recycled=neurons)

    def write_due(self) -> None:
        """Write what is due after this agent step: a learning row, a dormancy row, a checkpoint."""
        agent, config = self._agent, self._agent.config
        self._bar.at(agent.agent_step)
        if agent.agent_step % config.metrics_period_agent_steps == 0:
            self._learning_row()
        if agent.agent_step == config.warmup_agent_steps or self._checkpoint_due():
            self.checkpoint()
        elif agent.gradient_step >= self._scanned_at + config.dormancy_period_gradient_steps:
            self._dormancy_row(self._look()[1], None)

    def _checkpoint_due(self) -> bool:
        step, config = self._agent.agent_step, self._agent.config
        return step > config.warmup_agent_steps and step % config.checkpoint_period_agent_steps == 0

    def checkpoint(self) -> None:
        """Keep the network with a fresh sample, and log a scan of just these two; nothing twice at the same step."""
        agent = self._agent
        if agent.agent_step == self._saved_at:
            return
        sample, result = self._look()
        self._saved_at = agent.agent_step
        name = self._run.save(self._as_file(), sample)
        self._dormancy_row(result, name)

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
            optimizer=optimizer_state(agent.online, agent.optimizer) if agent.config.save_optimizer else {},
            agent_step=agent.agent_step,
            gradient_step=agent.gradient_step,
            env_id=agent.config.env_id,
            metadata={"algorithm": "dqn", "seed": agent.config.seed, "replay_ratio": agent.config.replay_ratio},
        )

    def _dormancy_row(self, result: DormancyScan, name: str | None) -> None:
        # The next row is due a period after this one, wherever checkpoints fall in between.
        period = self._agent.config.dormancy_period_gradient_steps
        self._scanned_at = self._agent.gradient_step // period * period
        self._bar.dormancy(result.fraction(max(result.taus)))
        self._row("dormancy", checkpoint=name, **dormancy_row(result))

    def _learning_row(self) -> None:
        agent = self._agent
        self._require_finite()
        mean = float(self._loss_sum) / self._losses if self._losses else None
        self._row(
            "learning", loss=mean, epsilon=agent.epsilon(), replay_transitions=agent.replay.transitions, **self._rates()
        )
        self._loss_sum.zero_()
        self._losses = 0

    def _rates(self) -> dict[str, float]:
        now = (time.perf_counter(), self._agent.agent_step, self._agent.gradient_step)
        seconds, agent_steps, gradient_steps = (b - a for a, b in zip(self._window_start, now, strict=True))
        self._window_start = now
        rates = {"agent_steps_per_second": agent_steps / seconds, "gradient_steps_per_second": gradient_steps / seconds}
        return {name: round(rate, 2) for name, rate in rates.items()}

    def _require_finite(self) -> None:
        """Look at loss and weights: the last step of a diverging run leaves a finite loss and infinite weights."""
        agent = self._agent
        if not math.isfinite(total := float(self._loss_sum)):
            what = f"the loss became {total} in the {self._losses} gradient steps before"
        elif not all(bool(value.isfinite().all()) for value in agent.online.parameters()):
            what = "the weights became infinite or undefined at"
        else:
            return
        raise TrainingDiverged(
            f"{what} gradient step {agent.gradient_step} (agent step {agent.agent_step}); {self._run.path} keeps "
            "what was good before: try a lower --learning-rate"
        )

    def _row(self, kind: str, **values: object) -> None:
        self._run.row(kind, self._agent.agent_step, self._agent.gradient_step, **values)
