"""What a run is asked to do, as plain data: every number with its unit, every default with its source."""

from dormancy_agents.algorithms.dqn.config import DQNConfig
from dormancy_agents.algorithms.drq.config import DrQConfig
from dormancy_agents.algorithms.registry import ALGORITHMS, Algorithm
from dormancy_agents.algorithms.sac.config import SACConfig
from dormancy_agents.config.common import CommonConfig
from dormancy_agents.config.discrete import DiscreteConfig
from dormancy_agents.config.resolve import PRESETS, Layer, Resolved, dqn_config, resolve

__all__ = [
    "ALGORITHMS",
    "PRESETS",
    "Algorithm",
    "CommonConfig",
    "DQNConfig",
    "DiscreteConfig",
    "DrQConfig",
    "Layer",
    "Resolved",
    "SACConfig",
    "dqn_config",
    "resolve",
]
