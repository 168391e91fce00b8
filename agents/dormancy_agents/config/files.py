"""Configuration as it is typed, ``name=value``, and as it is written, in TOML."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from dormancy.errors import FileError, UsageError
from dormancy.io.files import require_regular_file
from dormancy.text.escape import one_line, printable
from dormancy_agents.config import CommonConfig, Resolved
from dormancy_agents.config.fields import Kind, known_field

__all__ = ["as_toml", "read_settings", "read_toml"]


def read_settings(items: Sequence[str], config: type[CommonConfig]) -> dict[str, Any]:
    """Read settings as they are typed, ``name=value``; a field with several values takes them with commas.

    An entry of a table is named with a dot. Raises `UsageError` for a field that does not exist and a value of the
    wrong kind.

    >>> from dormancy_agents.algorithms.dqn.config import DQNConfig
    >>> read_settings(["gamma=0.9", "hidden=64,64", "recycler_options.selection=random"], DQNConfig)
    {'gamma': 0.9, 'hidden': (64, 64), 'recycler_options': {'selection': 'random'}}
    """
    found: dict[str, Any] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, not {item!r}")
        table, _, entry = name.partition(".")
        kind = known_field(config, table)
        if kind.type is dict and entry:
            found[table] = {**found.get(table, {}), entry: _guessed(text)}
        else:
            found[table] = _read(name, kind, text)
    return found


def _read(name: str, kind: Kind, text: str) -> Any:
    try:
        return _READERS[kind.type](text)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{name} takes {kind.words}, not {text!r}") from error


def _number(text: str) -> float:
    return int(text) if text.strip().lstrip("-").isdecimal() else float(text)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(part) for part in text.split(","))


def _table(text: str) -> Any:
    raise ValueError(text)


_READERS: Mapping[type, Callable[[str], Any]] = {
    bool: {"true": True, "false": False}.__getitem__,
    int: int,
    float: float,
    str: str,
    tuple: _numbers,
    dict: _table,
}


def _guessed(text: str) -> Any:
    """Read an option whose kind is not known here: true, false, a number, a list with commas, or text."""
    if "," in text:
        return [_guessed(part) for part in text.split(",") if part]
    for reader in (_READERS[bool], _number):
        try:
            return reader(text)
        except (KeyError, ValueError):
            continue
    return text


def read_toml(path: str | os.PathLike[str], algorithm: str) -> dict[str, Any]:
    """Read a configuration file: fields by name. It may say which ``algorithm`` it is for, and has no other tables.

    Raises `FileError` when it is not TOML, `UsageError` when it is for another algorithm.
    """
    try:
        found = tomllib.loads(require_regular_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{printable(path)}: not TOML: {one_line(error)}; see --show-config for an example") from error
    named = found.pop("algorithm", algorithm)
    if named != algorithm:
        raise UsageError(
            f"{printable(path)} is for {printable(named, 40)}: use `dormancy train {printable(named, 40)}`"
        )
    return found


def as_toml(resolved: Resolved) -> str:
    """Write a configuration as TOML that `read_toml` reads back, each line with where the value came from."""
    config = resolved.config
    lines, tables = [f'algorithm = "{config.algorithm}"'], []
    for field in fields(config):
        value, origin = getattr(config, field.name), resolved.origins[field.name]
        if isinstance(value, Mapping):
            tables += [f"\n[{field.name}]  # {origin}", *(f"{key} = {_toml(each)}" for key, each in value.items())]
        else:
            lines.append(f"{f'{field.name} = {_toml(value)}':<48}  # {origin}")
    return "\n".join([*lines, *tables]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON string is a TOML string
    return repr(value) if isinstance(value, float) else json.dumps(value)
