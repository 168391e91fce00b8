"""What the pickle of a replay buffer is made of, when none of it is run: names, records of arrays, opaque objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Any, final

import numpy as np

__all__ = ["ArrayRecord", "Name", "NumberType", "Opaque", "Span", "described", "plain_number"]

_NUMBERS = re.compile(r"[?biuf][1248]|\?")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


@final
@dataclass(frozen=True)
class Name:
    """A class or function that a pickle mentions: module, a space, name."""

    name: str


@final
@dataclass(frozen=True)
class Span:
    """Bytes that stay in the file."""

    offset: int
    length: int


@final
@dataclass(eq=False)
class NumberType:
    """A NumPy type; `dtype` is None for objects, text, records and whatever else is no plain number."""

    dtype: np.dtype[Any] | None

    def set_order(self, order: Any) -> None:
        """Take over the byte order of its state."""
        if self.dtype is not None and order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


@final
@dataclass(eq=False)
class ArrayRecord:
    """An array as a pickle describes it. `data` is where its numbers lie, or they themselves where they are few.

    `dtype` is None where it holds no plain numbers; its shape is then not told.
    """

    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] = ()
    in_order: bool = True
    data: Span | bytes | None = None

    def set_state(self, state: Any) -> None:
        """Become what the state of an array says: version, shape, type, order, numbers."""
        _, shape, kind, fortran, data = state
        vars(self).update(vars(_array(data, kind, shape, "F" if fortran else "C")))


@final
@dataclass(eq=False)
class Opaque:
    """An object that nothing is known of but the name of its class and the state that it would be given."""

    name: str
    state: Any = None


def described(module: str, name: str, arguments: tuple[Any, ...]) -> Any:
    """Describe what a call of NumPy's own makers would make; None for any other function.

    Raises `ValueError` and its like where the arguments are not those that NumPy writes.
    """
    if (module, name) == ("numpy", "dtype"):
        return _number_type(arguments[0])
    if module in _MULTIARRAY and name == "_reconstruct":
        return ArrayRecord()
    if module in _MULTIARRAY and name == "scalar":
        return plain_number(*arguments)
    return _array(*arguments) if module in _NUMERIC and name == "_frombuffer" else None


def _number_type(code: Any) -> NumberType:
    return NumberType(np.dtype(code) if type(code) is str and _NUMBERS.fullmatch(code) else None)


def plain_number(kind: Any, data: Any = None) -> Any:
    """Return a NumPy number as a plain one, and an `Opaque` for what is no number."""
    if not isinstance(kind, NumberType) or kind.dtype is None or type(data) is not bytes:
        return Opaque("numpy scalar")
    return np.frombuffer(data, kind.dtype, 1)[0].item()


def _array(data: Any, kind: Any, shape: Any, order: Any) -> ArrayRecord:
    if not isinstance(kind, NumberType):
        raise ValueError("an array without a type")
    if kind.dtype is None or type(shape) is not tuple or not all(type(size) is int and size >= 0 for size in shape):
        return ArrayRecord()
    length = data.length if isinstance(data, Span) else len(data)
    if not isinstance(data, Span | bytes) or length != prod(shape) * kind.dtype.itemsize:
        raise ValueError("an array has not the size that its shape says")
    return ArrayRecord(kind.dtype, shape, order == "C" or len(shape) < 2, data)
