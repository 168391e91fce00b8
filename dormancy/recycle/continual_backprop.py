"""Continual backprop: at every step, replace a tiny fraction of the neurons that are mature and useless.

Utilities and ages are an explicit memory (arXiv 2108.06325): u <- η u + (1-η) · mean|h_i| · Σ|w_out|, corrected for its
start at zero as u / (1 - η^age).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from torch import nn

from dormancy.arrays import BoolArray
from dormancy.edits.optimizer_state import OptimizerPolicy, Policy
from dormancy.edits.schedule import Loss, Period
from dormancy.edits.scores import Inputs, absolute_means, outgoing_sizes
from dormancy.errors import UsageError
from dormancy.graph import IntArray, NeuronGraph
from dormancy.graph.trace import uncompiled
from dormancy.metrics import FloatArray
from dormancy.recycle.initializers import drawer_for
from dormancy.recycle.plan import RecyclePlan
from dormancy.recycle.planner import Rewrite
from dormancy.recycle.recycler import RECYCLERS, RecycleReport
from dormancy.recycle.selection import least
from dormancy.recycle.workbench import Layers, Optimizers, Workbench, as_policy

__all__ = ["ContinualBackprop", "LayerMemory"]


@final
@dataclass(frozen=True, eq=False)
class LayerMemory:
    """What continual backprop remembers of one layer: running utilities and ages in steps, shape (neurons,) each.

    `owed` is the fraction of a neuron that is still to be replaced: a rate of 1e-4 replaces one of 100 mature neurons
    every 100 steps.
    """

    utilities: FloatArray
    ages: IntArray
    owed: float = 0.0

    @classmethod
    def empty(cls, size: int) -> LayerMemory:
        """A layer that was never looked at."""
        return cls(np.zeros(size), np.zeros(size, dtype=np.int64))

    def aged(self, contributions: FloatArray, decay: float) -> LayerMemory:
        """Take in one step's mean|h_i| · Σ|w_out|, shape (neurons,)."""
        return LayerMemory(decay * self.utilities + (1 - decay) * contributions, self.ages + 1, self.owed)

    def corrected(self, decay: float) -> FloatArray:
        """Return the utilities without the bias of their start at zero: the plain mean for a constant contribution.

        >>> LayerMemory.empty(1).aged(np.array([3.0]), 0.99).corrected(0.99).round(12).tolist()
        [3.0]
        """
        weight = 1 - decay ** self.ages.astype(np.float64)
        return np.divide(self.utilities, weight, out=np.zeros_like(self.utilities), where=weight > 0)

    def replaceable(self, decay: float, rate: float, maturity: int) -> tuple[BoolArray, LayerMemory]:
        """Choose the least useful mature neurons, as many as are owed by now, and book them as paid."""
        mature = self.ages > maturity
        owed = self.owed + rate * float(mature.sum())
        k = min(int(owed), int(mature.sum()))
        chosen = least(np.where(mature, self.corrected(decay), np.nan), k)
        return chosen, LayerMemory(self.utilities, self.ages, owed - k)

    def renewed(self, neurons: IntArray) -> LayerMemory:
        """Forget everything about these neurons."""
        utilities, ages = self.utilities.copy(), self.ages.copy()
        utilities[neurons], ages[neurons] = 0.0, 0
        return LayerMemory(utilities, ages, self.owed)


@RECYCLERS.register("continual-backprop")
@final
class ContinualBackprop:
    """Replace a fraction `rate` of the mature neurons a step, those of the lowest running utility.

    `maturity` is in steps of this recycler, `decay` is η, `period` is how many gradient steps lie between two looks at
    the network (each costs a forward pass; the original looks at every one). Other options are those of `ReDo`.
    `memory` maps layer names to what is remembered.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers = None,
        *,
        rate: float = 1e-4,
        maturity: int = 100,
        decay: float = 0.99,
        period: int = 1,
        start: int = 0,
        end: int | None = None,
        layers: Layers = None,
        optimizer_policy: OptimizerPolicy | Policy | None = None,
        fresh: Callable[[], nn.Module] | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 <= rate <= 1 or not 0 <= decay < 1 or maturity < 0:
            raise UsageError("continual backprop needs a rate within 0..1, a decay of 0 or more below 1, maturity >= 0")
        self.rate, self.maturity, self.decay = rate, maturity, decay
        self.period = Period(period, start, end)
        self.memory: dict[str, LayerMemory] = {}
        self.steps = 0
        drawer = drawer_for(uncompiled(model), fresh)
        policy = as_policy(optimizer_policy, OptimizerPolicy())
        self._bench = Workbench(model, optimizer, drawer=drawer, policy=policy, layers=layers, seed=seed)

    @property
    def graph(self) -> NeuronGraph:
        """The network's neurons; known after the first observations."""
        return self._bench.graph

    def step(self, observations: Inputs | Callable[[], Inputs], loss: Loss | None = None) -> RecycleReport | None:
        """Count one gradient step, update utilities and ages, and replace what is due; None when nothing was."""
        self.steps += 1
        if not self.period.due(self.steps):
            return None
        plan, self.memory = self._decide(observations)
        if not plan.recycled:
            return None
        self._bench.apply(plan)
        return RecycleReport(self.steps, plan)

    def plan(self, observations: Inputs | Callable[[], Inputs]) -> RecyclePlan:
        """Return what `step` would do now; neither the network nor the memory is changed."""
        return self._decide(observations)[0]

    def _decide(self, observations: Inputs | Callable[[], Inputs]) -> tuple[RecyclePlan, dict[str, LayerMemory]]:
        inputs = self._bench.inputs(observations)
        means = absolute_means(self._bench.model, self._bench.graph, inputs)
        parameters = dict(self._bench.model.named_parameters())
        memory, chosen = dict(self.memory), {}
        for layer in self._bench.recyclable():
            before = memory.get(layer.name, LayerMemory.empty(layer.size))
            grown = before.aged(means[layer.name] * outgoing_sizes(layer, parameters), self.decay)
            chosen[layer.name], memory[layer.name] = grown.replaceable(self.decay, self.rate, self.maturity)
        plan = self._bench.plan(chosen, Rewrite())
        return plan, {name: each.renewed(plan[name].neurons) for name, each in memory.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the memory, the schedule and the random numbers; JSON-able."""
        memory = {
            name: {"utilities": each.utilities.tolist(), "ages": each.ages.tolist(), "owed": each.owed}
            for name, each in self.memory.items()
        }
        return {"steps": self.steps, "memory": memory, **self._bench.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        self.steps = int(state["steps"])
        self.memory = {
            name: LayerMemory(np.asarray(each["utilities"]), np.asarray(each["ages"], dtype=np.int64), each["owed"])
            for name, each in state["memory"].items()
        }
        self._bench.load_state_dict(state)
