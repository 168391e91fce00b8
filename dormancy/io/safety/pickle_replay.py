"""Read the pickle of a replay buffer without running any of it: arrays, plain values, and names of what else is there.

A pickle is a program for a small stack machine. This is that machine with nothing behind it: a class is its name, an
object is its name and its state, an array is a record of where in the file its numbers lie. Nothing is imported and
nothing is ever called. Objects of unknown classes do no harm that way, so a subclass of a replay buffer can be read; a
pickle that would call a function that no buffer needs is refused, so that its owner hears of it.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable
from typing import Any, NoReturn, final

from dormancy.errors import FileError, UnsafeFileError
from dormancy.io.arrays.raw import OpenFile
from dormancy.io.safety.pickle_arrays import ArrayRecord, Name, NumberType, Opaque, Span, described
from dormancy.text.escape import one_line, printable

__all__ = ["is_pickle", "read_replay_pickle"]

MAX_STEPS = 3_000_000
MAX_TAKEN = 1 << 27
KEPT_BYTES = 256
"""Opcodes of one pickle, bytes of their arguments together; a longer run of bytes stays in the file.

Memory at the very most: 400 MB, for a file of that many bytes of nothing but small objects."""

_CALLED = re.compile(
    r"torch (device|Size)|copyreg _reconstructor|collections (OrderedDict|deque|defaultdict)"
    r"|(numpy\.random|gymnasium|gym|stable_baselines3|sb3_contrib)(\.[\w.]+)? \w+"
)


def is_pickle(head: bytes) -> bool:
    """Whether a file beginning with `head` may be a pickle of protocol 2 to 5."""
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read_replay_pickle(file: OpenFile) -> Any:
    """Return what a pickle describes: dicts, lists, tuples, sets (as lists), plain values, `ArrayRecord`, `Opaque`.

    Raises `UnsafeFileError` for what would call a function that no buffer needs, for opcodes that none is written with
    and for what is too large; `FileError` where it is truncated or malformed. Containers may contain themselves: walk
    them by the names that are looked for, not to their ends.
    """
    machine = _Machine(file)
    try:
        return machine.run()
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise FileError(
            f"{printable(file.path)}: its pickle is truncated or malformed ({one_line(error, 80)}); save it again"
        ) from error


@final
class _Machine:
    """The pickle machine, protocols 2 to 5: a stack, the stacks below marks, and a memo."""

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.stream = file.stream
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: list[Any] = []
        self.taken = 0

    def refuse(self, reason: str) -> NoReturn:
        raise UnsafeFileError(f"{printable(self.file.path)}: refused, nothing was run: {reason}")

    def run(self) -> Any:
        self.stream.seek(0)
        for step in itertools.count():
            if step > MAX_STEPS:
                self.refuse(f"its pickle takes more than {MAX_STEPS} steps")
            code = self.stream.read(1)
            if code == b".":
                break
            action = _ACTIONS.get(code)
            if action is None:
                self._unknown(code)
            action(self)
        return self._end()

    def _unknown(self, code: bytes) -> NoReturn:
        if not code:
            self.file.damaged("it ends before its pickle does")
        self.refuse(f"its pickle uses the opcode {code!r}, which replay buffers are not written with; save it again")

    def _end(self) -> Any:
        if self.below or len(self.stack) != 1:
            self.file.damaged("its pickle leaves more or less than one object")
        return self.stack[0]

    def take(self, count: int) -> bytes:
        self.taken += count
        if self.taken > MAX_TAKEN:
            self.refuse(f"its pickle holds more than {MAX_TAKEN} bytes besides arrays")
        found = self.stream.read(count)
        if len(found) < count:
            self.file.damaged("it ends before its pickle does")
        return found

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def protocol(self) -> None:
        if not 2 <= self.number("<B") <= 5:
            self.refuse("its pickle has an unknown protocol; save it again")

    def frame(self) -> None:
        """Skip what tells readers how far they may read ahead."""
        self.take(8)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def text(self, form: str) -> None:
        self.stack.append(self.take(self.number(form)).decode("utf-8", "surrogatepass"))

    def raw(self, form: str) -> None:
        """Keep few bytes, and remember where many of them lie."""
        length, start = self.number(form), self.stream.tell()
        if start + length > self.file.size:
            self.file.damaged(f"{length} bytes should follow at {start}")
        if length <= KEPT_BYTES:
            self.stack.append(self.take(length))
            return
        self.stream.seek(start + length)
        self.stack.append(Span(start, length))

    def long(self) -> None:
        self.stack.append(int.from_bytes(self.take(self.number("<B")), "little", signed=True))

    def real(self) -> None:
        self.stack.append(struct.unpack(">d", self.take(8))[0])

    def tuple_of(self, count: int | None) -> None:
        items = self.pop_mark() if count is None else [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def put(self, form: str) -> None:
        """Remember the top; picklers count from 0, so a list will do."""
        index = self.number(form)
        if index == len(self.memo):
            self.memo.append(self.stack[-1])
        else:
            self.memo[index] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Opaque):  # a deque, say: what it holds is not needed
            self.file.damaged("its pickle appends to something that is not a list")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is dict:
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if type(key) in (str, int))
        elif not isinstance(target, Opaque):
            self.file.damaged("its pickle sets items of something that is not a dict")

    def global_line(self) -> None:
        module, name = (self.stream.readline(KEPT_BYTES)[:-1].decode("utf-8") for _ in range(2))
        self.stack.append(Name(f"{module} {name}"))

    def global_stacked(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            self.file.damaged("its pickle names something by what is not a text")
        self.stack.append(Name(f"{module} {name}"))

    def reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, Name) or type(arguments) is not tuple:
            self.refuse("its pickle calls something that it does not name; make a buffer with the library itself")
        module, _, name = called.name.partition(" ")
        found = described(module, name, arguments)
        self.stack.append(self._object(called.name) if found is None else found)

    def _object(self, name: str) -> Opaque:
        if not _CALLED.fullmatch(name):
            shown = printable(name.replace(" ", "."), 80)
            self.refuse(f"its pickle would call '{shown}', which no replay buffer needs; do not load this file")
        return Opaque(name)

    def new(self, extra: int) -> None:
        """Stand for an instance: its class and the arguments of its making are on the stack."""
        for _ in range(1 + extra):
            self.stack.pop()
        kind = self.stack.pop()
        self.stack.append(Opaque(kind.name if isinstance(kind, Name) else "?"))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, NumberType):
            target.set_order(state[1])
        elif isinstance(target, ArrayRecord):
            target.set_state(state)
        elif isinstance(target, Opaque):
            target.state = state[0] if type(state) is tuple and state else state
        else:
            self.file.damaged("its pickle gives a state to something that has none")


def _push(value: Any) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(value)


_ACTIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"N": _push(None),
    b"\x88": _push(True),
    b"\x89": _push(False),
    b"J": lambda machine: machine.stack.append(machine.number("<i")),
    b"K": lambda machine: machine.stack.append(machine.number("<B")),
    b"M": lambda machine: machine.stack.append(machine.number("<H")),
    b"\x8a": _Machine.long,
    b"G": _Machine.real,
    b"X": lambda machine: machine.text("<I"),
    b"\x8c": lambda machine: machine.text("<B"),
    b"\x8d": lambda machine: machine.text("<Q"),
    b"C": lambda machine: machine.raw("<B"),
    b"B": lambda machine: machine.raw("<I"),
    b"\x8e": lambda machine: machine.raw("<Q"),
    b"\x96": lambda machine: machine.raw("<Q"),
    b")": _push(()),
    b"]": lambda machine: machine.stack.append([]),
    b"}": lambda machine: machine.stack.append({}),
    b"\x8f": lambda machine: machine.stack.append([]),
    b"\x90": lambda machine: machine.extend(machine.pop_mark()),
    b"\x91": lambda machine: machine.stack.append(machine.pop_mark()),
    b"t": lambda machine: machine.tuple_of(None),
    b"\x85": lambda machine: machine.tuple_of(1),
    b"\x86": lambda machine: machine.tuple_of(2),
    b"\x87": lambda machine: machine.tuple_of(3),
    b"\x94": lambda machine: machine.memo.append(machine.stack[-1]),
    b"q": lambda machine: machine.put("<B"),
    b"r": lambda machine: machine.put("<I"),
    b"h": lambda machine: machine.stack.append(machine.memo[machine.number("<B")]),
    b"j": lambda machine: machine.stack.append(machine.memo[machine.number("<I")]),
    b"a": lambda machine: machine.extend([machine.stack.pop()]),
    b"e": lambda machine: machine.extend(machine.pop_mark()),
    b"s": lambda machine: machine.set_items([machine.stack.pop() for _ in range(2)][::-1]),
    b"u": lambda machine: machine.set_items(machine.pop_mark()),
    b"c": _Machine.global_line,
    b"\x93": _Machine.global_stacked,
    b"R": _Machine.reduce,
    b"\x81": lambda machine: machine.new(0),
    b"\x92": lambda machine: machine.new(1),
    b"b": _Machine.build,
}
