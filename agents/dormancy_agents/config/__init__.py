"""Configuration of a run as plain data: every number with its unit, every default with its source."""

from dormancy_agents.config.algorithm import Algorithm
from dormancy_agents.config.common import CommonConfig
from dormancy_agents.config.discrete import DiscreteConfig
from dormancy_agents.config.resolve import PRESETS, Layer, Resolved, resolve

__all__ = ["PRESETS", "Algorithm", "CommonConfig", "DiscreteConfig", "Layer", "Resolved", "resolve"]
