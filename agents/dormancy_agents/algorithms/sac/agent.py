"""SAC (Haarnoja et al. 2018) as the paper trains it: read `train` from top to bottom, then the parts of `SAC`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dormancy.networks import NetworkSpec, SACNetwork, build_network
from dormancy_agents.algorithms.gradient_step import GradientStep
from dormancy_agents.algorithms.sac.config import SACConfig
from dormancy_agents.algorithms.sac.losses import (
    actor_loss,
    critic_loss,
    soft_target,
    squashed_action,
    squashed_sample,
    temperature_loss,
)
from dormancy_agents.config.schedules import gradient_steps_due
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.envs.make import make_environment
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.replay.pixel_layout import to_device
from dormancy_agents.training.agent import learner_state, load_learner_state
from dormancy_agents.training.interventions import Interventions, Row, Statistics
from dormancy_agents.training.random_streams import Streams
from dormancy_agents.training.session import Outcome, Session
from dormancy_agents.training.setup import adam, autocast, empty_replay, graph_kind, prepare_device

__all__ = ["SAC", "train"]


def train(config: SACConfig, out: Path, *, progress: bool = True, resume: bool = False) -> Outcome:
    """Train SAC and leave a run folder at `out`, or with `resume` go on with the run that is there, bit for bit.

    Raises `UsageError` for what cannot be run here, `OutputError` when `out` exists or cannot be written, and
    `TrainingDiverged` when a loss is no longer finite.
    """
    agent = SAC(config)
    env, replay = agent.env, agent.replay
    with Session(agent, out, progress=progress, resume=resume) as session:
        journal, observation = session.journal, session.begin()
        while session.goes_on():
            # Act: at random during warm-up, then as the policy draws; an action has numbers in -1..1.
            action = agent.act(observation)
            agent.agent_step += 1

            # Learn: as many gradient steps as the replay ratio owes; prune neurons when it is their time, look at the
            # network, then recycle; let the target follow.
            while agent.gradient_step < agent.gradient_steps_due():
                journal.learned(agent.learn())
                for row in agent.intervene(journal.look):
                    journal.intervened(row)
                if agent.gradient_step % config.target_period_gradient_steps == 0:
                    agent.update_target()

            # Step and store, while a GPU still learns.
            step = env.step(action)
            reward = config.reward_scale * step.reward
            replay.add(action, reward, step.terminated, step.truncated, step.observation)
            journal.stepped(step)
            observation = step.observation
            if step.terminated or step.truncated:
                observation = env.reset()
                replay.begin(observation)

            # Log: rates and losses, dormancy, checkpoints with their samples.
            journal.write_due()
    return session.outcome


class Drawn(NamedTuple):
    """What a gradient step is computed from: transitions, and standard normal numbers of shape (batch, actions)."""

    observations: Tensor
    actions: Tensor
    returns: Tensor
    discounts: Tensor
    next_observations: Tensor
    next_noise: Tensor
    noise: Tensor


@final
class SAC:
    """All that changes while SAC trains: networks, optimizers, replay, environment, random streams, counters."""

    def __init__(self, config: SACConfig) -> None:
        self.config = config
        prepare_device(config)
        self.streams = Streams(config.seed)
        seeds = self.streams.numbered("environment")
        self.env = RecordedEnvironment(make_environment(config, seeds(0)), seeds)
        self.network_spec = network_spec(config, self.env.frame_shape[0], self.env.actions)
        self._make_networks()
        self._make_optimizers()
        self.replay: Replay = empty_replay(config, self.env)
        networks = self.optimizers.values()
        self.interventions = Interventions(config, self.network, networks, self.streams.integer("recycling"))
        self._take_gradient_step = GradientStep(self._update, list(networks), graph_kind(config))
        self.agent_step = self.gradient_step = 0

    def _make_networks(self) -> None:
        config = self.config
        torch.manual_seed(self.streams.integer("network"))
        self.network = cast(SACNetwork, build_network(self.network_spec).to(config.device))
        self.online: nn.Module = self.network
        self.target = copy.deepcopy(self.network).requires_grad_(False)  # of which only the critics are used
        self.log_temperature = nn.Parameter(torch.full((), config.initial_temperature, device=config.device).log())
        self.target_entropy = config.target_entropy_per_action * self.env.actions
        temperature = nn.ParameterDict({"log": self.log_temperature})
        self.modules: Mapping[str, nn.Module] = {
            "online": self.network, "target": self.target, "temperature": temperature,
        }  # fmt: skip

    def _make_optimizers(self) -> None:
        actor = list(self.network.actor.parameters())
        self.critics: list[Tensor] = [*self.network.q1.parameters(), *self.network.q2.parameters()]
        self.target_critics: list[Tensor] = [*self.target.q1.parameters(), *self.target.q2.parameters()]
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            "actor": adam(self.config, actor), "critics": adam(self.config, self.critics),
        }  # fmt: skip
        self.optimizers["actor"].add_param_group({"params": [self.log_temperature], "weight_decay": 0.0})
        self.actor_and_temperature: list[Tensor] = [*actor, self.log_temperature]

    def act(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """Draw an action: uniformly during warm-up, then from the policy."""
        explore = self.streams.exploration
        if self.agent_step < self.config.warmup_agent_steps:
            return explore.uniform(-1.0, 1.0, self.env.actions).astype(np.float32)
        with torch.inference_mode():
            drawn = squashed_action(*self._policy(self._one(observation)), self._normal(explore, 1))
            return drawn[0].cpu().numpy()

    def evaluation_action(self, observation: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
        """Choose an action as in evaluation: that of the policy's mean, without chance."""
        with torch.inference_mode():
            return self._policy(self._one(observation))[0].tanh()[0].cpu().numpy()

    def _one(self, observation: NDArray[Any]) -> Tensor:
        return to_device(observation, self.config.device).unsqueeze(0)

    def _normal(self, rng: np.random.Generator, rows: int) -> Tensor:
        """Draw standard normal numbers, (rows, actions)."""
        drawn = rng.standard_normal((rows, self.env.actions), dtype=np.float32)
        return to_device(drawn, self.config.device)

    def gradient_steps_due(self) -> int:
        """Return how many gradient steps the agent steps so far call for."""
        warmup, ratio = self.config.warmup_agent_steps, self.config.replay_ratio
        return gradient_steps_due(self.agent_step, warmup=warmup, replay_ratio=ratio)

    def learn(self) -> Mapping[str, Tensor]:
        """Take one gradient step of the critics, then one of actor and temperature, on one batch of the replay."""
        drawn = self._draw(self.streams.replay, self.streams.policy, self.config.batch_size)
        losses = self._take_gradient_step(drawn)
        self.gradient_step += 1
        return losses

    def _draw(self, replay: np.random.Generator, policy: np.random.Generator, size: int) -> Drawn:
        config = self.config
        batch = self.replay.batch(replay, size, config.n_step, config.gamma)
        next_noise, noise = self._normal(policy, 2 * size).chunk(2)
        return Drawn(
            batch.observations,
            batch.actions,
            batch.returns,
            batch.discounts,
            batch.next_observations,
            next_noise,
            noise,
        )

    def _update(self, drawn: Drawn) -> dict[str, Tensor]:
        temperature = self.log_temperature.detach().exp()

        values = self._values(self.network, drawn.observations, drawn.actions)
        critics = critic_loss(values, self._targets(drawn, temperature))
        self._descend("critics", critics, self.critics)

        actions, log_density = squashed_sample(*self._policy(drawn.observations), drawn.noise)
        actor = actor_loss(log_density, self._values(self.network, drawn.observations, actions), temperature)
        steer = temperature_loss(self.log_temperature, log_density, self.target_entropy)
        self._descend("actor", actor + steer, self.actor_and_temperature)
        return {"loss": critics.detach(), "actor_loss": actor.detach(), "entropy": -log_density.detach().mean()}

    @torch.no_grad()
    def _targets(self, drawn: Drawn, temperature: Tensor) -> Tensor:
        actions, log_density = squashed_sample(*self._policy(drawn.next_observations), drawn.next_noise)
        values = self._values(self.target, drawn.next_observations, actions)
        return soft_target(drawn.returns[:, None], drawn.discounts[:, None], values, log_density, temperature)

    def _policy(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.config):
            mean, log_deviation = self.network.policy(observations)
        return mean.float(), log_deviation.float()

    def _values(self, network: SACNetwork, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.config):
            first, second = network.values(observations, actions)
        return first.float(), second.float()

    def _descend(self, name: str, loss: Tensor, parameters: list[Tensor]) -> None:
        """Step one optimizer. Only its own parameters get gradients: the actor's loss computes none for the critics."""
        for parameter in parameters:
            parameter.grad = None
        loss.backward(inputs=parameters)
        self.optimizers[name].step()

    def intervene(self, look: Callable[[], None]) -> Iterator[Row]:
        """Let pruning and recycling count this gradient step; give what they did. `look` is called in between."""
        return self.interventions.step(self._statistics, look)

    def _statistics(self, size: int) -> Statistics:
        """Draw a fresh sample of the replay, of the recycling stream; and the loss on it for those who ask."""
        rng = self.streams.at("recycling", self.gradient_step)
        drawn = self._draw(rng, rng, size)
        temperature = self.log_temperature.detach().exp()

        def loss(outputs: tuple[Tensor, ...]) -> Tensor:
            mean, log_deviation, *values = outputs
            actions, log_density = squashed_sample(mean, log_deviation, drawn.noise)
            actor = actor_loss(log_density, self._values(self.network, drawn.observations, actions), temperature)
            return actor + critic_loss((values[0], values[1]), self._targets(drawn, temperature))

        return Statistics({"observations": drawn.observations, "actions": drawn.actions}, loss)

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target critics a little towards the critics."""
        torch._foreach_lerp_(self.target_critics, self.critics, self.config.target_smoothing)

    def logged(self) -> Mapping[str, float]:
        """Return what a learning row says besides losses and rates."""
        return {"temperature": float(self.log_temperature.detach().exp())}

    def state(self) -> dict[str, Any]:
        """Return networks, optimizers, interventions, random streams and counters: tensors and plain data."""
        return learner_state(self)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run, bit for bit."""
        load_learner_state(self, state)
        self._take_gradient_step.forget()


def network_spec(config: SACConfig, inputs: int, actions: int) -> NetworkSpec:
    """Say which network a run trains, for observations and actions of so many numbers."""
    shape = {"inputs": inputs, "actions": actions, "hidden": list(config.hidden)}
    norm = {} if config.norm == "none" else {"norm": config.norm}
    return NetworkSpec("sac", {**shape, "width": config.width, "activation": config.activation, **norm})
