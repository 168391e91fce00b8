"""What a run is asked to do, as plain data: every number with its unit, every default with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, final

from dormancy.errors import UsageError
from dormancy.registry import nearest
from dormancy_agents.schedules import scaled_target_period

__all__ = ["ATARI", "CLASSIC_CONTROL", "DQNConfig", "dqn_config"]


@final
@dataclass(frozen=True)
class DQNConfig:
    """One DQN run. The defaults are those of the paper for Atari (Sokar et al. 2023, appendix A).

    An agent step is one action (four frames on Atari); a gradient step is one step of the optimizer; the replay ratio
    is gradient steps per agent step. Raises `UsageError` for a value that cannot be.
    """

    env_id: str
    agent_steps: int = 2_500_000
    seed: int = 0
    device: str = "cpu"
    threads: int = 0
    """CPU threads of PyTorch; 0 leaves its own choice. Results are equal bit for bit only at equal threads."""

    # Network
    arch: Literal["nature", "mlp", "minatar"] = "nature"
    hidden: tuple[int, ...] = (512,)
    """Neurons of the dense hidden layers at width 1; the Nature network has one."""
    width: float = 1.0
    padding: Literal["valid", "same"] = "valid"
    activation: str = "relu"
    norm: str = "none"
    """What normalises before each nonlinearity: none, or layer (LayerNorm)."""
    dueling: bool = False

    # Learning
    batch_size: int = 32
    learning_rate: float = 6.25e-5
    adam_epsilon: float = 1.5e-4
    gamma: float = 0.99
    n_step: int = 1
    huber_delta: float = 1.0
    replay_ratio: float = 0.25
    target_period_agent_steps: int = 8_000

    # Replay and exploration
    replay_capacity: int = 1_000_000
    """Observations kept, of which an episode of T agent steps has T + 1."""
    warmup_agent_steps: int = 20_000
    """Random actions before the first gradient step."""
    epsilon_final: float = 0.01
    epsilon_decay_agent_steps: int = 250_000

    # Environment; frames apply to Atari only
    frame_skip: int = 4
    frame_stack: int = 4
    sticky_action_probability: float = 0.25
    clip_rewards: bool = True
    max_episode_agent_steps: int = 27_000
    """Episodes on Atari are truncated here; elsewhere the environment's own limit holds."""

    # Recycling (ReDo, Algorithm 1)
    redo: bool = False
    redo_tau: float = 0.025
    redo_period_gradient_steps: int = 1_000
    redo_sample_size: int = 64

    # What is logged and kept
    metrics_period_agent_steps: int = 1_000
    dormancy_period_gradient_steps: int = 20_000
    checkpoint_period_agent_steps: int = 250_000
    sample_size: int = 1_024
    """Observations per statistics sample; for the rank, at least as many as the last hidden layer has neurons."""
    taus: tuple[float, ...] = (0.0, 0.025, 0.1)
    """Thresholds at which dormancy is logged; independent of the one at which neurons are recycled."""
    save_next_observations: bool = False
    save_optimizer: bool = False

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive, not {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        self._check_together()

    def _check_together(self) -> None:
        if self.warmup_agent_steps < self.n_step:
            raise UsageError(
                f"warmup_agent_steps must be {self.n_step} (n_step) or more, not {self.warmup_agent_steps}"
            )
        smallest = 2 * (self.n_step + self.frame_stack)
        if self.replay_capacity < smallest:
            raise UsageError(f"replay_capacity must be at least {smallest} here, not {self.replay_capacity}")
        if self.arch == "mlp" and self.dueling:
            raise UsageError("dueling is an option of convolutional networks, not of the mlp")
        if self.arch != "nature" and self.padding != "valid":
            raise UsageError(f"padding is an option of the nature network, not of {self.arch}")
        if self.arch != "mlp" and len(self.hidden) != 1:
            raise UsageError(f"the {self.arch} network has one hidden dense layer, not {len(self.hidden)}")


_POSITIVE = (
    "agent_steps", "width", "batch_size", "learning_rate", "adam_epsilon", "n_step", "huber_delta", "replay_ratio",
    "target_period_agent_steps", "replay_capacity", "warmup_agent_steps", "frame_skip", "frame_stack",
    "max_episode_agent_steps", "redo_period_gradient_steps", "redo_sample_size", "metrics_period_agent_steps",
    "dormancy_period_gradient_steps", "checkpoint_period_agent_steps", "sample_size",
)  # fmt: skip
_NOT_NEGATIVE = ("seed", "threads", "epsilon_decay_agent_steps", "redo_tau")
_SHARES = ("gamma", "epsilon_final", "sticky_action_probability")

ATARI: Mapping[str, Any] = {}
"""The paper's values are the defaults of `DQNConfig`."""

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


def dqn_config(env_id: str, overrides: Mapping[str, Any] | None = None) -> DQNConfig:
    """Return the preset that suits `env_id` with some fields replaced; an ``ALE/`` environment is an Atari game.

    What is not given follows the replay ratio, as in the paper: the target period, so that the number of gradient steps
    between two copies stays what it is at ratio .25, and ReDo's threshold, .025 at ratio .25 and .1 above it.
    Raises `UsageError` for a field that does not exist.

    >>> config = dqn_config("ALE/Pong-v5", {"replay_ratio": 1.0})
    >>> config.target_period_agent_steps, config.redo_tau
    (2000, 0.1)
    >>> dqn_config("ALE/Pong-v5").redo_tau
    0.025
    """
    chosen = {**_preset(env_id), **(overrides or {})}
    known = [field.name for field in fields(DQNConfig)]
    for name in chosen:
        if name not in known:
            raise UsageError(f"unknown field {name!r}{nearest(name, known)}; known: {', '.join(known)}")
    config = DQNConfig(env_id=env_id, **chosen)
    by_ratio: dict[str, Any] = {
        "target_period_agent_steps": scaled_target_period(config.target_period_agent_steps, config.replay_ratio),
        "redo_tau": 0.025 if config.replay_ratio <= DQNConfig.replay_ratio else 0.1,
    }
    free = {name: value for name, value in by_ratio.items() if name not in (overrides or {})}
    return replace(config, **free)


def _preset(env_id: str) -> Mapping[str, Any]:
    if env_id.startswith("ALE/"):
        return ATARI
    return MINATAR if env_id.startswith("MinAtar/") else CLASSIC_CONTROL
