"""Resets of whole layers, and shrink-and-perturb: the rivals that do not look at single neurons.

`LayerReset`: Nikishin et al. 2022 (the last layer of DQN every 1e5 gradient steps, all of SAC every 2e5, as the paper
tuned it). `ShrinkAndPerturb`: Ash & Adams 2020, θ <- λ θ + (1-λ) · fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.edits.edit import Edit, Role
from dormancy.edits.optimizer_state import OptimizerPolicy, Policy
from dormancy.edits.schedule import Loss, Period
from dormancy.edits.scores import Inputs
from dormancy.errors import RewriteRefused, UsageError
from dormancy.graph import NeuronGraph
from dormancy.graph.trace import uncompiled
from dormancy.recycle.initializers import Drawer, drawer_for
from dormancy.recycle.plan import RecyclePlan
from dormancy.recycle.recycler import RECYCLERS, RecycleReport
from dormancy.recycle.workbench import Optimizers, Workbench, as_policy
from dormancy.registry import nearest

__all__ = ["LayerReset", "ShrinkAndPerturb", "WhichLayers", "last_weights"]

WhichLayers: TypeAlias = Literal["last", "all"] | int | Collection[str]
"""The output layers, all parameters, the last n layers of weights, or modules by name."""


def last_weights(graph: NeuronGraph, depth: int) -> set[str]:
    """Name the weights of the last `depth` layers: depth 1 is the output layers (both of a dueling network).

    Raises `RewriteRefused` where the graph does not know which weights read a penultimate layer.
    """
    for layer in graph:
        if layer.penultimate and not layer.readers:
            raise RewriteRefused(f"cannot tell the weights behind layer {layer.name!r}: {layer.obstacle}. Name them")
    producing = {producer.weight for layer in graph for producer in layer.producers}
    found = {reader.weight for layer in graph for reader in layer.readers} - producing
    for _ in range(depth - 1):
        behind = [layer for layer in graph if any(reader.weight in found for reader in layer.readers)]
        found |= {producer.weight for layer in behind for producer in layer.producers}
    return found


def _whole(name: str, fill: Tensor) -> Edit:
    """Rewrite all of a parameter, whatever its shape."""
    size = fill.shape[0] if fill.dim() else 1
    role: Role = "incoming" if fill.dim() >= 2 else "bias"
    return Edit(name, 0, np.arange(size, dtype=np.int64), fill, role)


def _trainable(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _drawable(names: Iterable[str], drawer: Drawer) -> list[str]:
    """Insist that every parameter can be drawn anew."""
    names = list(names)
    for name in names:
        reason = drawer.refusal(name)
        if reason is not None:
            raise RewriteRefused(f"cannot reset parameter {name!r}: {reason}")
    return names


def _of_modules(parameters: Iterable[str], modules: Collection[str]) -> list[str]:
    """Return the parameters directly in or below the named modules."""
    names = list(parameters)
    owners = sorted({".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 1)})
    for module in modules:
        if module not in owners:
            raise UsageError(f"unknown module {module!r}{nearest(module, owners)}; modules: {', '.join(owners)}")
    return [name for name in names if any(name.startswith(f"{module}.") for module in modules)]


@RECYCLERS.register("reset")
@final
class LayerReset:
    """Every `period` gradient steps, re-initialise whole layers from the network's own initialiser.

    `which` is "last" (the output layers), "all", the number of last layers of weights, or module names. Frozen
    parameters stay. Buffers such as the statistics of BatchNorm are left alone. By default the optimizer forgets the
    layers altogether ("moments+step"), as if they had just been added; `semantics` of other code keep the step count.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers = None,
        *,
        which: WhichLayers = "last",
        period: int = 100_000,
        start: int = 0,
        end: int | None = None,
        optimizer_policy: OptimizerPolicy | Policy | None = None,
        fresh: Callable[[], nn.Module] | None = None,
        seed: int = 0,
    ) -> None:
        if isinstance(which, int) and which < 1:
            raise UsageError(f"the number of layers to reset must be at least 1, not {which}")
        if isinstance(which, str) and which not in ("last", "all"):
            raise UsageError(f"layers to reset must be 'last', 'all', a number or module names, not {which!r}")
        self.which = which
        self.period = Period(period, start, end)
        self.steps = 0
        self._drawer = drawer_for(uncompiled(model), fresh)
        policy = as_policy(optimizer_policy, OptimizerPolicy("moments+step"))
        self._bench = Workbench(model, optimizer, drawer=self._drawer, policy=policy, seed=seed)

    def step(self, observations: Inputs | Callable[[], Inputs], loss: Loss | None = None) -> RecycleReport | None:
        """Count one gradient step; every `period` of them, reset. Observations only serve to find the last layers."""
        self.steps += 1
        if not self.period.due(self.steps):
            return None
        plan = self.plan(observations)
        self._bench.apply(plan)
        return RecycleReport(self.steps, plan)

    def plan(self, observations: Inputs | Callable[[], Inputs]) -> RecyclePlan:
        """Return what `step` would do now if it were its turn; nothing is changed."""
        names = _drawable(self._names(observations), self._drawer)
        fresh = self._drawer.draw(names, self._bench.next_seed())
        return RecyclePlan((), tuple(_whole(name, fresh[name]) for name in names), _sources(names, self._drawer))

    def _names(self, observations: Inputs | Callable[[], Inputs]) -> list[str]:
        trainable = _trainable(self._bench.model)
        if self.which == "all":
            return list(trainable)
        if isinstance(self.which, int) or self.which == "last":
            self._bench.inputs(observations)
            weights = last_weights(self._bench.graph, 1 if self.which == "last" else int(self.which))
            owners = {weight.rpartition(".")[0] for weight in weights}
            return [name for name in trainable if name in weights or name.rpartition(".")[0] in owners - {""}]
        return _of_modules(trainable, [self.which] if isinstance(self.which, str) else self.which)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule and of the random numbers; JSON-able."""
        return {"steps": self.steps, **self._bench.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        self.steps = int(state["steps"])
        self._bench.load_state_dict(state)


def _sources(names: Iterable[str], drawer: Drawer) -> dict[str, str]:
    return {name: drawer.source(name) for name in names}


@RECYCLERS.register("shrink-and-perturb")
@final
class ShrinkAndPerturb:
    """Every `period` gradient steps, θ <- shrink · θ + (1 - shrink) · fresh, for all trainable parameters or `modules`.

    `fresh` values come from the network's own initialiser. Optimizer state is kept by default ("none"), since every
    weight stays partly what it was.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers = None,
        *,
        shrink: float = 0.8,
        modules: Collection[str] | None = None,
        period: int = 1000,
        start: int = 0,
        end: int | None = None,
        optimizer_policy: OptimizerPolicy | Policy | None = None,
        fresh: Callable[[], nn.Module] | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 <= shrink <= 1:
            raise UsageError(f"shrink must lie within 0..1, not {shrink}")
        self.shrink, self.modules = shrink, modules
        self.period = Period(period, start, end)
        self.steps = 0
        self._drawer = drawer_for(uncompiled(model), fresh)
        policy = as_policy(optimizer_policy, OptimizerPolicy("none"))
        self._bench = Workbench(model, optimizer, drawer=self._drawer, policy=policy, seed=seed)

    def step(self, observations: object = None, loss: Loss | None = None) -> RecycleReport | None:
        """Count one gradient step; every `period` of them, shrink and perturb. Observations are not looked at."""
        self.steps += 1
        if not self.period.due(self.steps):
            return None
        plan = self.plan()
        self._bench.apply(plan)
        return RecycleReport(self.steps, plan)

    @torch.no_grad()
    def plan(self, observations: object = None) -> RecyclePlan:
        """Return what `step` would do now if it were its turn; nothing is changed."""
        trainable = _trainable(self._bench.model)
        names = list(trainable) if self.modules is None else _of_modules(trainable, self.modules)
        fresh = self._drawer.draw(_drawable(names, self._drawer), self._bench.next_seed())
        mixed = {name: torch.lerp(fresh[name].to(trainable[name]), trainable[name], self.shrink) for name in names}
        return RecyclePlan((), tuple(_whole(name, mixed[name]) for name in names), _sources(names, self._drawer))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule and of the random numbers; JSON-able."""
        return {"steps": self.steps, **self._bench.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        self.steps = int(state["steps"])
        self._bench.load_state_dict(state)
