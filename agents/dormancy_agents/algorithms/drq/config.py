"""DrQ(epsilon) (Kostrikov et al. 2020, Agarwal et al. 2021) as the paper trains it on Atari 100k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from dormancy.errors import UsageError
from dormancy_agents.config.discrete import DiscreteConfig
from dormancy_agents.config.fields import Count, Natural, Positive, Share

__all__ = ["DrQConfig", "quick_values", "task_values"]


@final
@dataclass(frozen=True)
class DrQConfig(DiscreteConfig):
    """One run of DrQ(epsilon). The defaults are those of the paper for Atari 100k (Sokar et al. 2023, appendix A).

    100 000 agent steps, which are the 400 000 frames of the paper. The network is the Nature network with two heads.
    """

    algorithm: ClassVar[str] = "drq"

    agent_steps: Count = 100_000
    dueling: bool = True
    learning_rate: Positive = 1e-4
    n_step: Count = 10
    double: bool = True
    replay_ratio: Positive = 1.0
    target_period_agent_steps: Count = 1
    warmup_agent_steps: Count = 1_600
    epsilon_decay_agent_steps: Natural = 5_000
    augmentation: bool = True
    """Shift and rescale the pixels of both observations of a transition at random, each time it is learned from."""

    sticky_action_probability: Share = 0.0
    life_loss_terminates: bool = True
    evaluation_noop_max: Natural = 30
    evaluation_at_end: bool = True
    evaluation_episodes: Count = 100

    dormancy_period_gradient_steps: Count = 5_000
    checkpoint_period_agent_steps: Count = 20_000

    def check_together(self) -> None:
        """Raise `UsageError` for values that cannot be together."""
        super().check_together()
        if self.arch in ("mlp", "minatar") and self.augmentation:
            raise UsageError(f"augmentation moves pixels, which the {self.arch} network does not take")


QUICK: Mapping[str, Any] = {
    "agent_steps": 5_000,
    "warmup_agent_steps": 500,
    "epsilon_decay_agent_steps": 1_000,
    "dormancy_period_gradient_steps": 500,
    "checkpoint_period_agent_steps": 1_000,
    "evaluation_episodes": 5,
}


def task_values(env_id: str) -> Mapping[str, Any]:
    """Return what differs from the class's defaults on this kind of task: nothing, for these are pixels or refused."""
    return {}


def quick_values(env_id: str) -> Mapping[str, Any]:
    """Return what to change to see something within minutes on two cores: a short run, not a reproduction."""
    return QUICK
