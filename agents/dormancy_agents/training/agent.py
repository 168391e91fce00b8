"""What an agent is to everything around its loop: journal, run folder, resume and evaluation know no more of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dormancy.networks import NetworkSpec
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.training.interventions import Interventions
from dormancy_agents.training.random_streams import Streams

__all__ = ["Agent", "learner_state", "load_learner_state"]


class Agent(Protocol):
    """All that changes while an agent trains.

    `online` is what a checkpoint stores and `network_spec` builds; several networks are submodules of it. `modules`
    are all networks by name, `online` and targets and whatever else has parameters or buffers; `optimizers` likewise.
    """

    config: Any  # the configuration of the algorithm, a CommonConfig
    env: RecordedEnvironment
    network_spec: NetworkSpec
    online: nn.Module
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    interventions: Interventions
    replay: Replay
    streams: Streams
    agent_step: int
    gradient_step: int

    def gradient_steps_due(self) -> int:
        """Return how many gradient steps the agent steps so far call for."""

    def logged(self) -> Mapping[str, float]:
        """Return what a learning row says besides losses and rates, such as epsilon."""

    def evaluation_action(self, observation: NDArray[Any], rng: np.random.Generator) -> Any:
        """Choose an action as in evaluation; `rng` is the only source of chance, and nothing of the agent changes."""

    def state(self) -> dict[str, Any]:
        """Return all of this that learning changes, but for environment and replay: tensors and plain data."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run, bit for bit."""


def learner_state(agent: Agent) -> dict[str, Any]:
    """Return the state of what every agent has; an algorithm with more adds its own under further names."""
    return {
        "agent_step": agent.agent_step,
        "gradient_step": agent.gradient_step,
        "modules": {name: module.state_dict() for name, module in agent.modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in agent.optimizers.items()},
        "interventions": agent.interventions.state(),
        "streams": agent.streams.state(),
    }


def load_learner_state(agent: Agent, state: Mapping[str, Any]) -> None:
    """Take up what `learner_state` returned."""
    agent.agent_step, agent.gradient_step = int(state["agent_step"]), int(state["gradient_step"])
    for name, module in agent.modules.items():
        module.load_state_dict(state["modules"][name])
    for name, optimizer in agent.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    agent.interventions.load_state(state["interventions"])
    agent.streams.restore(state["streams"])
