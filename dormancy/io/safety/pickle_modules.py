"""Read the pickle of a whole network, ``torch.save(model)``, without running any of it.

The machine of `inert_pickle`, which also writes down what it does not know: a class or function is its name, an object
is the name of its class with the arguments and attributes that the file gives it. None of these names is ever imported.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

from dormancy.io.safety.pickle_tensors import ITEM_SIZES, Global, Machine, OrderedItems
from dormancy.text.escape import printable

__all__ = ["Stub", "names_modules", "read_stubs"]

MAX_DEPTH = 96
"""Three levels a module: networks nested thirty modules deep."""

_MODULES = "torch.nn.modules."
_DICTS = ("collections OrderedDict", "collections defaultdict")
_TENSORS = ("torch Tensor", "torch._tensor Tensor", "torch.nn.parameter Parameter", "torch.nn.parameter Buffer")
_MOST_LOOKED_AT = 500_000
_NAMING = ("GLOBAL", "SHORT_BINUNICODE", "BINUNICODE")
"""Opcodes that carry the name of a module: protocols 4 and 5 write it as text."""


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
            if opcode.name in _NAMING and str(argument).startswith(_MODULES):
                return True
    except (ValueError, IndexError, OverflowError):
        return False
    return False


def read_stubs(pickle: bytes, storages: Mapping[str, int], path: object, *, names_only: bool = False) -> Any:
    """Return what `pickle` describes as `read_inert` does, with a `Stub` for each object of another class.

    Pickle protocols 2 to 5 are read. With `names_only` a stub has the name of its class, but neither arguments nor
    attributes. Raises `UnsafeFileError`, naming `path`, for what is malformed, too deep or too large, refers to itself,
    or describes a tensor that does not fit its storage.
    """
    return _StubMachine(storages, printable(path), names_only).read(pickle)


@final
class _StubMachine(Machine):
    """Writes down objects instead of refusing them; nothing is looked up or called."""

    max_depth = MAX_DEPTH

    def __init__(self, storages: Mapping[str, int], name: str, names_only: bool) -> None:
        super().__init__(storages, name)
        self.names_only = names_only

    def protocol(self, version: int) -> None:
        if not 2 <= version <= 5:
            self.refuse(f"its pickle has protocol {version}; torch writes 2 to 5")

    def memoize(self, _: None) -> None:
        self.put(len(self.memo))

    def pop(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            self.refuse("its pickle names a class with something that is not text")
        self.name_global(f"{module} {name}")

    def set_of(self, items: list[Any]) -> None:
        self.stack.append(Stub("builtins.set", (items,)))

    def add_items(self, _: None) -> None:
        items, target = self.pop_mark(), self.stack[-1]
        if not isinstance(target, Stub) or target.name != "builtins.set":
            self.refuse("its pickle adds items to something that is not a set")
        target.arguments[0].extend(items)

    def load_storage(self, _: None) -> None:
        reference = self.stack[-1]
        kind = reference[1] if type(reference) is tuple and len(reference) == 5 else None
        if isinstance(kind, Global) and kind.name.endswith("Storage") and kind.name not in ITEM_SIZES:
            self.stack[-1] = Stub(printable(kind.name.replace(" ", "."), 120), ())
        else:
            super().load_storage(_)

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> Any:
        """Return a stub for a tensor that no network here has: numbers of another type, and expanded ones."""
        if isinstance(storage, Stub):
            return Stub(f"torch._utils of {storage.name}", ())
        if self.names_only and type(strides) is tuple and 0 in strides:
            return Stub("torch._utils of an expanded tensor", ())
        return super()._tensor(storage, offset, shape, strides, *more)

    def _parameter(self, data: Any, *description: Any) -> Any:
        return data if isinstance(data, Stub) else super()._parameter(data, *description)

    def builders(self) -> dict[str, tuple[Callable[..., Any], tuple[int, ...]]]:
        return {
            **super().builders(),
            "collections defaultdict": (lambda *_: OrderedItems(), (0, 1)),
            "torch._utils _rebuild_parameter_with_state": (lambda data, *rest: self._parameter(data, *rest[:2]), (4,)),
            "torch._tensor _rebuild_from_type_v2": (self._typed, (4,)),
        }

    def _typed(self, build: Any, kind: Any, arguments: Any, state: Any) -> Any:
        """Return a tensor that has attributes or a type of its own: a plain one, if torch makes it plainly."""
        plain = isinstance(kind, Global) and kind.name in _TENSORS and isinstance(build, Global)
        if plain and build.name in super().builders() and type(arguments) is tuple:
            return self.built(build, arguments)
        return Stub("torch._tensor._rebuild_from_type_v2", ())

    def name_global(self, name: str) -> None:
        self.stack.append(Global(name))

    def new_object(self, _: None) -> None:
        arguments, named = self.stack.pop(), self.stack.pop()
        if not isinstance(named, (Global, Stub)) or type(arguments) is not tuple:
            self.refuse("its pickle makes an object of something that is not a class")
        known = isinstance(named, Global) and named.name in _DICTS
        self.stack.append(OrderedItems() if known else self.stub(named, arguments))

    def new_object_of_names(self, _: None) -> None:
        self.stack.pop()  # arguments by name
        self.new_object(_)

    def stub(self, named: Global | Stub, arguments: tuple[Any, ...]) -> Stub:
        return Stub(printable(named.name.replace(" ", "."), 120), () if self.names_only else arguments)

    def reduce(self, _: None) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if isinstance(called, (Global, Stub)) and type(arguments) is tuple:
            known = isinstance(called, Global) and called.name in self.builders()
            self.stack.append(self.built(called, arguments) if known else self.stub(called, arguments))
            return
        self.refuse("its pickle calls something that is not a class or function")

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Stub):
            if not self.names_only:
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
        "STACK_GLOBAL": stack_global,
        "BINPERSID": load_storage,
        "PROTO": protocol,
        "FRAME": lambda machine, _: None,
        "MEMOIZE": memoize,
        "POP": pop,
        "POP_MARK": lambda machine, _: machine.pop_mark(),
        **dict.fromkeys(
            ("SHORT_BINUNICODE", "BINUNICODE8", "LONG4", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
            Machine.actions["BINUNICODE"],
        ),
        "EMPTY_SET": lambda machine, _: machine.set_of([]),
        "FROZENSET": lambda machine, _: machine.set_of(machine.pop_mark()),
        "ADDITEMS": add_items,
        "NEWOBJ": new_object,
        "NEWOBJ_EX": new_object_of_names,
        "REDUCE": reduce,
        "BUILD": build,
        "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
        "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    }
