"""SAC (Haarnoja et al. 2018) on MuJoCo: the paper's Table 4, and the authors' released code where it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, final

from dormancy_agents.config.common import CommonConfig
from dormancy_agents.config.fields import Count, Natural, NonNegative, Positive, Share

__all__ = ["SACConfig", "quick_values", "task_values"]


@final
@dataclass(frozen=True)
class SACConfig(CommonConfig):
    """One SAC run. The defaults are those of the paper for MuJoCo (Sokar et al. 2023, Table 4).

    Where most implementations differ: `target_entropy_per_action` is -1, `reward_scale` 1 and `adam_epsilon` 1e-8.
    """

    algorithm: ClassVar[str] = "sac"

    agent_steps: Count = 1_000_000

    # Network
    hidden: tuple[Count, ...] = (256, 256)
    """Neurons of the hidden layers at width 1, of the actor and of each critic; Table 6 has widths 1, .5 and .25."""
    norm: Literal["none", "layer"] = "none"
    """What normalises before each nonlinearity: none, or layer (LayerNorm)."""

    # Learning
    batch_size: Count = 256
    learning_rate: Positive = 3e-4
    """Of the actor, the critics and the temperature."""
    adam_epsilon: Positive = 1e-7
    replay_ratio: Positive = 1.0
    warmup_agent_steps: Count = 10_000
    reward_scale: Positive = 0.1
    """What rewards are multiplied by to be learned from; returns are logged without it."""
    target_entropy_per_action: float = -0.5
    """The entropy that the temperature is steered to, in nats, is this times the numbers of an action."""
    initial_temperature: Positive = 1.0
    target_period_gradient_steps: Count = 1
    target_smoothing: Share = 0.005
    """How far the target critics move towards the critics each time."""

    # Interventions
    recycler_tau: NonNegative = 0.0
    recycler_period_gradient_steps: Count = 200_000
    recycler_sample_size: Count = 256
    prune_period_gradient_steps: Count = 200_000

    # What is logged and kept
    dormancy_period_gradient_steps: Count = 10_000
    checkpoint_period_agent_steps: Count = 100_000
    evaluation_period_agent_steps: Natural = 10_000

    def following(self, published: Self) -> Mapping[str, Any]:
        """Return the values that follow from the recycler: the paper's threshold and period are those of ReDo.

        Its reset is of all networks, every 200 000 environment steps, whatever the replay ratio.
        """
        period = published.recycler_period_gradient_steps
        periods = {"regrama": 1_000, "continual-backprop": 1, "reset": max(1, round(period * self.replay_ratio))}
        return {
            "recycler_tau": 0.01 if self.recycler == "regrama" else published.recycler_tau,
            "recycler_period_gradient_steps": periods.get(self.recycler, period),
            "recycler_options": {"which": "all"} if self.recycler == "reset" else published.recycler_options,
        }


QUICK_MUJOCO: Mapping[str, Any] = {
    "agent_steps": 30_000,
    "warmup_agent_steps": 2_000,
    "recycler_period_gradient_steps": 2_500,
    "dormancy_period_gradient_steps": 1_000,
    "checkpoint_period_agent_steps": 5_000,
    "evaluation_period_agent_steps": 5_000,
    "evaluation_episodes": 5,
}
PENDULUM: Mapping[str, Any] = {
    "agent_steps": 20_000,
    "warmup_agent_steps": 1_000,
    "recycler_period_gradient_steps": 2_000,
    "dormancy_period_gradient_steps": 1_000,
    "checkpoint_period_agent_steps": 5_000,
    "evaluation_period_agent_steps": 5_000,
}
"""Classic control with vector actions is no task of the paper; its hyper-parameters are kept, the run is shorter."""
QUICK_PENDULUM: Mapping[str, Any] = {
    "agent_steps": 6_000,
    "hidden": (64, 64),
    "recycler_period_gradient_steps": 500,
    "dormancy_period_gradient_steps": 500,
    "checkpoint_period_agent_steps": 1_000,
    "evaluation_period_agent_steps": 1_000,
    "evaluation_episodes": 5,
}


def task_values(env_id: str) -> Mapping[str, Any]:
    """Return what differs from the class's defaults on this kind of task."""
    return PENDULUM if _is_classic(env_id) else {}


def quick_values(env_id: str) -> Mapping[str, Any]:
    """Return what to change to see something within minutes on two cores: a short run, not a reproduction."""
    return QUICK_PENDULUM if _is_classic(env_id) else QUICK_MUJOCO


def _is_classic(env_id: str) -> bool:
    return env_id.split("-")[0] in ("Pendulum", "MountainCarContinuous")
