"""Plain data: what JSON can hold, and nothing that only looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dormancy.errors import UsageError
from dormancy.text.escape import printable

__all__ = ["plain_json"]

MAX_DEPTH = 24
"""Below what the guard of torch files accepts, so that whatever was saved can be read."""


def plain_json(value: Any, where: str, depth: int = MAX_DEPTH) -> Any:
    """Return `value` made of str, int, float, bool, None, list and dict with str keys only; tuples become lists.

    NumPy's float64 is a float to Python, but not to a file that names every type it holds: it becomes one here. Raises
    `UsageError` that names `where` something else was found.

    >>> plain_json({"hidden": (64, 64)}, "arch_kwargs")
    {'hidden': [64, 64]}
    >>> plain_json({"seeds": {1, 2}}, "metadata")
    Traceback (most recent call last):
    ...
    dormancy.errors.UsageError: metadata/seeds: a set is not JSON; use str, int, float, bool, list or dict
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if depth == 0:
        raise UsageError(f"{printable(where)}: nested more than {MAX_DEPTH} levels deep, or contains itself")
    if isinstance(value, (list, tuple)):
        return [plain_json(item, f"{where}/{index}", depth - 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_name(key, where): plain_json(item, f"{where}/{key}", depth - 1) for key, item in value.items()}
    kind_name = printable(type(value).__name__, 40)
    raise UsageError(f"{printable(where)}: a {kind_name} is not JSON; use str, int, float, bool, list or dict")


def _name(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise UsageError(f"{printable(where)}: the key {printable(key, 40)} is not a str, as JSON wants it")
    return str(key)
