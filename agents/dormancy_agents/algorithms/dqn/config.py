"""DQN (Mnih et al. 2015): the paper's values for Atari, Dopamine's for classic control and MinAtar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from dormancy_agents.config.discrete import DiscreteConfig

__all__ = ["CLASSIC_CONTROL", "MINATAR", "DQNConfig", "quick_values", "task_values"]


@final
@dataclass(frozen=True)
class DQNConfig(DiscreteConfig):
    """One DQN run. The defaults are those of the paper for Atari (Sokar et al. 2023, appendix A)."""

    algorithm: ClassVar[str] = "dqn"


CLASSIC_CONTROL: Mapping[str, Any] = {
    "agent_steps": 100_000,
    "arch": "mlp",
    "hidden": (512, 512),
    "batch_size": 128,
    "learning_rate": 1e-3,
    "adam_epsilon": 3.125e-4,
    "target_period_agent_steps": 100,
    "replay_capacity": 50_000,
    "warmup_agent_steps": 500,
    "epsilon_decay_agent_steps": 0,
    "clip_rewards": False,
    "frame_skip": 1,
    "frame_stack": 1,
    "sticky_action_probability": 0.0,
    "dormancy_period_gradient_steps": 1_000,
    "checkpoint_period_agent_steps": 10_000,
    "resume_period_agent_steps": 10_000,
}
"""The cart-pole values of Dopamine, the framework of the authors: two layers of 512, epsilon .01 after warm-up."""

MINATAR: Mapping[str, Any] = {
    "arch": "minatar",
    "hidden": (128,),
    "learning_rate": 2.5e-4,
    "adam_epsilon": 3.125e-4,
    "target_period_agent_steps": 1_000,
    "replay_capacity": 100_000,
    "warmup_agent_steps": 1_000,
    "clip_rewards": False,
    "frame_skip": 1,
    "frame_stack": 1,
    "sticky_action_probability": 0.1,
    "dormancy_period_gradient_steps": 10_000,
}
"""MinAtar, one frame an agent step: the network of Young & Tian 2019 with the values that Obando-Ceron & Castro 2021
(arXiv 2011.14826) published for Dopamine's DQN on these games: one update in 4 steps, batch 32, epsilon .01 at last."""

QUICK_ATARI: Mapping[str, Any] = {
    "agent_steps": 30_000,
    "replay_capacity": 30_000,
    "warmup_agent_steps": 2_000,
    "epsilon_decay_agent_steps": 5_000,
    "dormancy_period_gradient_steps": 1_000,
    "checkpoint_period_agent_steps": 5_000,
    "resume_period_agent_steps": 5_000,
}
QUICK_MINATAR: Mapping[str, Any] = {
    "agent_steps": 100_000,
    "epsilon_decay_agent_steps": 20_000,
    "dormancy_period_gradient_steps": 2_500,
    "checkpoint_period_agent_steps": 20_000,
}
QUICK_CLASSIC_CONTROL: Mapping[str, Any] = {
    "agent_steps": 30_000,
    "hidden": (256, 256),
    "batch_size": 64,
    "double": True,
    "learning_rate": 5e-4,
    "adam_epsilon": 1e-3,
    "huber_delta": 1_000.0,
    "n_step": 20,
    "replay_ratio": 0.5,
    "warmup_agent_steps": 1_000,
    "epsilon_final": 0.02,
    "epsilon_decay_agent_steps": 8_000,
    "dormancy_period_gradient_steps": 500,
    "checkpoint_period_agent_steps": 3_000,
    "resume_period_agent_steps": 3_000,
}
"""Values of our own that solve CartPole-v1: returns of 20 steps, double Q-learning, the squared error (rewards are not
clipped, returns reach 100: Huber's loss would bound nearly every gradient) and an Adam that takes small steps."""


def task_values(env_id: str) -> Mapping[str, Any]:
    """Return what differs from the class's defaults on this kind of task; an ``ALE/`` environment is an Atari game."""
    return {"atari": {}, "minatar": MINATAR}.get(_kind(env_id), CLASSIC_CONTROL)


def quick_values(env_id: str) -> Mapping[str, Any]:
    """Return what to change to see something within minutes on two cores: a short run, not a reproduction."""
    return {"atari": QUICK_ATARI, "minatar": QUICK_MINATAR}.get(_kind(env_id), QUICK_CLASSIC_CONTROL)


def _kind(env_id: str) -> str:
    return {"ALE": "atari", "MinAtar": "minatar"}.get(env_id.split("/")[0], "classic")
