"""The worlds an agent acts in, behind one small interface: reset, step, close."""

from __future__ import annotations

from dormancy_agents.envs.atari import AtariEnvironment
from dormancy_agents.envs.base import Environment, Step
from dormancy_agents.envs.gymnasium_continuous import ContinuousEnvironment
from dormancy_agents.envs.gymnasium_discrete import GymnasiumEnvironment
from dormancy_agents.envs.make import make_continuous, make_environment
from dormancy_agents.envs.minatar import MinAtarEnvironment
from dormancy_agents.envs.replayable import RecordedEnvironment

__all__ = [
    "AtariEnvironment",
    "ContinuousEnvironment",
    "Environment",
    "GymnasiumEnvironment",
    "MinAtarEnvironment",
    "RecordedEnvironment",
    "Step",
    "make_continuous",
    "make_environment",
]
