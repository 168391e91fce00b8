"""Making an environment of gymnasium without a word from it, and saying in one line why it cannot be made."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from dormancy.errors import UsageError

__all__ = ["made"]


def made(env_id: str, gymnasium: ModuleType) -> Any:
    """Make the environment; raise `UsageError` with the reason, or with what to install for its simulator."""
    entry = str(getattr(gymnasium.registry.get(env_id), "entry_point", ""))
    with warnings.catch_warnings(), _quiet_simulator(needed="mujoco" in entry):
        warnings.simplefilter("ignore")  # gymnasium advises on versions and precision; the choice is the user's
        try:
            return gymnasium.make(env_id)
        except (gymnasium.error.Error, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UsageError(f"{env_id} cannot be made: {reason}") from error


@contextmanager
def _quiet_simulator(*, needed: bool) -> Iterator[None]:
    """Keep MuJoCo from writing advice about gymnasium's own models to the terminal and into a file where one works."""
    if not needed:
        yield
        return
    try:
        import mujoco
    except ImportError as error:
        raise UsageError("MuJoCo is not installed: pip install 'dormancy[mujoco]'") from error
    mujoco.set_mju_user_warning(_ignored)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)


def _ignored(message: str) -> None:
    """Say nothing."""
