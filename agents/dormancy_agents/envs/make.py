"""Build the environment of a run by its name."""

from __future__ import annotations

import difflib
from importlib import import_module
from types import ModuleType

from dormancy.errors import UsageError
from dormancy.io.env_names import game_name
from dormancy_agents.config import CommonConfig, DiscreteConfig
from dormancy_agents.envs.atari import AtariEnvironment
from dormancy_agents.envs.base import Environment
from dormancy_agents.envs.gymnasium_continuous import ContinuousEnvironment
from dormancy_agents.envs.gymnasium_discrete import GymnasiumEnvironment
from dormancy_agents.envs.minatar import MinAtarEnvironment, is_minatar

__all__ = ["make_continuous", "make_environment"]


def make_environment(config: CommonConfig, seed: int) -> Environment:
    """Build the environment of a run: with discrete actions where the algorithm takes those, else with vectors.

    Raises `UsageError` when it is unknown (naming the nearest one), when its package is not installed, and when its
    observations or actions are of a kind that no network here takes.
    """
    if not isinstance(config, DiscreteConfig):
        return make_continuous(config.env_id, seed)
    if is_minatar(config.env_id):
        return MinAtarEnvironment(config, seed)
    gymnasium = _gymnasium()
    gymnasium.register_envs(_imported("ale_py", "train"))
    known = [name for name in gymnasium.registry if "/" not in name or name.startswith("ALE/")]
    _require_known(config.env_id, gymnasium, known, "ALE/Breakout-v5 or CartPole-v1")
    if config.env_id.startswith("ALE/"):
        return AtariEnvironment(config, gymnasium.spec(config.env_id).kwargs["game"], seed)
    return GymnasiumEnvironment(config, gymnasium, seed)


def make_continuous(env_id: str, seed: int | None = None) -> ContinuousEnvironment:
    """Build an environment whose actions are vectors; raises `UsageError` as `make_environment` does."""
    if env_id.startswith(("ALE/", "MinAtar/")):
        raise UsageError(f"{env_id}: SAC needs vector actions, not discrete ones; use `dormancy train dqn`")
    gymnasium = _gymnasium()
    known = [name for name in gymnasium.registry if "/" not in name]
    _require_known(env_id, gymnasium, known, "HalfCheetah-v5 or Pendulum-v1")
    return ContinuousEnvironment(env_id, gymnasium, seed)


def _gymnasium() -> ModuleType:
    return _imported("gymnasium", "train")


def _imported(module: str, extra: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'dormancy[{extra}]'") from error


def _require_known(env_id: str, gymnasium: ModuleType, suited: list[str], examples: str) -> None:
    if env_id not in gymnasium.registry:
        raise UsageError(f"unknown environment {env_id!r} ({_meant(env_id, suited, examples)})")


def _meant(env_id: str, known: list[str], examples: str) -> str:
    """Find what was meant also without namespace and version: ``breakout`` is ``ALE/Breakout-v5``."""
    names = {game_name(name): name for name in known}
    close = difflib.get_close_matches(game_name(env_id), names, n=1)
    return f"did you mean {names[close[0]]!r}?" if close else f"for example {examples}"
