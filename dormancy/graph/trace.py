"""One forward pass, written down: every tensor operation with the values it read and wrote.

Module hooks would miss functional nonlinearities and symbolic tracing fails on many policies; the dispatcher sees all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from dormancy.errors import NetworkError
from dormancy.graph.ops import Kind, activation_name, kind_of, operation_name, tensors_in

__all__ = [
    "DispatchMode",
    "Operation",
    "Trace",
    "Value",
    "call_model",
    "counted_calls",
    "full_precision",
    "record",
    "uncompiled",
    "undisturbed",
]


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

    @property
    def name(self) -> str:
        """The operation's name without its in-place underscore ("add")."""
        return "write through a view" if self.stale else operation_name(self.overload)

    @property
    def activation(self) -> str | None:
        """The name of the nonlinearity, if it is one; see `dormancy.graph.regions`."""
        return self.named or self.built_in

    @property
    def built_in(self) -> str | None:
        """The name of the nonlinearity that the operation itself is, whatever it serves."""
        return None if self.stale else activation_name(self.overload.overloadpacket, self.arguments)


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
        if not operation.stale:
            counter = None if operation.built_in else operation.name
            yield operation, (counter, counts[counter])
            counts[counter] += 1


class DispatchMode(TorchDispatchMode):
    """A dispatch mode that is not wrapped for the compiler: the wrapper imports it, which takes seconds."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Recorder(DispatchMode):
    """Gives every tensor version a number and notes which values depend on the network's inputs."""

    def __init__(self, model: nn.Module, inputs: Sequence[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.varying: set[int] = set()
        self._current: dict[int, Value] = {}
        self._storages: dict[int, list[Tensor]] = {}
        self._count = 0
        self.stack: list[str] = [""]
        self.returned: dict[int, frozenset[str]] = {}
        self.names = {id(module): name for name, module in model.named_modules()}
        for tensor in tensors_in(inputs):
            self.varying.add(self._assign(tensor).number)

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
        arguments, keywords = tree_map(self._as_value, (args, kwargs))
        inputs = tuple(self.value_of(tensor) for tensor in tensors_in((args, kwargs)))
        written = [tensor for tensor in tensors_in(args)[:1] if overload._schema.is_mutable]
        result = overload(*args, **kwargs)
        outputs = tuple(self._assign(tensor) for tensor in tensors_in(result))
        self._note(overload, kind_of(overload, args), arguments, keywords, inputs, outputs)
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
        stale: bool = False,
    ) -> None:
        varying = any(value.number in self.varying for value in inputs)
        if varying:
            self.varying.update(value.number for value in outputs)
        index = len(self.operations)
        self.operations.append(
            Operation(
                index, overload, kind, tuple(arguments), keywords, inputs, outputs, self.stack[-1], varying, stale
            )
        )

    def _mark_stale(self, written: Tensor) -> None:
        """Other views of a tensor that was written in place now hold values nobody recorded."""
        others = [tensor for tensor in self._storages[written.untyped_storage().data_ptr()] if tensor is not written]
        for tensor in others:
            old = self.value_of(tensor)
            self._note(None, Kind.UNKNOWN, (), {}, (old, self.value_of(written)), (self._assign(tensor),), stale=True)


@contextmanager
def _module_names(recorder: _Recorder) -> Iterator[None]:
    """Keep the recorder's stack of module names, through hooks that are not attached to the network."""

    def enter(module: nn.Module, _: Any) -> None:
        recorder.stack.append(recorder.names.get(id(module), recorder.stack[-1]))

    def leave(module: nn.Module, _: Any, outputs: Any) -> None:
        name = recorder.stack.pop()
        for tensor in tensors_in(outputs):
            number = recorder.value_of(tensor).number
            recorder.returned[number] = recorder.returned.get(number, frozenset()) | {name}

    handles = register_module_forward_pre_hook(enter), register_module_forward_hook(leave)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute products and convolutions of float32 numbers in float32 on GPUs, too, for the time of the block."""
    backends: Any = torch.backends  # whose types do not know of precisions
    kinds = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Look at a network and leave no trace: evaluation mode, no gradients, no random numbers used, buffers restored.

    On a GPU, in full float32: by default PyTorch lets cuDNN round what a convolution reads to 10 bits (TF32).
    """
    modes = {module: module.training for module in model.modules()}
    buffers = {buffer: buffer.detach().clone() for buffer in model.buffers()}
    devices = {tensor.device for tensor in model.parameters() if tensor.device.type == "cuda"}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    precise = full_precision() if devices else nullcontext()
    with torch.random.fork_rng(devices=list(devices)), torch.no_grad(), precise:
        model.eval()
        torch.backends.mha.set_fastpath_enabled(False)  # a fused kernel would hide the layers inside
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for module, mode in modes.items():
                module.training = mode
            for buffer, before in buffers.items():
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a network on one tensor, a tuple of tensors (positional) or a mapping of tensors (by name).

    Raises `NetworkError` with the network's own words when it does not take these inputs.
    """
    try:
        if isinstance(inputs, Mapping):
            return model(**inputs)
        return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_in(inputs))
        reason = " ".join(str(error).split())[:300]
        raise NetworkError(f"the network does not take observations of shape {shapes}: {reason}") from error


def record(model: nn.Module, inputs: Any) -> Trace:
    """Run one undisturbed forward pass of `model` on `inputs` (see `call_model`) and write it down."""
    with undisturbed(model):
        recorder = _Recorder(model, inputs)
        with _module_names(recorder), recorder:
            outputs = call_model(model, inputs)
    results = frozenset(recorder.value_of(tensor).number for tensor in tensors_in(outputs))
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return Trace(tuple(recorder.operations), parameters, results, frozenset(recorder.varying), recorder.returned)


def uncompiled(model: nn.Module) -> nn.Module:
    """Return the network inside ``torch.compile(model)``, with which it shares its parameters."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.Module) else model
