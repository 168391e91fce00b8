"""A named collection that answers a wrong name with the nearest right one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, final

from dormancy.errors import UsageError

__all__ = ["Registry", "nearest"]

Entry = TypeVar("Entry")


def nearest(name: str, known: list[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to `name`, else nothing.

    >>> nearest("adma", ["adam", "sgd"])
    " (did you mean 'adam'?)"
    """
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


@final
class Registry(Generic[Entry]):
    """Entries by name, in the order in which they were registered.

    >>> colours: Registry[int] = Registry("colour")
    >>> _ = colours.register("red")(1)
    >>> colours["red"]
    1
    >>> colours["rde"]
    Traceback (most recent call last):
    ...
    dormancy.errors.UsageError: unknown colour 'rde' (did you mean 'red'?); known: red
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorate an entry to add it under `name`; a second entry of that name is a bug."""

        def add(entry: Entry) -> Entry:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            known = list(self._entries)
            hint = nearest(name, known)
            raise UsageError(f"unknown {self.kind} {name!r}{hint}; known: {', '.join(known)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
