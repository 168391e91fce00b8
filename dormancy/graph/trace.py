"""One forward pass, written down: every tensor operation with the values it read and wrote.

Module hooks would miss functional nonlinearities and symbolic tracing fails on many policies; the dispatcher sees all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from dormancy.errors import DormancyError, NetworkError
from dormancy.graph.isolation import undisturbed
from dormancy.graph.ops import Kind, activation_name, kind_of, operation_name, place_name, tensors_in
from dormancy.graph.recurrent import Cell, cell_of, is_recurrent, is_wrapped

__all__ = [
    "CallFrames",
    "DispatchMode",
    "Operation",
    "Place",
    "Trace",
    "Value",
    "call_model",
    "counted_calls",
    "record",
    "uncompiled",
]


Place: TypeAlias = tuple[str, str, int]
"""Where an operation is: its module, its name, and how many of that name ran before it in the same call of the module.

Only modules with parameters count: one ReLU may serve many layers, while weights that are called again are one layer.

Nonlinearities have one name ("activation"), so that their places do not depend on how the rest of a pass is computed.
"""


@final
@dataclass(frozen=True)
class Value:
    """A tensor at one point of the pass; an in-place operation makes a new value of the same tensor."""

    number: int
    tensor: Tensor = field(repr=False, compare=False, hash=False)


@final
@dataclass(frozen=True, eq=False)
class Operation:
    """One call. Tensors in `arguments` are replaced by their `Value`; `module` is the module it was called in.

    An activation has a name and `roots`: the values that it is an element-by-element function of.
    """

    index: int
    overload: Any
    kind: Kind
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    module: str
    varying: bool
    stale: bool = False
    named: str | None = None
    roots: tuple[Value, ...] = ()
    place: Place = ("", "", 0)
    cell: Cell | None = None

    @property
    def name(self) -> str:
        """The operation's name without its in-place underscore ("add")."""
        if self.cell is not None:
            return self.cell.name
        return "write through a view" if self.stale else operation_name(self.overload)

    @property
    def activation(self) -> str | None:
        """The name of the nonlinearity, if it is one; see `dormancy.graph.regions`."""
        return self.named or self.built_in

    @property
    def built_in(self) -> str | None:
        """The name of the nonlinearity that the operation itself is, whatever it serves."""
        if self.stale or self.cell is not None:
            return None
        return activation_name(self.overload.overloadpacket, self.arguments)


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """All operations of one pass, the parameters by name, and the values the network returned.

    `returned` tells of values which modules returned them.
    """

    operations: tuple[Operation, ...]
    parameters: Mapping[str, Tensor]
    results: frozenset[int]
    varying: frozenset[int]
    returned: Mapping[int, frozenset[str]]


def counted_calls(operations: Sequence[Operation]) -> Iterator[tuple[Operation, tuple[str | None, int]]]:
    """Number what can be a layer: (None, n) for the nth nonlinearity, ("mul", n) for the nth product, and so on.

    Nonlinearities are counted apart, so that their numbers do not depend on how the rest of a pass is computed.
    """
    counts: Counter[str | None] = Counter()
    for operation in operations:
        if not operation.stale and operation.cell is None:
            counter = None if operation.built_in else operation.name
            yield operation, (counter, counts[counter])
            counts[counter] += 1


