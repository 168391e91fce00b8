"""What kind of value a field of a configuration takes: its type says so, and this reads and checks it."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Annotated, Any, Literal, TypeAlias, final, get_args, get_origin, get_type_hints

from dormancy.errors import UsageError
from dormancy.registry import nearest

__all__ = [
    "Bound",
    "Count",
    "Natural",
    "NonNegative",
    "Options",
    "Positive",
    "Share",
    "check_values",
    "kinds",
    "known_field",
]


@final
@dataclass(frozen=True)
class Bound:
    """What a number must be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


_POSITIVE = Bound("positive", lambda value: 0 < value < inf)
_NOT_NEGATIVE = Bound("0 or more", lambda value: 0 <= value < inf)

Count: TypeAlias = Annotated[int, _POSITIVE]
"""A whole number of something, at least one."""
Natural: TypeAlias = Annotated[int, _NOT_NEGATIVE]
"""A whole number, 0 or more."""
Positive: TypeAlias = Annotated[float, _POSITIVE]
NonNegative: TypeAlias = Annotated[float, _NOT_NEGATIVE]
Share: TypeAlias = Annotated[float, Bound("between 0 and 1", lambda value: 0 <= value <= 1)]
Options: TypeAlias = Mapping[str, Any]
"""Further keyword options by name: values are text, numbers, true or false, or lists of them."""

NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "numbers",
    dict: "a table",
}


@final
@dataclass(frozen=True)
class Kind:
    """The type of a field, its bound, and the values it may have where only some are possible.

    Of a field with several values, `item` is the type of each, and the bound holds for each.
    """

    type: builtins.type
    bound: Bound | None = None
    choices: tuple[str, ...] = ()
    item: builtins.type | None = None

    @property
    def words(self) -> str:
        """What such a field takes, for a message."""
        return f"one of {', '.join(self.choices)}" if self.choices else NAMES[self.type]

    def accept(self, value: Any) -> Any:
        """Return a value as the field holds it: whole numbers are numbers, lists are tuples.

        Raises `ValueError` for a value of another kind.
        """
        if self.type is float and type(value) is int:
            return float(value)
        if self.type is tuple and isinstance(value, (list, tuple)):
            return tuple(_item(each, self.item) for each in value)
        if self.type is dict and isinstance(value, Mapping):
            return dict(value)
        if type(value) is not self.type:
            raise ValueError(value)
        return value

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` for a value that the field cannot have."""
        if self.choices and value not in self.choices:
            hint = nearest(str(value), list(self.choices))
            raise UsageError(f"{name} must be {self.words}, not {value!r}{hint}")
        if self.bound is None:
            return
        for each in value if self.type is tuple else (value,):
            if not self.bound.holds(each):
                raise UsageError(f"{name} must be {self.bound.words}, not {each}")


def _item(value: Any, kind: type | None) -> Any:
    if type(value) is bool or not isinstance(value, int if kind is int else (int, float)):
        raise ValueError(value)
    return value


def kinds(config: type) -> Mapping[str, Kind]:
    """Return the kind of every field of a configuration class, in order."""
    hints = get_type_hints(config, include_extras=True)
    return {field.name: _kind(hints[field.name]) for field in fields(config)}


def _kind(hint: Any) -> Kind:
    if get_origin(hint) is Annotated:
        plain, bound = get_args(hint)
        return Kind(plain, bound)
    if get_origin(hint) is Literal:
        return Kind(str, choices=get_args(hint))
    if get_origin(hint) is tuple:
        item = _kind(get_args(hint)[0])
        return Kind(tuple, item.bound, item=item.type)
    return Kind(dict) if get_origin(hint) is not None else Kind(hint)


def known_field(config: type, name: str) -> Kind:
    """Return the kind of a field; raise `UsageError` with the nearest name when there is no such field."""
    known = kinds(config)
    if name not in known:
        hint = nearest(name, list(known)) or f"; known: {', '.join(known)}"
        raise UsageError(f"unknown field {name!r}{hint}")
    return known[name]


def check_values(config: Any) -> None:
    """Check every field of a configuration against its bound or its choices; raises `UsageError`."""
    for name, kind in kinds(type(config)).items():
        kind.check(name, getattr(config, name))
