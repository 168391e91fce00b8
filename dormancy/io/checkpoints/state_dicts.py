"""Finding the parameters of one network in what a file holds: nested, wrapped, compiled, one of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from dormancy.errors import FormatError, InputError, KeyNeeded
from dormancy.io.checkpoints.checkpoint import Assumption
from dormancy.io.safety.pickle_modules import Stub
from dormancy.registry import nearest
from dormancy.text.escape import printable

__all__ = ["beside_parameters", "choose", "once", "state_dicts", "unwrapped"]

Parameters = dict[str, Tensor]

_DEEPEST = 4
_MOST_SHOWN = 8
_OF_TENSORS = ("torch._utils", "torch._tensor", "torch.nested", "torch.ops")
_WRAPPERS = {"_orig_mod.": "torch.compile", "module.": "DataParallel"}


def state_dicts(content: Any) -> dict[str, Parameters]:
    """Return every state_dict in the content of a file by its path ("model", "agent/actor", "0"); "" is the whole file.

    A state_dict is a dict of named tensors, one of them at least a matrix of two numbers (d3rlpy keeps a temperature as
    one of one). Entries of another kind (``_optimizers``,
    ``_extra_state``) are skipped where a matrix is called ``weight``; see `beside_parameters`. The state of optimizers
    is passed over.
    """
    return dict(_found(content, ()))


def _found(item: Any, where: tuple[str, ...]) -> Iterator[tuple[str, Parameters]]:
    if _is_state_dict(item):
        yield "/".join(where), {name: value for name, value in item.items() if isinstance(value, Tensor)}
    elif len(where) < _DEEPEST and not _is_optimizer(item):
        parts = item.items() if isinstance(item, Mapping) else enumerate(item) if isinstance(item, list | tuple) else ()
        for key, part in parts:
            yield from _found(part, (*where, str(key)))


def _is_state_dict(item: Any) -> bool:
    if not isinstance(item, Mapping) or not item:
        return False
    matrices = [
        key for key, value in item.items() if isinstance(value, Tensor) and value.dim() >= 2 and value.numel() > 1
    ]
    if not matrices or not all(isinstance(key, str) for key in item):
        return False
    others = [value for value in item.values() if not isinstance(value, Tensor)]
    if any(isinstance(value, Stub) and value.name.startswith(_OF_TENSORS) for value in others):
        return False  # a tensor of a kind that is not read: the network would miss it
    return not others or (
        any(key.rpartition(".")[2] == "weight" for key in matrices) and not any(map(_holds_weights, others))
    )


def _holds_weights(item: Any) -> bool:
    """Whether a state_dict, of anything but an optimizer, lies somewhere inside."""
    if _is_optimizer(item):
        return False
    parts = item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else ()
    names = item if isinstance(item, Mapping) else ()
    weights = [item[name] for name in names if str(name).rpartition(".")[2] == "weight"]
    return any(isinstance(value, Tensor) and value.dim() >= 2 for value in weights) or any(map(_holds_weights, parts))


def beside_parameters(content: Any) -> tuple[Assumption, ...]:
    """Return what lies beside the tensors of a file and is not read: objects by name, odd entries of state_dicts."""
    found = list(_beside(content, ()))
    shown = ", ".join([*found[:_MOST_SHOWN], *(["..."] if len(found) > _MOST_SHOWN else [])])
    return (Assumption("not read, beside the parameters", printable(shown, 400), "file: not run"),) if found else ()


def _beside(item: Any, where: tuple[str, ...]) -> Iterator[str]:
    path = "/".join(where)
    if isinstance(item, Stub):
        yield f"{path} ({item.name})" if path else item.name
    elif _is_state_dict(item):
        for name, value in item.items():
            if not isinstance(value, Tensor):
                kind = value.name if isinstance(value, Stub) else type(value).__name__
                yield f"{'/'.join((*where, name))} ({kind})"
    elif isinstance(item, Mapping | list | tuple) and len(where) < _DEEPEST:
        for key, part in item.items() if isinstance(item, Mapping) else enumerate(item):
            yield from _beside(part, (*where, str(key)))


def _is_optimizer(item: Any) -> bool:
    return isinstance(item, Mapping) and "param_groups" in item


def choose(found: Mapping[str, Parameters], key: str | None, file: str) -> tuple[Parameters, tuple[Assumption, ...]]:
    """Return the parameters that `key` names: a path in the file, a beginning of parameter names, or both.

    Both are joined by "/" or by ".": ``agent/critic.q1`` and ``agent.critic.q1`` are the same.

    Without a key, the only state_dict is taken. Raises `KeyNeeded` that lists the keys there are.
    """
    if not found:
        raise FormatError(f"{file}: holds no state_dict; save one with torch.save(model.state_dict(), file)")
    if key is None:
        return _only(found, file)
    path = key.replace(".", "/") if key.replace(".", "/") in found else key
    if path in found:
        return dict(found[path]), (Assumption("network", printable(path or "whole file", 80), "flag: --key"),)
    parts = [
        (path, inside)
        for path, parameters in found.items()
        if (inside := _below(parameters, _without_path(key, path)))
        and (len(found) == 1 or _without_path(key, path) != key)
    ]
    parts = parts or [(path, inside) for path, parameters in found.items() if (inside := _below(parameters, key))]
    if len(parts) == 1:
        path, inside = parts[0]
        name = "/".join(filter(None, (path, _without_path(key, path))))
        return inside, (Assumption("network", printable(name, 80), "flag: --key"),)
    keys = [f"{path}/{key}" for path, _ in parts] or [
        *found,
        *(
            f"{path}/{name}" if path and len(found) > 1 else name
            for path, parameters in found.items()
            for name in _beginnings(parameters)
        ),
    ]
    raise KeyNeeded(f"{file}: no network '{printable(key, 60)}'{nearest(key, keys)}; --key takes {_listed(keys)}")


def _only(found: Mapping[str, Parameters], file: str) -> tuple[Parameters, tuple[Assumption, ...]]:
    if len(found) > 1:
        raise KeyNeeded(f"{file}: holds {len(found)} networks; choose one with --key: {_listed(list(found))}")
    ((path, parameters),) = found.items()
    return dict(parameters), (Assumption("network", printable(path, 80), "file"),) if path else ()


def _without_path(key: str, path: str) -> str:
    """Return what a key says below the path of a state_dict, whose parts it joins by "/" or by "."."""
    spelled = key.replace("/", ".")
    start = path.replace("/", ".") + "."
    return key[len(start) :] if path and spelled.startswith(start) else key


def _below(parameters: Parameters, beginning: str) -> Parameters:
    start = beginning.rstrip(".") + "."
    return {name.removeprefix(start): tensor for name, tensor in parameters.items() if name.startswith(start)}


def _beginnings(parameters: Parameters) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in parameters if name.count(".") > 1))


def _listed(keys: list[str]) -> str:
    named = [f"'{printable(key, 80)}'" for key in dict.fromkeys(keys) if key]
    return ", ".join(named[:_MOST_SHOWN] + ["..."] * (len(named) > _MOST_SHOWN)) or "nothing here"


def unwrapped(parameters: Parameters, file: str) -> tuple[Parameters, tuple[Assumption, ...]]:
    """Take off what torch.compile (`_orig_mod.`, anywhere) and DataParallel (`module.`, in front of all) add to names.

    Raises `InputError` when two parameters would get one name.
    """
    taken = []
    for wrapper, origin in _WRAPPERS.items():
        anywhere = wrapper == "_orig_mod."
        names = {name: _without(name, wrapper, anywhere=anywhere) for name in parameters}
        if (any if anywhere else all)(name != bare for name, bare in names.items()):
            parameters = {bare: parameters[name] for name, bare in _distinct(names, file).items()}
            taken.append(Assumption("prefix taken off", wrapper, f"file: {origin}"))
    return parameters, tuple(taken)


def _without(name: str, wrapper: str, *, anywhere: bool) -> str:
    bare = name.removeprefix(wrapper)
    return bare.replace(f".{wrapper}", ".") if anywhere else bare


def _distinct(names: dict[str, str], file: str) -> dict[str, str]:
    if len(set(names.values())) != len(names):
        raise InputError(f"{file}: two of its parameters have one name behind a wrapper's prefix; save it unwrapped")
    return names


def once(parameters: Parameters) -> tuple[Parameters, tuple[Assumption, ...]]:
    """Keep the first of the names that one tensor has: a shared feature extractor is one, however often listed."""
    kept: dict[tuple[Any, ...], str] = {}
    twice = []
    for name, tensor in parameters.items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
        if tensor.numel() and kept.setdefault(place, name) != name:
            twice.append(name)
    if not twice:
        return parameters, ()
    rest = {name: tensor for name, tensor in parameters.items() if name not in twice}
    return rest, (Assumption("shared parameters counted once", str(len(twice)), "file"),)
