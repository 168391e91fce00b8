"""What every recycler needs: a network with its neurons, its optimizers, fresh values and a private stream of seeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import nn

from dormancy.arrays import BoolArray
from dormancy.edits.optimizer_state import OptimizerPolicy, Policy, as_optimizers
from dormancy.edits.scores import Inputs, eagerly, given
from dormancy.errors import RewriteRefused, UsageError
from dormancy.graph import NeuronGraph, NeuronLayer, trace_neurons
from dormancy.graph.trace import uncompiled
from dormancy.recycle.initializers import Drawer
from dormancy.recycle.plan import RecyclePlan, apply_plan
from dormancy.recycle.planner import Planner, Rewrite

__all__ = ["Layers", "Optimizers", "Workbench", "as_policy"]

Optimizers = torch.optim.Optimizer | Collection[torch.optim.Optimizer] | None
Layers = str | Collection[str] | None
"""Which layers: a regular expression that is searched for in their names, their names, or None for all."""

TRACED_ROWS = 2


def as_policy(policy: OptimizerPolicy | Policy | None, default: OptimizerPolicy) -> OptimizerPolicy:
    """Accept a whole policy, or only what is to be forgotten."""
    if policy is None:
        return default
    return policy if isinstance(policy, OptimizerPolicy) else OptimizerPolicy(policy, default.roles, default.moments)


def _few(inputs: Inputs) -> Inputs:
    """Return the first rows: enough to trace a network with."""
    if isinstance(inputs, Mapping):
        return {name: each[:TRACED_ROWS] for name, each in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(each[:TRACED_ROWS] for each in inputs)
    return inputs[:TRACED_ROWS]


@final
class Workbench:
    """A network that is being recycled, and all that it takes; recyclers decide, and this carries out.

    The neurons are traced once, at the first look. `events` counts the plans applied: together with `seed` it fixes the
    random numbers of the next plan, so that planning twice plans the same and a resumed run goes on as before.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers,
        *,
        drawer: Drawer,
        policy: OptimizerPolicy,
        layers: Layers = None,
        seed: int = 0,
    ) -> None:
        if seed < 0:
            raise UsageError(f"the seed of a recycler must be 0 or more, not {seed}")
        self.model = uncompiled(model)
        self.optimizers = as_optimizers(optimizer)
        self.policy = policy
        self.seed = seed
        self.events = 0
        self._drawer = drawer
        self._layers = layers
        self._planner: Planner | None = None

    def inputs(self, observations: Inputs | Callable[[], Inputs]) -> Inputs:
        """Return observations as tensors on the network's device, and trace the neurons if nobody has yet."""
        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        inputs = given(observations, device)
        if self._planner is None:
            with eagerly():
                graph = trace_neurons(self.model, _few(inputs))
            self._planner = Planner(graph, self.model, self._drawer)
            self._check_layers()
        return inputs

    @property
    def planner(self) -> Planner:
        """The planner of the traced network; there is none before the first observations."""
        if self._planner is None:
            raise UsageError("the network's neurons are not known before the first observations")
        return self._planner

    @property
    def graph(self) -> NeuronGraph:
        """The neurons of the network."""
        return self.planner.graph

    def _check_layers(self) -> None:
        """A layer that was asked for by name must exist, and must not be one that cannot be recycled."""
        if self._layers is None:
            return
        if isinstance(self._layers, str):
            names = [layer.name for layer in self.graph]
            if not any(self._wanted(name) for name in names):
                self._planner = None
                raise UsageError(f"no layer matches {self._layers!r}; layers: {', '.join(names)}")
            return
        for name in self._layers:
            reason = self.planner.refusals.get(self.graph[name].name)
            if reason is not None:
                self._planner = None
                raise RewriteRefused(
                    f"cannot rewrite neurons of layer {name!r}: {reason}. Scoring works; leave it out of recycling"
                )

    def recyclable(self) -> list[NeuronLayer]:
        """List the layers that may be recycled and were asked for."""
        return [layer for layer in self.graph if layer.name not in self.planner.refusals and self._wanted(layer.name)]

    def _wanted(self, name: str) -> bool:
        if self._layers is None:
            return True
        return bool(re.search(self._layers, name)) if isinstance(self._layers, str) else name in self._layers

    def draw(self) -> np.random.Generator:
        """Return random numbers for choosing neurons at the next event."""
        return np.random.default_rng([self.seed, self.events, 1])

    def plan(self, chosen: Mapping[str, BoolArray], rewrite: Rewrite) -> RecyclePlan:
        """Plan to recycle the chosen neurons; nothing is changed."""
        return self.planner.plan(chosen, rewrite, self.next_seed())

    def next_seed(self) -> int:
        """Return the seed of the next event's fresh weights."""
        return int(np.random.SeedSequence([self.seed, self.events, 0]).generate_state(1)[0])

    def apply(self, plan: RecyclePlan) -> None:
        """Carry a plan out."""
        apply_plan(plan, self.model, self.optimizers, self.policy)
        self.events += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what the next event's random numbers depend on."""
        return {"seed": self.seed, "events": self.events}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state."""
        self.seed, self.events = int(state["seed"]), int(state["events"])
