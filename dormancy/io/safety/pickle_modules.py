"""Read the pickle of a whole network, ``torch.save(model)``, without running any of it.

The machine of `inert_pickle`, which also writes down what it does not know: a class or function is its name, an object
is the name of its class with the arguments and attributes that the file gives it. None of these names is ever imported.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

from dormancy.io.safety.pickle_tensors import Global, Machine, OrderedItems
from dormancy.text.escape import printable

__all__ = ["Stub", "names_modules", "read_stubs"]

MAX_DEPTH = 96
"""Three levels a module: networks nested thirty modules deep."""

_MODULES = "torch.nn.modules."
_MOST_LOOKED_AT = 500_000


@final
@dataclass(eq=False)
class Stub:
    """An object as the file describes it: the dotted name of its class, what it is made from, its attributes."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None
    attributes: Mapping[str, Any] = field(init=False, default_factory=dict)

    def told(self, state: Any) -> None:
        """Take down attributes: a dict of them, or a pair of dicts for a class with slots."""
        self.state = state
        dicts = state if type(state) is tuple else (state,)
        self.attributes = {name: value for each in dicts if isinstance(each, dict) for name, value in each.items()}


def names_modules(pickle: bytes) -> bool:
    """Whether a pickle names a module of ``torch.nn``: then it holds a network, not only its parameters."""
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
            if step > _MOST_LOOKED_AT:
                return False
            if opcode.name == "GLOBAL" and str(argument).startswith(_MODULES):
                return True
    except (ValueError, IndexError, OverflowError):
        return False
    return False


def read_stubs(pickle: bytes, storages: Mapping[str, int], path: object) -> Any:
    """Return what `pickle` describes as `read_inert` does, with a `Stub` for each object of another class.

    Raises `UnsafeFileError`, naming `path`, for what is malformed, too deep or too large, refers to itself, or
    describes a tensor that does not fit its storage.
    """
    return _StubMachine(storages, printable(path)).read(pickle)


@final
class _StubMachine(Machine):
    """Writes down objects instead of refusing them; nothing is looked up or called."""

    max_depth = MAX_DEPTH

    def name_global(self, name: str) -> None:
        self.stack.append(Global(name))

    def new_object(self, _: None) -> None:
        arguments, named = self.stack.pop(), self.stack.pop()
        if not isinstance(named, Global) or type(arguments) is not tuple:
            self.refuse("its pickle makes an object of something that is not a class")
        self.stack.append(self.stub(named, arguments))

    def stub(self, named: Global, arguments: tuple[Any, ...]) -> Stub:
        return Stub(printable(named.name.replace(" ", "."), 120), arguments)

    def reduce(self, _: None) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if isinstance(called, Global) and type(arguments) is tuple:
            known = called.name in self.builders()
            self.stack.append(self.built(called, arguments) if known else self.stub(called, arguments))
            return
        self.refuse("its pickle calls something that is not a class or function")

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Stub):
            target.told(state)
        elif type(target) is not OrderedItems:
            self.refuse("its pickle sets attributes of something that has none")

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], Stub):  # a list of a class of its own: its items say nothing of a network
            super().append(items)

    def set_items(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], Stub):
            return
        pairs = zip(items[::2], items[1::2], strict=True)
        super().set_items([part for pair in pairs if type(pair[0]) in (str, int) for part in pair])

    def check_kept(self, item: Any) -> None:
        if not isinstance(item, Global):
            super().check_kept(item)

    def parts(self, item: Any) -> Iterable[Any]:
        return (item.arguments, item.state) if isinstance(item, Stub) else super().parts(item)

    actions: ClassVar[Mapping[str, Callable[[Any, Any], None]]] = {
        **Machine.actions,
        "GLOBAL": name_global,
        "NEWOBJ": new_object,
        "REDUCE": reduce,
        "BUILD": build,
        "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
        "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    }
