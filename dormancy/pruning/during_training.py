"""The paper's pruning experiment: a neuron once found dormant stays off while training goes on (Figs 6, 19)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.arrays import BoolArray
from dormancy.edits.edit import Edit
from dormancy.edits.schedule import Loss, Period
from dormancy.edits.scores import Inputs, absolute_means, eagerly, given, normalised
from dormancy.errors import UsageError
from dormancy.graph import IntArray
from dormancy.graph.trace import uncompiled
from dormancy.metrics import FloatArray
from dormancy.pruning.plan import PrunePlan
from dormancy.pruning.planner import PrunePlanner
from dormancy.taus import checked_taus

__all__ = ["PruneDormant", "PruneReport"]

TRACED_ROWS = 2


@final
@dataclass(frozen=True, eq=False)
class PruneReport:
    """What was found at one gradient step: `new` neurons by layer (ascending), and the plan of all that are off now."""

    step: int
    tau: float
    new: Mapping[str, IntArray]
    plan: PrunePlan

    @property
    def pruned(self) -> int:
        """How many neurons are off now."""
        return self.plan.pruned

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form, for a log."""
        new = {name: neurons.tolist() for name, neurons in self.new.items()}
        return {"gradient_step": self.step, "tau": self.tau, "new": new, **self.plan.to_dict()}


@final
class PruneDormant:
    """Every `period` gradient steps, find the dormant neurons and prune them for good.

    ::

        pruner = PruneDormant(model, tau=0.0, period=20_000)
        for batch in training:
            ...                                   # one gradient step
            pruner.step(batch.observations)       # masks at every call, looks for more at every 20 000th

    A pruned neuron's outgoing weights are 0 and are set to 0 again after every gradient step; nobody reads it, so it
    learns nothing either. Scores (Eq. 1) are taken over the neurons that are left. The last neuron of a layer is never
    pruned. Layers where masking would not be exact are left alone, and every report says why. `layers` is a regular
    expression that layer names must contain a match of. No random numbers are used.

    The paper prunes "any neuron found dormant throughout training", for SAC every 200 000 environment steps; its tau
    and the period for DQN are not in its text (paper value unverified). Raises `UsageError` for options that cannot be.
    """

    def __init__(self, model: nn.Module, *, tau: float = 0.0, period: int = 1000, layers: str | None = None) -> None:
        (self.tau,) = checked_taus(tau)
        _check_pattern(layers)
        self.period = Period(period)
        self.steps = 0
        self._model = uncompiled(model)
        self._layers = layers
        self._planner: PrunePlanner | None = None
        self._off: dict[str, BoolArray] = {}
        self._restored: dict[str, list[int]] = {}
        self._writes: list[tuple[Edit, Tensor]] = []

    @property
    def off(self) -> Mapping[str, IntArray]:
        """The neurons that are off, ascending, by layer."""
        if self._planner is None:
            return {name: np.asarray(neurons, dtype=np.int64) for name, neurons in self._restored.items()}
        return {name: np.flatnonzero(mask) for name, mask in self._off.items()}

    def step(self, observations: Inputs | Callable[[], Inputs], loss: Loss | None = None) -> PruneReport | None:
        """Count one gradient step and keep pruned neurons off; every `period` steps, look for more on `observations`.

        `observations` is what the network takes, (batch, ...), or a function that returns it and is called only when
        needed. Call it after ``optimizer.step()``. `loss` is not looked at.
        """
        self.steps += 1
        due = self.period.due(self.steps)
        if self._planner is None and not due and not self._restored:
            return None
        inputs = self._inputs(observations) if due or self._planner is None else None
        self.enforce()
        return self._look(inputs) if due else None

    @torch.no_grad()
    def enforce(self) -> None:
        """Set the outgoing weights of every pruned neuron to 0, in place."""
        parameters = dict(self._model.named_parameters())
        for edit, index in self._writes:
            edit.within(parameters[edit.parameter]).index_fill_(edit.dim, index, 0.0)

    def _inputs(self, observations: Inputs | Callable[[], Inputs]) -> Inputs:
        """Return observations as tensors on the network's device; at first, trace it and take up a saved set."""
        inputs = given(observations, next(self._model.parameters()).device)
        if self._planner is None:
            with eagerly():
                self._planner = PrunePlanner(self._model, _few(inputs))
            self._off = {layer.name: np.zeros(layer.size, dtype=np.bool_) for layer in self._planner.graph}
            for name, neurons in self._restored.items():
                self._off[self._planner.graph[name].name][neurons] = True
            self._set(self._plan())
        return inputs

    def _look(self, inputs: Inputs) -> PruneReport:
        assert self._planner is not None, "the network was traced before"
        sizes = absolute_means(self._model, self._planner.graph, inputs)
        found = {name: self._found(sizes[name], off) for name, off in self._off.items() if self._may(name)}
        for name, mask in found.items():
            self._off[name] |= mask
        plan = self._plan()
        self._set(plan)
        self.enforce()
        new = {name: np.flatnonzero(mask) for name, mask in found.items()}
        return PruneReport(self.steps, self.tau, new, plan)

    def _found(self, sizes: FloatArray, off: BoolArray) -> BoolArray:
        """Return the neurons that are dormant among those left, all but the strongest where all are."""
        left = np.flatnonzero(~off)
        scores = normalised(sizes[left])
        dormant = scores <= self.tau
        if dormant.all():
            dormant[int(np.argmax(scores))] = False
        found = np.zeros(off.shape, dtype=np.bool_)
        found[left[dormant]] = True
        return found

    def _may(self, name: str) -> bool:
        """Whether a layer was asked for and can be masked exactly."""
        assert self._planner is not None, "the network was traced before"
        anatomy = self._planner.anatomy.layers.get(name)
        wanted = self._layers is None or re.search(self._layers, name) is not None
        return wanted and anatomy is not None and anatomy.inexact is None

    def _plan(self) -> PrunePlan:
        assert self._planner is not None, "the network was traced before"
        return self._planner.plan(self._off)

    def _set(self, plan: PrunePlan) -> None:
        device = next(self._model.parameters()).device
        self._writes = [(edit, torch.as_tensor(edit.index, device=device)) for edit in plan.edits]

    def state_dict(self) -> dict[str, Any]:
        """Return the step count and the set of neurons that are off; JSON-able."""
        return {"steps": self.steps, "off": {name: neurons.tolist() for name, neurons in self.off.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run; the neurons are off from the next call of `step` on."""
        self.steps = int(state["steps"])
        self._restored = {str(name): [int(each) for each in neurons] for name, neurons in state["off"].items()}
        self._planner, self._off, self._writes = None, {}, []


def _check_pattern(layers: str | None) -> None:
    try:
        re.compile(layers or "")
    except re.error as error:
        raise UsageError(f"{layers!r} is not a regular expression: {error}") from error


def _few(inputs: Inputs) -> Inputs:
    """Return the first rows: enough to trace a network with."""
    if isinstance(inputs, Mapping):
        return {name: each[:TRACED_ROWS] for name, each in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(each[:TRACED_ROWS] for each in inputs)
    return inputs[:TRACED_ROWS]
