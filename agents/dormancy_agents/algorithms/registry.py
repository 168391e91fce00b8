"""Which algorithms there are, and where each one's configuration and training loop is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, final

from dormancy.registry import Registry
from dormancy_agents.algorithms.dqn import config as dqn
from dormancy_agents.algorithms.drq import config as drq
from dormancy_agents.algorithms.sac import config as sac
from dormancy_agents.config.common import CommonConfig

if TYPE_CHECKING:
    from dormancy_agents.training.session import Outcome

__all__ = ["ALGORITHMS", "Algorithm"]

Values: TypeAlias = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Algorithm:
    """One algorithm: `config` is its class, `task` and `quick` give values by environment, `module` has ``train``.

    `task` returns what differs from the defaults of the class on a kind of task, `quick` the further changes of
    ``--preset quick``. The module is imported when it is needed: a question about usage must not load torch.
    """

    name: str
    title: str
    config: type[CommonConfig]
    task: Callable[[str], Values]
    quick: Callable[[str], Values]
    module: str

    @property
    def train(self) -> Callable[..., Outcome]:
        """The training loop: ``train(config, out, *, progress=True, resume=False)``."""
        found: Callable[..., Outcome] = import_module(self.module).train
        return found


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
