"""What the algorithms share that choose among discrete actions by their values: DQN and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from dormancy.errors import UsageError
from dormancy_agents.config.common import CommonConfig
from dormancy_agents.config.fields import Count, Natural, Positive, Share
from dormancy_agents.config.schedules import scaled_target_period

__all__ = ["DiscreteConfig"]


@dataclass(frozen=True)
class DiscreteConfig(CommonConfig):
    """Networks that give a value for each action, epsilon-greedy exploration, and Atari's preprocessing."""

    # Network
    arch: Literal["nature", "impala", "minatar", "mlp"] = "nature"
    hidden: tuple[Count, ...] = (512,)
    """Neurons of the dense hidden layers at width 1; convolutional networks have one."""
    padding: Literal["valid", "same"] = "valid"
    norm: Literal["none", "layer"] = "none"
    """What normalises before each nonlinearity: none, or layer (LayerNorm)."""
    dueling: bool = False

    # Learning
    double: bool = False
    """Double Q-learning: the network that trains chooses the next action, the target network values it."""
    huber_delta: Positive = 1.0
    target_period_agent_steps: Count = 8_000
    targets: Literal["bootstrap", "random-network", "random-values", "teacher"] = "bootstrap"
    """What values are learned towards: Q-learning's moving target, or one that stays (Figs 4 and 8)."""
    teacher: str = ""
    """The checkpoint whose values are the targets; to give one is to ask for them."""
    initial: str = ""
    """The checkpoint whose weights the network begins with, instead of fresh ones."""
    offline: str = ""
    """A sample of consecutive steps, or a run folder: learn from what is recorded there and never act (Fig. 4)."""

    # Exploration
    epsilon_final: Share = 0.01
    epsilon_decay_agent_steps: Natural = 250_000

    # Environment; frames apply to Atari only
    frame_skip: Count = 4
    frame_stack: Count = 4
    sticky_action_probability: Share = 0.25
    clip_rewards: bool = True
    life_loss_terminates: bool = False
    """Learn from a lost life as from the end of an episode; what is logged is the return of the whole game."""
    noop_max: Natural = 0
    """Up to this many random no-ops begin each game, in training and in evaluation."""
    evaluation_noop_max: Natural = 0
    """The same, in evaluation only, where it is more."""
    max_episode_agent_steps: Count = 27_000
    """Episodes on Atari are truncated here; elsewhere the environment's own limit holds."""

    def check_together(self) -> None:
        """Raise `UsageError` for values that cannot be together."""
        super().check_together()
        smallest = 2 * (self.n_step + self.frame_stack)
        if self.replay_capacity < smallest:
            raise UsageError(f"replay_capacity must be at least {smallest} here, not {self.replay_capacity}")
        if self.arch == "mlp" and self.dueling:
            raise UsageError("dueling is an option of convolutional networks, not of the mlp")
        if self.arch != "nature" and self.padding != "valid":
            raise UsageError(f"padding is an option of the nature network, not of {self.arch}")
        if self.arch != "mlp" and len(self.hidden) != 1:
            raise UsageError(f"the {self.arch} network has one hidden dense layer, not {len(self.hidden)}")
        if self.targets == "teacher" and not self.teacher:
            raise UsageError("targets of a teacher need one: give --teacher CHECKPOINT")

    def for_evaluation(self) -> Self:
        """Return the configuration of the environment that the agent is evaluated in: whole games."""
        noops = max(self.noop_max, self.evaluation_noop_max)
        return replace(self, life_loss_terminates=False, noop_max=noops)

    def following(self, published: Self) -> Mapping[str, Any]:
        """Return the values that follow the replay ratio: the gradient steps between two copies stay as published."""
        period, ratio = published.target_period_agent_steps, published.replay_ratio
        return {
            **super().following(published),
            "target_period_agent_steps": scaled_target_period(period, self.replay_ratio, ratio),
            "targets": "teacher" if self.teacher else published.targets,
            "warmup_agent_steps": self.n_step if self.offline else self.warmup_agent_steps,
        }
