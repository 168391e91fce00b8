"""From the inert description of a network to its modules: class names, settings, tensors by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from dormancy.io.safety.pickle_modules import Stub
from dormancy.io.safety.pickle_tensors import Global, TensorRecord

__all__ = ["ModuleNode", "class_names", "find_modules"]

_DEEPEST = 6


@final
@dataclass(frozen=True)
class ModuleNode:
    """A module: the dotted name of its class, its plain attributes, its own tensors and its children, in order.

    `tensors` are what its state_dict has: parameters, and buffers that are saved. `plain` says that nothing is attached
    to it that changes its forward pass.
    """

    kind: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, TensorRecord]
    children: Mapping[str, ModuleNode]
    plain: bool

    def walk(self, prefix: str = "") -> Iterator[tuple[str, ModuleNode]]:
        """Return this module and all below it by their dotted names."""
        yield prefix, self
        for name, child in self.children.items():
            yield from child.walk(f"{prefix}.{name}" if prefix else name)

    def state_dict(self) -> dict[str, TensorRecord]:
        """Return all tensors by their dotted names, as the module's own ``state_dict`` would."""
        return {
            f"{prefix}.{name}" if prefix else name: tensor
            for prefix, module in self.walk()
            for name, tensor in module.tensors.items()
        }


def find_modules(content: Any) -> dict[str, ModuleNode]:
    """Return the outermost modules in what a file holds by their path ("agent/actor"); "" is the whole file.

    Attributes of objects that are no modules are looked through: an agent holds its networks.
    """
    return dict(_found(content, ()))


def _found(item: Any, where: tuple[str, ...]) -> Iterator[tuple[str, ModuleNode]]:
    if isinstance(item, Stub) and {"_parameters", "_modules"} <= set(item.attributes):
        yield "/".join(where), _node(item)
        return
    parts: Mapping[Any, Any] = item.attributes if isinstance(item, Stub) else item if isinstance(item, dict) else {}
    if type(item) in (list, tuple):
        parts = dict(enumerate(item))
    if len(where) < _DEEPEST:
        for key, part in parts.items():
            yield from _found(part, (*where, str(key)))


def _node(stub: Stub) -> ModuleNode:
    state = stub.attributes
    children = {str(name): child for name, child in _dict(state, "_modules").items() if isinstance(child, Stub)}
    return ModuleNode(
        kind=stub.name,
        settings={name: value for name, value in state.items() if not name.startswith("_") and _plain(value)},
        tensors=_tensors(state),
        children={name: _node(child) for name, child in children.items()},
        plain="forward" not in state and not any(_dict(state, hooks) for hooks in _HOOKS),
    )


_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def _dict(state: Mapping[str, Any], name: str) -> Mapping[Any, Any]:
    found = state.get(name)
    return found if isinstance(found, dict) else {}


def _tensors(state: Mapping[str, Any]) -> dict[str, TensorRecord]:
    both = {**_dict(state, "_parameters"), **_dict(state, "_buffers")}
    passing = _names_in(state.get("_non_persistent_buffers_set"))
    return {
        str(name): tensor for name, tensor in both.items() if isinstance(tensor, TensorRecord) and name not in passing
    }


def _names_in(stub: Any) -> set[Any]:
    """Return the names in a set, which a pickle makes from a list."""
    items = stub.arguments[0] if isinstance(stub, Stub) and stub.arguments else ()
    return {item for item in items if type(item) is str} if type(items) in (list, tuple) else set()


def _plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(type(part) is int for part in value)
    return value is None or type(value) in (bool, int, float, str)


def class_names(content: Any) -> Iterator[str]:
    """Return the names of classes and functions outside torch that a file speaks of; none of them was looked up."""
    pending, seen = [content], set()
    while pending:
        item = pending.pop()
        if isinstance(item, Global):
            yield item.name.replace(" ", ".")
        elif isinstance(item, Stub) and id(item) not in seen:
            seen.add(id(item))
            yield item.name
            pending.extend((item.arguments, item.state))
        elif isinstance(item, (dict, list, tuple)):
            pending.extend(item.values() if isinstance(item, dict) else item)
