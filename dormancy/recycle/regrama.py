"""ReGraMa: recycle neurons that no gradient reaches, for networks in which inactive neurons are not silent ones.

The score is GraMa, G_i = E|∂L/∂h_i| / mean_k E|∂L/∂h_k| over the neurons of a layer (arXiv 2505.24061); h is the value
after the nonlinearity, and a convolution channel is one neuron. Outgoing weights are kept: with outgoing weights of
zero a neuron gets no gradient and would be recycled for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from torch import nn

from dormancy.edits.optimizer_state import OptimizerPolicy, Policy
from dormancy.edits.schedule import Loss, Period
from dormancy.edits.scores import Inputs, eagerly
from dormancy.errors import UsageError
from dormancy.graph.trace import uncompiled
from dormancy.metrics import FloatArray
from dormancy.metrics.dormant import normalised_scores
from dormancy.probing.gradients import gradient_sizes
from dormancy.recycle.initializers import drawer_for
from dormancy.recycle.plan import RecyclePlan
from dormancy.recycle.planner import Incoming, Outgoing, Rewrite
from dormancy.recycle.recycler import RECYCLERS, RecycleReport
from dormancy.recycle.selection import Threshold
from dormancy.recycle.workbench import Layers, Optimizers, Workbench, as_policy

__all__ = ["ReGraMa"]


@RECYCLERS.register("regrama")
@final
class ReGraMa:
    """Every `period` gradient steps, give fresh incoming weights to each neuron whose GraMa is at most `tau`.

    `step` needs the `loss`: a function of the network's output on these observations. Options are those of `ReDo`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers = None,
        *,
        tau: float = 0.01,
        period: int = 1000,
        start: int = 0,
        end: int | None = None,
        incoming: Incoming = "random",
        outgoing: Outgoing = "keep",
        layers: Layers = None,
        optimizer_policy: OptimizerPolicy | Policy | None = None,
        fresh: Callable[[], nn.Module] | None = None,
        seed: int = 0,
    ) -> None:
        self.threshold = Threshold(tau)
        self.period = Period(period, start, end)
        self.rewrite = Rewrite(incoming, outgoing)
        self.steps = 0
        drawer = drawer_for(uncompiled(model), fresh)
        policy = as_policy(optimizer_policy, OptimizerPolicy())
        self._bench = Workbench(model, optimizer, drawer=drawer, policy=policy, layers=layers, seed=seed)

    def step(self, observations: Inputs | Callable[[], Inputs], loss: Loss | None = None) -> RecycleReport | None:
        """Count one gradient step; every `period` of them, recycle by the gradient of `loss` on `observations`."""
        self.steps += 1
        if not self.period.due(self.steps):
            return None
        plan = self.plan(observations, loss)
        self._bench.apply(plan)
        return RecycleReport(self.steps, plan, self.threshold.tau)

    def plan(self, observations: Inputs | Callable[[], Inputs], loss: Loss | None) -> RecyclePlan:
        """Return what `step` would do now if it were its turn; nothing is changed."""
        if loss is None:
            raise UsageError("ReGraMa looks at gradients: give step() the loss, a function of the network's output")
        scores, draw = self._scores(self._bench.inputs(observations), loss), self._bench.draw()
        chosen = {name: self.threshold.choose(each, self.steps, draw) for name, each in scores.items()}
        return self._bench.plan(chosen, self.rewrite)

    def _scores(self, inputs: Inputs, loss: Loss) -> dict[str, FloatArray]:
        """Score the neurons of every layer that may be recycled; the scale of the loss does not matter."""
        with eagerly():
            batches = [(inputs, None)]
            sizes = gradient_sizes(self._bench.model, self._bench.graph, batches, lambda outputs, *_: loss(outputs))
        return {layer.name: normalised_scores(sizes[layer.name].gradient) for layer in self._bench.recyclable()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule and of the random numbers; JSON-able."""
        return {"steps": self.steps, **self._bench.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        self.steps = int(state["steps"])
        self._bench.load_state_dict(state)
