"""What the algorithms share that choose among discrete actions by their values: DQN and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from dormancy.errors import UsageError
from dormancy_agents.config.common import CommonConfig
from dormancy_agents.config.kinds import Count, Natural, Positive, Share
from dormancy_agents.schedules import scaled_target_period

__all__ = ["DiscreteConfig"]


@dataclass(frozen=True)
class DiscreteConfig(CommonConfig):
    """Networks that give a value for each action, epsilon-greedy exploration, and Atari's preprocessing."""

    # Network
    arch: Literal["nature", "mlp"] = "nature"
    hidden: tuple[int, ...] = (512,)
    """Neurons of the dense hidden layers at width 1; the Nature network has one."""
    padding: Literal["valid", "same"] = "valid"
    norm: Literal["none", "layer"] = "none"
    """What normalises before each nonlinearity: none, or layer (LayerNorm)."""
    dueling: bool = False

    # Learning
    huber_delta: Positive = 1.0
    target_period_agent_steps: Count = 8_000

    overlap: bool = False
    """On a CPU with replay ratios up to 1/3: look up the next batch's targets on a second core while one acts.

    Learns from the same transitions in the same order; at one thread, equal bit for bit to taking turns.
    """

    # Exploration
    epsilon_final: Share = 0.01
    epsilon_decay_agent_steps: Natural = 250_000

    # Environment; frames apply to Atari only
    frame_skip: Count = 4
    frame_stack: Count = 4
    sticky_action_probability: Share = 0.25
    clip_rewards: bool = True
    max_episode_agent_steps: Count = 27_000
    """Episodes on Atari are truncated here; elsewhere the environment's own limit holds."""

    def check_together(self) -> None:
        """Raise `UsageError` for values that cannot be together."""
        smallest = 2 * (self.n_step + self.frame_stack)
        if self.replay_capacity < smallest:
            raise UsageError(f"replay_capacity must be at least {smallest} here, not {self.replay_capacity}")
        if self.overlap and self.device != "cpu":
            raise UsageError(f"overlap is for --device cpu; {self.device} works beside the environment anyway")
        if self.arch == "mlp" and (self.dueling or self.padding != "valid"):
            raise UsageError("dueling and padding are options of the nature network, not of the mlp")
        if self.arch == "nature" and len(self.hidden) != 1:
            raise UsageError(f"the nature network has one hidden dense layer, not {len(self.hidden)}")

    def following(self, published: Self) -> Mapping[str, Any]:
        """Return the values that follow the replay ratio: the gradient steps between two copies stay as published."""
        period, ratio = published.target_period_agent_steps, published.replay_ratio
        scaled = scaled_target_period(period, self.replay_ratio, ratio)
        return {**super().following(published), "target_period_agent_steps": scaled}
