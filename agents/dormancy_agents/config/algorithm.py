"""What an algorithm is to the configuration: its class of settings and its values by environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from dormancy_agents.config.common import CommonConfig

__all__ = ["Algorithm"]

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
