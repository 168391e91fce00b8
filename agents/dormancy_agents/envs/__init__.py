"""The worlds an agent acts in, behind one small interface: reset, step, close."""

from __future__ import annotations

import difflib
from types import ModuleType

from dormancy.errors import UsageError
from dormancy_agents.config import DiscreteConfig
from dormancy_agents.envs.atari import AtariEnvironment
from dormancy_agents.envs.base import Environment, Step
from dormancy_agents.envs.classic import GymnasiumEnvironment
from dormancy_agents.envs.minatar import MinAtarEnvironment, is_minatar
from dormancy_agents.envs.recorded import RecordedEnvironment

__all__ = [
    "AtariEnvironment",
    "Environment",
    "GymnasiumEnvironment",
    "MinAtarEnvironment",
    "RecordedEnvironment",
    "Step",
    "make_environment",
]


def make_environment(config: DiscreteConfig, seed: int) -> Environment:
    """Build the environment of a run.

    Raises `UsageError` when it is unknown (naming the nearest one), when its package is not installed, and when its
    observations or actions are of a kind that no network here takes.
    """
    if is_minatar(config.env_id):
        return MinAtarEnvironment(config, seed)
    gymnasium = _gymnasium()
    if config.env_id not in gymnasium.registry:
        raise UsageError(f"unknown environment {config.env_id!r} ({_meant(config.env_id, list(gymnasium.registry))})")
    if config.env_id.startswith("ALE/"):
        return AtariEnvironment(config, gymnasium.spec(config.env_id).kwargs["game"], seed)
    return GymnasiumEnvironment(config, gymnasium, seed)


def _gymnasium() -> ModuleType:
    try:
        import ale_py
        import gymnasium
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'dormancy[train]'") from error
    gymnasium.register_envs(ale_py)
    return gymnasium


def _meant(env_id: str, known: list[str]) -> str:
    """Find what was meant also without namespace and version: ``breakout`` is ``ALE/Breakout-v5``."""
    names = {_bare(name): name for name in known if "/" not in name or name.startswith("ALE/")}
    close = difflib.get_close_matches(_bare(env_id), names, n=1)
    return f"did you mean {names[close[0]]!r}?" if close else "for example ALE/Breakout-v5 or CartPole-v1"


def _bare(env_id: str) -> str:
    return env_id.split("/")[-1].rsplit("-v", 1)[0].lower()