class DispatchMode(TorchDispatchMode):
    """A dispatch mode that is not wrapped for the compiler: the wrapper imports it, which takes seconds."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class CallFrames:
    """The module calls that are going on, and how many operations of each name ran in each of them.

    `leave` is called after a module's call, with the module, its name, what it took in and what it returned.
    """

    def __init__(self, model: nn.Module, leave: Callable[[nn.Module, str, Any, Any], None]) -> None:
        self._names = {id(module): name for name, module in model.named_modules()}
        self._weighted = {id(module) for module in model.modules() if next(module.parameters(), None) is not None}
        self._frames: list[tuple[str, str, Counter[str]]] = [("", "", Counter())]
        self._leave = leave
        self._handles: list[Any] = []
        self._outermost: nn.Module | None = None
        self.recurrent = 0

    @property
    def module(self) -> str:
        """The name of the innermost module that is being called."""
        return self._frames[-1][0]

    def place(self, name: str) -> Place:
        """Count one operation of the innermost call, and tell its place."""
        _, module, counts = self._frames[-1]
        counts[name] += 1
        return module, name, counts[name] - 1

    def __enter__(self) -> CallFrames:
        """Watch all module calls, through hooks that are not attached to the network."""
        del self._frames[1:]
        self._frames[0][2].clear()
        self.recurrent = 0
        self._handles = [
            register_module_forward_pre_hook(self._entered),
            register_module_forward_hook(self._left, with_kwargs=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
            # PyTorch forgets this entry when a hook with keyword arguments is removed, and then warns of hooks.
            getattr(nn.modules.module, "_global_forward_hooks_with_kwargs", {}).pop(handle.id, None)

    @contextmanager
    def inside_recurrent(self) -> Iterator[None]:
        """Take what runs in the block for a part of a recurrent module."""
        self.recurrent += 1
        try:
            yield
        finally:
            self.recurrent -= 1

    def _entered(self, module: nn.Module, _: Any) -> None:
        name = self._names.get(id(module), self.module)
        frame = (name, Counter[str]()) if id(module) in self._weighted else self._frames[-1][1:]
        self._frames.append((name, *frame))
        self.recurrent += is_recurrent(module)

    def _left(self, module: nn.Module, arguments: Any, keywords: Any, outputs: Any) -> None:
        name = self._frames.pop()[0]
        self.recurrent -= is_recurrent(module)
        if not self.recurrent:
            self._leave(module, name, (arguments, keywords), outputs)


class _Recorder(DispatchMode):
    """Gives every tensor version a number and notes which values depend on the network's inputs."""

    def __init__(self, model: nn.Module, inputs: Sequence[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.varying: set[int] = set()
        self._current: dict[int, Value] = {}
        self._storages: dict[int, list[Tensor]] = {}
        self._count = 0
        self.frames = CallFrames(model, self._leave)
        self.returned: dict[int, frozenset[str]] = {}
        for tensor in tensors_in(inputs):
            self.varying.add(self._assign(tensor).number)

    def _leave(self, module: nn.Module, name: str, inputs: Any, outputs: Any) -> None:
        """Note which module returned what; a recurrent one is noted as one operation."""
        if any(is_wrapped(tensor) for tensor in tensors_in((inputs, outputs))):
            return  # inside of vmap, where tensors have no storage; the operations themselves are seen all the same
        if is_recurrent(module):
            self._note_cell(module, name, inputs, outputs)
        for tensor in tensors_in(outputs):
            number = self.value_of(tensor).number
            self.returned[number] = self.returned.get(number, frozenset()) | {name}

    def _note_cell(self, module: nn.Module, name: str, inputs: Any, outputs: Any) -> None:
        with self.frames.inside_recurrent():
            cell = cell_of(module, name, inputs, outputs)
        values = tuple(self.value_of(tensor) for tensor in tensors_in(inputs))
        made = tuple(self._assign(tensor) for tensor in dict.fromkeys((*cell.states, *tensors_in(outputs))))
        self._note(None, Kind.RECURRENT, (), {}, values, made, place=(name, "state", 0), cell=cell)

    def _assign(self, tensor: Tensor) -> Value:
        value = Value(self._count, tensor)
        self._count += 1
        if id(tensor) not in self._current:
            self._storages.setdefault(tensor.untyped_storage().data_ptr(), []).append(tensor)
        self._current[id(tensor)] = value
        return value

    def value_of(self, tensor: Tensor) -> Value:
        return self._current.get(id(tensor)) or self._assign(tensor)

    def __torch_dispatch__(self, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.frames.recurrent:  # what goes on inside is noted as one operation, see `_note_cell`
            return overload(*args, **kwargs)
        arguments, keywords = tree_map(self._as_value, (args, kwargs))
        inputs = tuple(self.value_of(tensor) for tensor in tensors_in((args, kwargs)))
        written = [tensor for tensor in tensors_in(args)[:1] if overload._schema.is_mutable]
        result = overload(*args, **kwargs)
        outputs = tuple(self._assign(tensor) for tensor in tensors_in(result))
        place = self.frames.place(place_name(overload, args))
        self._note(overload, kind_of(overload, args), arguments, keywords, inputs, outputs, place=place)
        for tensor in written:
            self._mark_stale(tensor)
        return result

    def _as_value(self, leaf: Any) -> Any:
        return self.value_of(leaf) if isinstance(leaf, Tensor) else leaf

    def _note(
        self,
        overload: Any,
        kind: Kind,
        arguments: Any,
        keywords: Any,
        inputs: tuple[Value, ...],
        outputs: tuple[Value, ...],
        *,
        place: Place = ("", "", 0),
        stale: bool = False,
        cell: Cell | None = None,
    ) -> None:
        varying = any(value.number in self.varying for value in inputs)
        if varying:
            self.varying.update(value.number for value in outputs)
        self.operations.append(
            Operation(
                len(self.operations),
                overload,
                kind,
                tuple(arguments),
                keywords,
                inputs,
                outputs,
                self.frames.module,
                varying,
                stale,
                place=place,
                cell=cell,
            )
        )

    def _mark_stale(self, written: Tensor) -> None:
        """Other views of a tensor that was written in place now hold values nobody recorded."""
        others = [tensor for tensor in self._storages[written.untyped_storage().data_ptr()] if tensor is not written]
        for tensor in others:
            old = self.value_of(tensor)
            self._note(None, Kind.UNKNOWN, (), {}, (old, self.value_of(written)), (self._assign(tensor),), stale=True)


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a network on one tensor, a tuple of tensors (positional) or a mapping of tensors (by name).

    Raises `NetworkError` with the network's own words when it does not take these inputs.
    """
    try:
        if isinstance(inputs, Mapping):
            return model(**inputs)
        return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    except DormancyError:
        raise
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_in(inputs))
        reason = " ".join(str(error).split())[:300]
        raise NetworkError(f"the network does not take observations of shape {shapes}: {reason}") from error


def record(model: nn.Module, inputs: Any) -> Trace:
    """Run one undisturbed forward pass of `model` on `inputs` (see `call_model`) and write it down."""
    with undisturbed(model):
        recorder = _Recorder(model, inputs)
        with recorder.frames, recorder:
            outputs = call_model(model, inputs)
    results = frozenset(recorder.value_of(tensor).number for tensor in tensors_in(outputs))
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return Trace(tuple(recorder.operations), parameters, results, frozenset(recorder.varying), recorder.returned)


def uncompiled(model: nn.Module) -> nn.Module:
    """Return the network inside ``torch.compile(model)``, with which it shares its parameters."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.Module) else model
