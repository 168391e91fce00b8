"""Configuration as it is typed: ``name=value``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from dormancy.errors import UsageError
from dormancy.registry import nearest
from dormancy_agents.config import DQNConfig

__all__ = ["read_settings"]


def read_settings(items: Sequence[str]) -> dict[str, Any]:
    """Read settings as they are typed, ``name=value``; a field with several values takes them with commas.

    Raises `UsageError` for a field that does not exist and a value of the wrong kind.

    >>> read_settings(["gamma=0.9", "hidden=64,64", "save_optimizer=true"])
    {'gamma': 0.9, 'hidden': (64, 64), 'save_optimizer': True}
    """
    return dict(_read_setting(item) for item in items)


def _read_setting(item: str) -> tuple[str, Any]:
    name, _, text = item.partition("=")
    defaults = {field.name: field.default for field in fields(DQNConfig) if field.name != "env_id"}
    if name not in defaults:
        raise UsageError(f"unknown field {name!r}{nearest(name, list(defaults))}; known: {', '.join(defaults)}")
    try:
        return name, _READERS[type(defaults[name])](text)
    except (KeyError, ValueError) as error:
        kind = type(defaults[name]).__name__
        raise UsageError(f"{name} takes {_KINDS.get(kind, kind)}, not {text!r}") from error


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(int(part) if part.strip().isdecimal() else float(part) for part in text.split(","))


_READERS: Mapping[type, Callable[[str], Any]] = {
    bool: {"true": True, "false": False}.__getitem__,
    int: int,
    float: float,
    str: str,
    tuple: _numbers,
}
_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "tuple": "numbers with commas"}
