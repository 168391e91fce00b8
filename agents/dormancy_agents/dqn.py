"""DQN (Mnih et al. 2015) as the paper trains it: read `train` from top to bottom, then the parts of `DQN` it names."""

from __future__ import annotations

import copy
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from numpy.typing import NDArray
from torch import Tensor

from dormancy.networks import build_network
from dormancy.recycle import RecycleReport, ReDo
from dormancy_agents.config import DQNConfig
from dormancy_agents.envs import Environment, make_environment
from dormancy_agents.journal import Journal
from dormancy_agents.layout import channels_last
from dormancy_agents.progress import ProgressBar
from dormancy_agents.replay import Replay
from dormancy_agents.runlog import RunFolder
from dormancy_agents.schedules import epsilon_at, gradient_steps_due
from dormancy_agents.setup import describe, network_spec, prepare_device
from dormancy_agents.signals import StopRequest
from dormancy_agents.streams import Streams
from dormancy_agents.targets import max_target, td_loss

__all__ = ["DQN", "Outcome", "train"]


@final
@dataclass(frozen=True)
class Outcome:
    """How far a run came, and the signal that stopped it, if one did."""

    agent_steps: int
    gradient_steps: int
    signal: int | None


def train(config: DQNConfig, out: Path, *, progress: bool = True) -> Outcome:
    """Train a DQN and leave a run folder at `out`.

    Raises `UsageError` for what cannot be run here, `OutputError` when `out` exists or cannot be written, and
    `TrainingDiverged` when the loss is no longer finite.
    """
    agent = DQN(config)
    env, replay = agent.env, agent.replay
    with (
        closing(env),
        RunFolder(out, describe(config, env, agent.network_spec)) as run,
        StopRequest() as stop,
        ProgressBar(config.agent_steps, shown=progress) as bar,
    ):
        journal = Journal(agent, run, bar)
        observation = env.reset()
        replay.begin(observation)

        while agent.agent_step < config.agent_steps and not stop.requested:
            # Act: at random with probability epsilon, else greedily.
            action = agent.act(observation)
            step = env.step(action)
            agent.agent_step += 1

            # Store: one new frame; an episode that ended makes room for the next.
            replay.add(action, agent.learned_reward(step.reward), step.terminated, step.truncated, step.observation)
            journal.stepped(step)
            observation = step.observation
            if step.terminated or step.truncated:
                observation = env.reset()
                replay.begin(observation)

            # Learn: as many gradient steps as the replay ratio owes; recycle dormant neurons when it is their time.
            while agent.gradient_step < agent.gradient_steps_due():
                journal.learned(agent.learn())
                if (report := agent.recycle()) is not None:
                    journal.recycled(report)

            # Let the target follow.
            if agent.agent_step % config.target_period_agent_steps == 0:
                agent.update_target()

            # Log: rates and losses, dormancy, checkpoints with their samples.
            journal.write_due()

        journal.checkpoint()
        if stop.signal is not None:
            run.status = f"stopped by signal {stop.signal}"
    return Outcome(agent.agent_step, agent.gradient_step, stop.signal)


@final
class DQN:
    """All that changes while a DQN trains: networks, optimizer, replay, environment, random streams, counters."""

    def __init__(self, config: DQNConfig) -> None:
        self.config = config
        prepare_device(config)
        self.streams = Streams(config.seed)
        self.env: Environment = make_environment(config, self.streams.integer("environment"))
        self.network_spec = network_spec(config, self.env)
        torch.manual_seed(self.streams.integer("network"))
        self.online = channels_last(build_network(self.network_spec).to(config.device))
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.online.parameters(), lr=config.learning_rate, eps=config.adam_epsilon, fused=True
        )
        self.replay = self._empty_replay()
        self.redo = self._redo() if config.redo else None
        self.agent_step = self.gradient_step = 0

    def _empty_replay(self) -> Replay:
        # A run of T agent steps sees at most 2 T observations (episodes of one step): a short one needs no large ring.
        rows = min(self.config.replay_capacity, 2 * self.config.agent_steps + self.config.n_step + 1)
        env = self.env
        return Replay(rows, env.frame_shape, env.dtype, env.frame_stack, self.config.device)

    def _redo(self) -> ReDo:
        config = self.config
        return ReDo(
            self.online,
            self.optimizer,
            tau=config.redo_tau,
            period=config.redo_period_gradient_steps,
            seed=self.streams.integer("recycling"),
        )

    def act(self, observation: NDArray[Any]) -> int:
        """Choose an action, epsilon-greedily."""
        explore = self.streams.exploration
        if explore.random() < self.epsilon():
            return int(explore.integers(self.env.actions))
        with torch.inference_mode():
            values = self.online(torch.from_numpy(observation).unsqueeze(0).to(self.config.device))
            return int(values.argmax())

    def epsilon(self) -> float:
        """Return the current share of random actions."""
        config = self.config
        return epsilon_at(
            self.agent_step,
            warmup=config.warmup_agent_steps,
            decay=config.epsilon_decay_agent_steps,
            final=config.epsilon_final,
        )

    def learned_reward(self, reward: float) -> float:
        """Return the reward to learn from: clipped to [-1, 1] where the configuration says so."""
        return max(-1.0, min(1.0, reward)) if self.config.clip_rewards else reward

    def gradient_steps_due(self) -> int:
        """Return how many gradient steps the agent steps so far call for."""
        warmup, ratio = self.config.warmup_agent_steps, self.config.replay_ratio
        return gradient_steps_due(self.agent_step, warmup=warmup, replay_ratio=ratio)

    def learn(self) -> Tensor:
        """Take one gradient step on a batch of the replay and return its loss."""
        config = self.config
        batch = self.replay.batch(self.streams.replay, config.batch_size, config.n_step, config.gamma)
        with torch.no_grad():
            targets = max_target(batch.returns, batch.discounts, self.target(batch.next_observations))
        loss = td_loss(self.online(batch.observations), batch.actions, targets, config.huber_delta)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.gradient_step += 1
        return loss.detach()

    def recycle(self) -> RecycleReport | None:
        """Let ReDo count this gradient step; when it is its turn, it judges by a fresh sample of the replay."""
        return None if self.redo is None else self.redo.step(self._statistics_batch)

    def _statistics_batch(self) -> Tensor:
        rng = self.streams.at("recycling", self.gradient_step)
        return self.replay.observations(self.replay.draw(rng, self.config.redo_sample_size))

    def update_target(self) -> None:
        """Copy the online network into the target network."""
        self.target.load_state_dict(self.online.state_dict())
