"""ReGraMa: recycle neurons that no gradient reaches, for networks in which inactive neurons are not silent ones.

The score is GraMa, G_i = E|∂L/∂h_i| / mean_k E|∂L/∂h_k| over the neurons of a layer (arXiv 2505.24761); h is the value
after the nonlinearity, and a convolution channel is one neuron. Outgoing weights are kept: with outgoing weights of
zero a neuron gets no gradient and would be recycled for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.errors import NetworkError, UsageError
from dormancy.graph import NeuronGraph, NeuronLayer, call_model, undisturbed
from dormancy.graph.ops import activation_name
from dormancy.graph.trace import DispatchMode
from dormancy.metrics import FloatArray
from dormancy.metrics.dormant import normalised_scores
from dormancy.recycle.base import RECYCLERS, Loss, Period, RecycleReport
from dormancy.recycle.edits import RecyclePlan
from dormancy.recycle.fresh import drawer_for
from dormancy.recycle.optimizer import OptimizerPolicy, Policy
from dormancy.recycle.planning import Incoming, Outgoing, Rewrite
from dormancy.recycle.scores import Inputs, eagerly
from dormancy.recycle.selection import Threshold
from dormancy.recycle.workbench import Layers, Optimizers, Workbench, as_policy, uncompiled

__all__ = ["ReGraMa", "gradient_sizes"]


class _Keep(DispatchMode):
    """Keeps every layer's values: autograd adds its record to these very tensors when the operation returns."""

    def __init__(self, graph: NeuronGraph) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._layers = {layer.call: layer for layer in graph}
        self._calls = 0
        self.values: dict[str, Tensor] = {}

    def __torch_dispatch__(self, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = overload(*args, **(kwargs or {}))
        if activation_name(overload.overloadpacket, args) is not None:
            layer = self._layers.get(self._calls)
            self._calls += 1
            if layer is not None:
                self.values[layer.name] = result
        return result


def _mean_size(layer: NeuronLayer, gradient: Tensor | None) -> FloatArray:
    if gradient is None:  # the loss does not depend on this layer
        return np.zeros(layer.size)
    rows = gradient.movedim(layer.dim, 0).flatten(1).double()
    return np.asarray(rows.abs().mean(1).cpu().numpy())


def gradient_sizes(model: nn.Module, graph: NeuronGraph, inputs: Inputs, loss: Loss) -> Mapping[str, FloatArray]:
    """Measure E|∂L/∂h_i| of every neuron over rows and positions: float64 of shape (neurons,) by layer.

    `loss` maps the network's output on `inputs` to a number. One forward and one backward pass; no gradient of any
    parameter is touched. Raises `NetworkError` when the loss does not depend on the network.
    """
    with undisturbed(model), torch.enable_grad(), eagerly():
        keep = _Keep(graph)
        with keep:
            outputs = call_model(model, inputs)
        total = loss(outputs)
        kept = [(graph[name], values) for name, values in keep.values.items() if values.requires_grad]
        if not kept or not total.requires_grad:
            raise NetworkError("the loss does not depend on any neuron: compute it from the outputs that it is given")
        gradients = torch.autograd.grad(total, [values for _, values in kept], allow_unused=True)
    found = {layer.name: np.zeros(layer.size) for layer in graph}
    found |= {layer.name: _mean_size(layer, each) for (layer, _), each in zip(kept, gradients, strict=True)}
    return found


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
        inputs = self._bench.inputs(observations)
        sizes = gradient_sizes(self._bench.model, self._bench.graph, inputs, loss)
        draw = self._bench.draw()
        scores = {layer.name: normalised_scores(sizes[layer.name]) for layer in self._bench.recyclable()}
        chosen = {name: self.threshold.choose(each, self.steps, draw) for name, each in scores.items()}
        return self._bench.plan(chosen, self.rewrite)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule and of the random numbers; JSON-able."""
        return {"steps": self.steps, **self._bench.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        self.steps = int(state["steps"])
        self._bench.load_state_dict(state)
