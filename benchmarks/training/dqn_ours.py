"""Our DQN, the whole of `dormancy train dqn`, as a measured process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

import dormancy_agents.algorithms.dqn.agent as page
from dormancy.networks import NatureNetwork
from dormancy_agents.algorithms.dqn.config import DQNConfig
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.config.files import read_settings
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.training.interventions import _Recycling
from dormancy_agents.training.journal import Journal
from training.gate import Clock, Gate
from training.options import Options


def configuration(options: Options) -> DQNConfig:
    """The defaults of the paper, with a short warm-up and the epsilon that is reached after the decay."""
    own: dict[str, Any] = {
        "agent_steps": 1_000_000_000,
        "replay_ratio": options.replay_ratio,
        "threads": options.threads,
        "warmup_agent_steps": options.warmup,
        "replay_capacity": options.capacity,
        "epsilon_decay_agent_steps": 0,
        "precision": options.precision,
    }
    return dqn_config(options.env_id, {**own, **read_settings(options.settings, DQNConfig)})


def run(options: Options) -> None:
    """Train until the parent has seen enough."""
    clock = Clock()
    clock.wrap(RecordedEnvironment, "step", "environment")
    clock.wrap(RecordedEnvironment, "reset", "environment")
    clock.wrap(page.DQN, "act", "act")
    for method in ("add", "begin"):
        clock.wrap(Replay, method, "store")
    clock.wrap(page.DQN, "batch", "sample")
    clock.wrap(NatureNetwork, "forward", lambda: "forward" if torch.is_grad_enabled() else "target forward")
    clock.wrap(torch.Tensor, "backward", "backward")
    clock.wrap(torch.optim.Adam, "step", "optimizer")
    clock.wrap(_Recycling, "step", "recycling")
    for method in ("stepped", "learned", "intervened", "write_due", "checkpoint"):
        clock.wrap(Journal, method, "logging")
    Gate(clock).guard(RecordedEnvironment, "step")
    with tempfile.TemporaryDirectory() as folder:
        page.train(configuration(options), Path(folder) / "run", progress=False)
