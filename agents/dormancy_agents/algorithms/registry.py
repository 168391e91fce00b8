"""Which algorithms there are, and where each one's configuration and training loop is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from dormancy.registry import Registry
from dormancy_agents.algorithms.dqn import config as dqn
from dormancy_agents.algorithms.dqn.config import DQNConfig
from dormancy_agents.algorithms.drq import config as drq
from dormancy_agents.algorithms.sac import config as sac
from dormancy_agents.config.algorithm import Algorithm
from dormancy_agents.config.resolve import Layer, resolve

if TYPE_CHECKING:
    from dormancy_agents.training.session import Outcome

__all__ = ["ALGORITHMS", "dqn_config", "train_function"]


ALGORITHMS: Registry[Algorithm] = Registry("algorithm")
ALGORITHMS.register("dqn")(
    Algorithm(
        "dqn",
        "Train DQN on an Atari game, MinAtar or classic control.",
        dqn.DQNConfig,
        dqn.task_values,
        dqn.quick_values,
        "dormancy_agents.algorithms.dqn.agent",
    )
)
ALGORITHMS.register("drq")(
    Algorithm(
        "drq",
        "Train DrQ(epsilon) on an Atari game for 100 000 agent steps.",
        drq.DrQConfig,
        drq.task_values,
        drq.quick_values,
        "dormancy_agents.algorithms.drq.agent",
    )
)
ALGORITHMS.register("sac")(
    Algorithm(
        "sac",
        "Train SAC on a MuJoCo task, or on others with vector actions.",
        sac.SACConfig,
        sac.task_values,
        sac.quick_values,
        "dormancy_agents.algorithms.sac.agent",
    )
)


def train_function(algorithm: Algorithm) -> Callable[..., Outcome]:
    """Return the training loop: ``train(config, out, *, progress=True, resume=False)``.

    Its module is imported here and not before: a question about usage must not load torch.
    """
    train: Callable[..., Outcome] = import_module(algorithm.module).train
    return train


def dqn_config(env_id: str, overrides: Mapping[str, Any] | None = None) -> DQNConfig:
    """Return the configuration of a DQN on `env_id` with some fields replaced.

    What is not given follows the replay ratio, as in the paper: the target period, so that the number of gradient steps
    between two copies stays what it is, and the recycler's threshold, .025 up to ratio .25 and .1 above it.
    Raises `UsageError` for a field that does not exist, and for values that cannot be.

    >>> config = dqn_config("ALE/Pong-v5", {"replay_ratio": 1.0})
    >>> config.target_period_agent_steps, config.recycler_tau
    (2000, 0.1)
    >>> dqn_config("ALE/Pong-v5").recycler_tau
    0.025
    """
    return cast(DQNConfig, resolve(ALGORITHMS["dqn"], env_id, [Layer("given", overrides or {})]).config)
