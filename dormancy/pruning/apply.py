"""Carry a plan out on a copy: zero what is masked, take out what is cut, and keep the modules' own sizes true."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.errors import NetworkError, UsageError
from dormancy.pruning.plan import Cut, PrunePlan

__all__ = ["prune", "pruned_optimizer_state", "without"]


@torch.no_grad()
def prune(model: nn.Module, plan: PrunePlan) -> nn.Module:
    """Return a new network: `model` without the neurons of `plan`. `model` itself is not touched.

    Raises `UsageError` when the plan is of another network, `NetworkError` when the network cannot be copied.
    """
    pruned = _copied(model)
    tensors = {**dict(pruned.named_parameters()), **dict(pruned.named_buffers())}
    _check(plan, tensors)
    for edit in plan.edits:
        edit.write(tensors[edit.parameter])
    narrowed = {name: without(tensors[name], cuts) for name, cuts in _by_tensor(plan.cuts).items()}
    for name, tensor in narrowed.items():
        _replace(pruned, name, tensor)
    for home in dict.fromkeys(name.rpartition(".")[0] for name in narrowed):
        _resize(pruned.get_submodule(home))
    return pruned


def _copied(model: nn.Module) -> nn.Module:
    inner = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    try:
        return copy.deepcopy(inner)
    except (TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise NetworkError(f"the network cannot be copied, so it cannot be pruned: {reason}") from error


def _check(plan: PrunePlan, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a plan that does not fit, before anything is written."""
    for name, dim, index in (
        *((edit.parameter, edit.dim, edit.index) for edit in plan.edits),
        *((cut.tensor, cut.dim, cut.index) for cut in plan.cuts),
    ):
        if name not in tensors:
            raise UsageError(f"the plan is of another network: this one has no {name!r}; plan again")
        shape = tuple(tensors[name].shape)
        if dim >= len(shape) or (index.size and int(index[-1]) >= shape[dim]):
            raise UsageError(f"the plan is of another network: {name!r} is of shape {shape} here; plan again")


def _by_tensor(cuts: Iterable[Cut]) -> dict[str, list[Cut]]:
    found: dict[str, list[Cut]] = {}
    for cut in cuts:
        found.setdefault(cut.tensor, []).append(cut)
    return found


def without(tensor: Tensor, cuts: Iterable[Cut]) -> Tensor:
    """Return a tensor without the positions that `cuts` (of different dimensions) take out, as a new tensor."""
    for cut in cuts:
        kept = np.setdiff1d(np.arange(tensor.shape[cut.dim]), cut.index)
        tensor = tensor.index_select(cut.dim, torch.as_tensor(kept, device=tensor.device))
    return tensor


def _replace(model: nn.Module, name: str, tensor: Tensor) -> None:
    home, _, attribute = name.rpartition(".")
    module = model.get_submodule(home)
    if attribute in module._buffers:
        module._buffers[attribute] = tensor
        return
    old = module._parameters[attribute]
    assert old is not None, "a tensor of the plan is a parameter or a buffer"
    module._parameters[attribute] = nn.Parameter(tensor, requires_grad=old.requires_grad)


def _resize(module: nn.Module) -> None:
    """Make the sizes that a module of torch remembers those of its tensors."""
    for kinds, sizes in _SIZES.items():
        if isinstance(module, kinds):
            for attribute, size in sizes(module).items():
                setattr(module, attribute, size)


_SIZES: Mapping[tuple[type[nn.Module], ...], Callable[[Any], Mapping[str, int]]] = {
    (nn.Linear,): lambda module: {"out_features": module.weight.shape[0], "in_features": module.weight.shape[1]},
    (nn.Conv1d, nn.Conv2d, nn.Conv3d): lambda module: {
        "out_channels": module.weight.shape[0],
        "in_channels": module.weight.shape[1] * module.groups,
    },
    (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d): lambda module: {
        "out_channels": module.weight.shape[1] * module.groups,
        "in_channels": module.weight.shape[0],
    },
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d): lambda module: {
        "num_features": next(each for each in (module.running_mean, module.weight) if each is not None).shape[0]
    },
    (nn.PReLU,): lambda module: {"num_parameters": module.weight.shape[0]},
}


def pruned_optimizer_state(
    plan: PrunePlan, state: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, torch.Size]
) -> dict[str, dict[str, Any]]:
    """Return optimizer state by parameter name, pruned as its parameters are.

    What has the shape of its parameter (`shapes`, before pruning) is a number a weight: it is zeroed and cut likewise,
    so that no momentum moves a masked weight. Everything else (step counts) is kept.
    """
    cuts = _by_tensor(plan.cuts)
    return {
        name: {
            key: _pruned_moment(plan, name, cuts.get(name, []), value)
            if isinstance(value, Tensor) and value.dim() and value.shape == shapes.get(name)
            else value
            for key, value in entries.items()
        }
        for name, entries in state.items()
    }


def _pruned_moment(plan: PrunePlan, name: str, cuts: list[Cut], moment: Tensor) -> Tensor:
    moment = moment.detach().clone()
    for edit in plan.edits:
        if edit.parameter == name:
            edit.write(moment)
    return without(moment, cuts)
