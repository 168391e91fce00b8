"""Plain Python attributes of modules that a forward pass changes, put back after a look at the network."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

__all__ = ["attributes_kept"]

_OF_TORCH = frozenset(name for name in vars(nn.Module()) if name != "_buffers")
"""What `nn.Module` itself keeps in a module: parameters, submodules, hooks and modes. Forward passes leave it alone."""


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Put back what the block changes in buffers and attributes of the modules, and in Python's and NumPy's generators.

    Attributes that are new are deleted. Lists, dicts, sets, deques, arrays, tensors and random generators get their
    contents back, also inside each other. Objects of other classes, files and globals that `forward` changes are out
    of reach.
    """
    seen: set[int] = set()
    restore: list[Callable[[], object]] = [step for buffer in model.buffers() for step in _contents(buffer, seen)]
    for module in model.modules():
        if not isinstance(module, LazyModuleMixin):  # whose first pass decides its sizes
            own = {name: value for name, value in vars(module).items() if name not in _OF_TORCH}
            restore.append(partial(_restore_own, module, own))
            restore.extend(step for value in own.values() for step in _contents(value, seen))
    restore += [partial(random.setstate, random.getstate()), partial(np.random.set_state, np.random.get_state())]
    try:
        yield
    finally:
        for step in restore:
            step()


def _restore_own(module: nn.Module, own: dict[str, Any]) -> None:
    now = vars(module)
    for name in [name for name in now if name not in _OF_TORCH and name not in own]:
        del now[name]
    now.update(own)


def _contents(value: Any, seen: set[int]) -> Iterator[Callable[[], object]]:
    """Yield what gives a mutable value its present contents back."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        yield partial(_restore_tensor, value, value.detach().clone())
    elif isinstance(value, np.ndarray) and value.flags.writeable:
        yield partial(np.copyto, value, value.copy())
    elif isinstance(value, (list, deque, dict, set)):
        yield partial(_refill, value, value.copy())
    elif isinstance(value, torch.Generator):
        yield partial(value.set_state, value.get_state())
    elif isinstance(value, np.random.Generator):
        yield partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    elif isinstance(value, random.Random):
        yield partial(value.setstate, value.getstate())
    if isinstance(value, (list, deque, tuple, dict)):
        for each in tuple(value.values() if isinstance(value, dict) else value):
            yield from _contents(each, seen)


def _refill(container: Any, before: Any) -> None:
    container.clear()
    (container.update if isinstance(container, (dict, set)) else container.extend)(before)


def _restore_tensor(tensor: Tensor, before: Tensor) -> None:
    if tensor.shape != before.shape:
        tensor.data = before
    elif not torch.equal(tensor, before):
        tensor.copy_(before)
