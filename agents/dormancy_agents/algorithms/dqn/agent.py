"""DQN (Mnih et al. 2015) as the paper trains it: read `train` from top to bottom, then the parts of `DQN` it names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dormancy_agents.algorithms.dqn.config import DQNConfig
from dormancy_agents.algorithms.dqn.losses import double_target, max_target, td_loss
from dormancy_agents.algorithms.fixed_targets import first_network, fixed_targets
from dormancy_agents.algorithms.gradient_step import GradientStep
from dormancy_agents.config import DiscreteConfig
from dormancy_agents.config.schedules import epsilon_at, gradient_steps_due
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.envs.make import make_environment
from dormancy_agents.replay.buffer import Batch, Replay
from dormancy_agents.replay.pixel_layout import channels_last, to_device
from dormancy_agents.training.agent import learner_state, load_learner_state
from dormancy_agents.training.interventions import Interventions, Row, Statistics
from dormancy_agents.training.offline import learn_offline, recorded_replay
from dormancy_agents.training.random_streams import Streams
from dormancy_agents.training.session import Outcome, Session
from dormancy_agents.training.setup import adam, autocast, empty_replay, graph_kind, network_spec, prepare_device

__all__ = ["DQN", "train"]

EVALUATION_EPSILON = 0.001


def train(config: DQNConfig, out: Path, *, progress: bool = True, resume: bool = False) -> Outcome:
    """Train a DQN and leave a run folder at `out`, or with `resume` go on with the run that is there, bit for bit.

    Raises `UsageError` for what cannot be run here, `OutputError` when `out` exists or cannot be written, and
    `TrainingDiverged` when the loss is no longer finite.
    """
    agent = DQN(config)
    if config.offline:
        return learn_offline(agent, out, progress=progress, resume=resume)
    env, replay = agent.env, agent.replay
    with Session(agent, out, progress=progress, resume=resume) as session:
        journal, observation = session.journal, session.begin()
        while session.goes_on():
            # Act: at random with probability epsilon, else greedily.
            action = agent.act(observation)
            agent.agent_step += 1

            # Learn: as many gradient steps as the replay ratio owes; prune neurons when it is their time, look at the
            # network, then recycle.
            while agent.gradient_step < agent.gradient_steps_due():
                journal.learned(agent.learn())
                for row in agent.intervene(journal.look):
                    journal.intervened(row)

            # Let the target follow.
            if agent.agent_step % config.target_period_agent_steps == 0:
                agent.update_target()

            # Step and store, while a GPU still learns: one new frame; an episode that ended makes room for the next.
            step = env.step(action)
            replay.add(action, agent.learned_reward(step.reward), step.terminated, step.truncated, step.observation)
            journal.stepped(step)
            observation = step.observation
            if step.terminated or step.truncated:
                observation = env.reset()
                replay.begin(observation)

            # Log: rates and losses, dormancy, checkpoints with their samples.
            journal.write_due()
    return session.outcome


class DQN:
    """All that changes while a DQN trains: networks, optimizer, replay, environment, random streams, counters."""

    config: DiscreteConfig

    def __init__(self, config: DiscreteConfig) -> None:
        self.config = config
        prepare_device(config)
        self.streams = Streams(config.seed)
        seeds = self.streams.numbered("environment")
        self.env = RecordedEnvironment(make_environment(config, seeds(0)), seeds)
        self.network_spec = network_spec(config, self.env)
        torch.manual_seed(self.streams.integer("network"))
        self.online = channels_last(first_network(config, self.network_spec).to(config.device))
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self._values, self._target_values = ([*each.state_dict().values()] for each in (self.online, self.target))
        self.optimizer = adam(config, self.online.parameters())
        self.fixed = fixed_targets(config, self.network_spec, self.streams)
        teacher = {"fixed": self.fixed.network} if self.fixed is not None and self.fixed.network is not None else {}
        self.modules: Mapping[str, nn.Module] = {"online": self.online, "target": self.target, **teacher}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"adam": self.optimizer}
        self.replay: Replay = recorded_replay(config, self.env) if config.offline else empty_replay(config, self.env)
        self.interventions = Interventions(config, self.online, [self.optimizer], self.streams.integer("recycling"))
        kind = "none" if config.targets == "random-values" else graph_kind(config)  # those are drawn on the host
        self._take_gradient_step = GradientStep(self._update, [self.optimizer], kind)
        self.agent_step = self.gradient_step = 0

    def act(self, observation: NDArray[Any]) -> int:
        """Choose an action, epsilon-greedily."""
        return self._epsilon_greedy(observation, self.epsilon(), self.streams.exploration)

    def evaluation_action(self, observation: NDArray[Any], rng: np.random.Generator) -> int:
        """Choose an action as in evaluation, random with probability .001."""
        return self._epsilon_greedy(observation, EVALUATION_EPSILON, rng)

    def _epsilon_greedy(self, observation: NDArray[Any], epsilon: float, rng: np.random.Generator) -> int:
        if rng.random() < epsilon:
            return int(rng.integers(self.env.actions))
        with torch.inference_mode():
            values = self.online(to_device(observation, self.config.device).unsqueeze(0))
            return int(values.argmax())  # on a GPU the one moment of an agent step that waits for it

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

    def learn(self) -> Mapping[str, Tensor]:
        """Take one gradient step on a batch of the replay and return its loss."""
        losses = self._take_gradient_step(self.batch())
        self.gradient_step += 1
        return losses

    def batch(self) -> Batch:
        """Draw the transitions of a gradient step."""
        config = self.config
        return self.replay.batch(self.streams.replay, config.batch_size, config.n_step, config.gamma)

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        with autocast(self.config):
            loss = self._loss(self.online(batch.observations), batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}

    def _loss(self, values: Tensor, batch: Batch) -> Tensor:
        if self.fixed is not None:
            return self.fixed.loss(values.float(), batch)
        return td_loss(values.float(), batch.actions, self._targets(batch), self.config.huber_delta)

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        next_values = self.target(batch.next_observations).float()
        if not self.config.double:
            return max_target(batch.returns, batch.discounts, next_values)
        return double_target(batch.returns, batch.discounts, next_values, self.online(batch.next_observations).float())

    def intervene(self, look: Callable[[], None]) -> Iterator[Row]:
        """Let pruning and recycling count this gradient step; give what they did. `look` is called in between."""
        return self.interventions.step(self._statistics, look)

    def _statistics(self, size: int) -> Statistics:
        """Draw a fresh sample of the replay, of the recycling stream; and the loss on it for those who ask."""
        config, replay = self.config, self.replay
        positions = replay.draw(self.streams.at("recycling", self.gradient_step), size, config.n_step)

        def loss(values: Tensor) -> Tensor:
            batch = replay.transitions_at(positions, config.n_step, config.gamma)
            return self._loss(values, batch)

        return Statistics(replay.observations(positions), loss)

    def update_target(self) -> None:
        """Copy the online network into the target network."""
        torch._foreach_copy_(self._target_values, self._values)

    def logged(self) -> Mapping[str, float]:
        """Return what a learning row says besides losses and rates."""
        return {"epsilon": self.epsilon()}

    def state(self) -> dict[str, Any]:
        """Return networks, optimizer, interventions, random streams and counters: tensors and plain data."""
        return learner_state(self)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run, bit for bit."""
        load_learner_state(self, state)
        self._take_gradient_step.forget()
