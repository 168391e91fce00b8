"""Read the pickle of a torch file without running any of it.

A pickle is a program for a small stack machine. This is that machine with nothing behind it: globals are names from a
fixed list, a tensor is a record of where its numbers lie, and nothing is ever called. What cannot be expressed that way
is refused, so that torch afterwards meets tensors and plain data only, of bounded depth and size.

A flat list of opcodes would not do: whether a view fits its storage, a key can be hashed without recursing a million
levels, or a list contains itself shows only when the arguments are known.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NoReturn, final

from dormancy.errors import UnsafeFileError
from dormancy.text.escape import one_line, printable

__all__ = ["ITEM_SIZES", "MAX_DEPTH", "Global", "Machine", "OrderedItems", "TensorRecord", "read_inert"]

MAX_DEPTH = 32
MAX_ITEMS = 250_000
MAX_STEPS = 500_000
MAX_DIMENSIONS = 16

ITEM_SIZES = {
    f"torch {name}Storage": size
    for size, names in {1: "Byte Char Bool", 2: "Half BFloat16 Short", 4: "Float Int", 8: "Double Long"}.items()
    for name in names.split()
}
_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
_KNOWN = {*ITEM_SIZES, _ORDERED_DICT, _REBUILD_TENSOR, _REBUILD_PARAMETER}


@final
@dataclass(frozen=True)
class Global:
    """A name of a class or function, as ``module name``; it is never looked up."""

    name: str


@final
@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str
    numel: int


@final
@dataclass(frozen=True)
class TensorRecord:
    """A tensor as the file describes it: the storage that its numbers lie in, their type, and where they lie."""

    shape: tuple[int, ...]
    storage: str
    kind: str
    offset: int
    strides: tuple[int, ...]


class OrderedItems(dict[Any, Any]):
    """Stands for an OrderedDict, the only object that torch files give attributes (``_metadata``)."""


def read_inert(pickle: bytes, storages: Mapping[str, int], path: object) -> Any:
    """Return what `pickle` describes: dicts, lists, tuples, plain values, and a `TensorRecord` for each tensor.

    `storages` gives the size in bytes of each storage of the file. Raises `UnsafeFileError`, naming `path`, for any
    other global, opcode or object, and for what is too deep, too large, or refers to itself.
    """
    return Machine(storages, printable(path)).read(pickle)


class Machine:
    """The pickle machine, protocol 2: a stack, the stacks below marks, and a memo.

    It knows tensors and plain data only; `inert_modules` has one that also writes down what other objects are made of.
    """

    max_depth = MAX_DEPTH
    actions: ClassVar[Mapping[str, Callable[[Any, Any], None]]]

    def __init__(self, storages: Mapping[str, int], name: str) -> None:
        self.sizes = storages
        self.name = name
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}
        self.items = 0

    def refuse(self, reason: str) -> NoReturn:
        """Raise `UnsafeFileError` that names the file and says that nothing was run."""
        raise UnsafeFileError(f"{self.name}: refused, nothing was run: {reason}; save it again as a plain state_dict")

    def read(self, pickle: bytes) -> Any:
        """Run the program and measure what it made; raises as `read_inert` does."""
        try:
            content = self.run(pickle)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, EOFError, OverflowError) as error:
            raise UnsafeFileError(
                f"{self.name}: its pickle is malformed ({one_line(error, 80)}); save it again with torch.save"
            ) from error
        self.measure(content)
        return content

    def run(self, pickle: bytes) -> Any:
        """Take the steps of the program up to STOP; return the one object that it leaves."""
        for step, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
            if step > MAX_STEPS:
                self.refuse(f"its pickle takes more than {MAX_STEPS} steps")
            if opcode.name == "STOP":
                break
            action = self.actions.get(opcode.name)
            if action is None:
                self.refuse(f"its pickle uses the opcode {opcode.name}, which tensors do not need")
            action(self, argument)
        if self.below or len(self.stack) != 1:
            self.refuse("its pickle leaves more or less than one object")
        return self.stack[0]

    def pop_mark(self) -> list[Any]:
        """Return what was put on the stack since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def protocol(self, version: int) -> None:
        """Accept protocol 2 only."""
        if version != 2:
            self.refuse(f"its pickle has protocol {version}; torch writes 2")

    def mark(self, _: None) -> None:
        """Begin a new stack above this one."""
        self.below.append(self.stack)
        self.stack = []

    def tuple_of(self, count: int | None) -> None:
        """Make a tuple of so many items, or of all since the mark."""
        items = self.pop_mark() if count is None else [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def put(self, index: int) -> None:
        """Remember the top of the stack."""
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        """Put what was remembered on the stack."""
        self.stack.append(self.memo[index])

    def append(self, items: list[Any]) -> None:
        """Put items at the end of the list on top."""
        if type(self.stack[-1]) is not list:
            self.refuse("its pickle appends to something that is not a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Set keys and values, in turn, of the dict on top."""
        target = self.stack[-1]
        if type(target) not in (dict, OrderedItems) or len(items) % 2:
            self.refuse("its pickle sets items of something that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                self.refuse(f"a key of a dict is a {type(key).__name__}, not a name")
            target[key] = value

    def name_global(self, name: str) -> None:
        """Put the name of a class or function on the stack: one of the known ones."""
        if name not in _KNOWN:
            shown = printable(name.replace(" ", "."), 80)
            self.refuse(f"its pickle names '{shown}', which is not a tensor or plain data and could run code")
        self.stack.append(Global(name))

    def load_storage(self, _: None) -> None:
        """Put a storage of the file on the stack, once its type and size are checked."""
        reference = self.stack.pop()
        if type(reference) is not tuple or len(reference) != 5 or reference[0] != "storage":
            self.refuse("its pickle refers to something outside that is not a storage")
        _, storage, key, location, numel = reference
        if type(key) is not str or type(location) is not str or type(numel) is not int:
            self.refuse("its pickle describes a storage wrongly")
        if not isinstance(storage, Global) or storage.name not in ITEM_SIZES:
            self.refuse(f"storage '{printable(key, 20)}' has no type of numbers")
        found = _Storage(key, storage.name, numel)
        if self.storages.setdefault(key, found) != found:
            self.refuse(f"storage '{printable(key, 20)}' is described in two ways")
        if self.sizes.get(key) != numel * ITEM_SIZES[storage.name]:
            self.refuse(f"storage '{printable(key, 20)}' has not the size that its pickle says")
        self.stack.append(found)

    def reduce(self, _: None) -> None:
        """Put on the stack what a call would make."""
        arguments = self.stack.pop()
        called = self.stack.pop()
        self.stack.append(self.built(called, arguments))

    def builders(self) -> dict[str, tuple[Callable[..., Any], tuple[int, ...]]]:
        """Return what a pickle may call, by name, with the numbers of arguments that it may give."""
        return {
            _ORDERED_DICT: (OrderedItems, (0,)),
            _REBUILD_TENSOR: (self._tensor, (6, 7)),
            _REBUILD_PARAMETER: (self._parameter, (3,)),
        }

    def built(self, called: Any, arguments: Any) -> Any:
        """Return what a known call describes; refuse any other."""
        build, counts = self.builders().get(called.name if isinstance(called, Global) else "", (None, ()))
        if build is None or type(arguments) is not tuple or len(arguments) not in counts:
            self.refuse("its pickle calls something in a way that is not how torch describes a tensor")
        return build(*arguments)

    def _tensor(
        self, storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any, hooks: Any, *more: Any
    ) -> TensorRecord:
        whole = type(shape) is tuple and type(strides) is tuple and len(shape) == len(strides) <= MAX_DIMENSIONS
        if not whole or any(type(number) is not int or number < 0 for number in (offset, *shape, *strides)):
            self.refuse("its pickle describes the shape of a tensor wrongly")
        if not isinstance(storage, _Storage) or type(gradient) is not bool or hooks != {} or any(more):
            self.refuse("its pickle describes a tensor that is not plain and dense")
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if prod(shape) > storage.numel or (prod(shape) and last >= storage.numel):
            self.refuse(f"a tensor of shape {printable(shape, 60)} claims more numbers than its storage holds")
        return TensorRecord(shape, storage.key, storage.kind, offset, strides)

    def _parameter(self, data: Any, gradient: Any, hooks: Any) -> TensorRecord:
        if not isinstance(data, TensorRecord) or type(gradient) is not bool or hooks != {}:
            self.refuse("its pickle describes a parameter that is not a plain tensor")
        return data

    def build(self, _: None) -> None:
        """Accept the one attribute that torch gives: the metadata of a state_dict."""
        state = self.stack.pop()
        known = type(state) is dict and len(state) == 1 and "_metadata" in state
        if type(self.stack[-1]) is not OrderedItems or not known:
            self.refuse("its pickle sets attributes of an object")
        self.measure(state)

    def measure(self, content: Any) -> None:
        """Refuse what is nested too deeply (or contains itself) and what unfolds into too many items.

        Shared containers count as often as they are reached, as any later walk would meet them; the count runs over all
        calls, so that many small measures cannot add up to a long one.
        """
        pending = [(content, 0)]
        while pending:
            item, depth = pending.pop()
            self.items += 1
            self.check_kept(item)
            if depth > self.max_depth:
                self.refuse(f"it is nested more than {self.max_depth} levels deep or contains itself")
            if self.items > MAX_ITEMS:
                self.refuse(f"it unfolds into more than {MAX_ITEMS} items")
            pending.extend((part, depth + 1) for part in self.parts(item))

    def check_kept(self, item: Any) -> None:
        """Refuse what may stand for a while on the stack, but not in what is kept."""
        if isinstance(item, (Global, _Storage)):
            self.refuse("its pickle holds something that is not a tensor or plain data")

    def parts(self, item: Any) -> Iterable[Any]:
        """Return what a container holds."""
        return item.values() if isinstance(item, dict) else item if isinstance(item, (list, tuple)) else ()


def _push(value: Any) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(value)


def _argument(machine: Machine, argument: Any) -> None:
    machine.stack.append(argument)


_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": Machine.protocol,
    "MARK": Machine.mark,
    "NONE": _push(None),
    "NEWTRUE": _push(True),
    "NEWFALSE": _push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), _argument),
    "EMPTY_TUPLE": _push(()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "TUPLE": lambda machine, _: machine.tuple_of(None),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), Machine.get),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop() for _ in range(2)][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "GLOBAL": Machine.name_global,
    "BINPERSID": Machine.load_storage,
    "REDUCE": Machine.reduce,
    "BUILD": Machine.build,
}

Machine.actions = _ACTIONS
