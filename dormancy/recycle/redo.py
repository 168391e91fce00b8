"""ReDo: recycle dormant neurons (Sokar et al. 2023, Algorithm 1), for any network and any training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, final, get_args

import numpy as np
from torch import nn

from dormancy.arrays import BoolArray
from dormancy.edits.optimizer_state import OptimizerPolicy, Policy
from dormancy.edits.schedule import Loss, Period
from dormancy.edits.scores import Inputs, Score, absolute_means, contributions, deviations, normalised
from dormancy.errors import UsageError
from dormancy.graph import NeuronGraph
from dormancy.graph.trace import uncompiled
from dormancy.metrics import FloatArray
from dormancy.networks.layers import NEVER_ZERO
from dormancy.recycle.adaptive_tau import AdaptiveTau
from dormancy.recycle.plan import RecyclePlan
from dormancy.recycle.planner import Incoming, Outgoing, Rewrite
from dormancy.recycle.recycler import RECYCLERS, RecycleReport
from dormancy.recycle.selection import Rule, Scheduled, Selection, Threshold
from dormancy.recycle.variants import SEMANTICS, Semantics
from dormancy.recycle.workbench import Layers, Optimizers, Workbench, as_policy

__all__ = ["ReDo"]


@RECYCLERS.register("redo")
@final
class ReDo:
    """Every `period` gradient steps, give each dormant neuron fresh incoming weights and zero outgoing weights.

    ::

        redo = ReDo(model, optimizer, tau=0.1, period=1000)
        for batch in training:
            ...                                   # one gradient step
            redo.step(batch.observations)         # acts at every 1000th call

    `optimizer` may be one, several or none. `tau` is a number, or an `AdaptiveTau`. `selection` replaces the threshold:
    a rule ("redo", "random", "inverse", "cbp") by the cosine schedule that ends at `end`, or a `Selection`; `rate` is
    the share of a layer with which the schedule begins, where it is not that of `semantics`. `start` and `end` are
    gradient steps, half-open. `score` "constant" looks for neurons that never change instead of silent ones.
    `layers` names layers, or is a regular expression; without it, layers whose rewriting would be wrong are skipped and
    the report says why. Layers with a caveat are recycled, and the report says so. `semantics` is "paper", "dopamine",
    "community" or a `Semantics`; `optimizer_policy` overrides its optimizer policy. `fresh` builds the network anew and
    is needed where weights are not initialised by ``reset_parameters()`` of the network or its layers; see
    `ModuleDrawer`. Random numbers come from `seed` alone, no global generator is moved.

    Raises `UsageError` for options that cannot be, `RewriteRefused` for a named layer that must not be rewritten.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers = None,
        *,
        tau: float | AdaptiveTau = 0.1,
        period: int = 1000,
        start: int = 0,
        end: int | None = None,
        selection: Rule | Selection | None = None,
        rate: float | None = None,
        score: Score = "dormant",
        incoming: Incoming = "random",
        outgoing: Outgoing = "zero",
        layers: Layers = None,
        semantics: str | Semantics = "paper",
        optimizer_policy: OptimizerPolicy | Policy | None = None,
        fresh: Callable[[], nn.Module] | None = None,
        seed: int = 0,
    ) -> None:
        self.semantics = semantics if isinstance(semantics, Semantics) else SEMANTICS[semantics]
        self.adaptive = tau if isinstance(tau, AdaptiveTau) else None
        self.tau = tau.tau if isinstance(tau, AdaptiveTau) else tau
        self.period = Period(period, start, end)
        self.rewrite = Rewrite(incoming, outgoing)
        self.score = score
        self.steps = 0
        self._selection = self._as_selection(selection, rate)
        self._bench = Workbench(
            model,
            optimizer,
            drawer=self.semantics.drawer(uncompiled(model), fresh),
            policy=as_policy(optimizer_policy, self.semantics.optimizer),
            layers=layers,
            seed=seed,
        )
        if score not in get_args(Score):
            raise UsageError(f"score must be one of {', '.join(get_args(Score))}, not {score!r}")
        self._threshold(self.tau)  # an impossible tau is told now, not after the first period

    def _as_selection(self, selection: Rule | Selection | None, rate: float | None) -> Selection | None:
        if not isinstance(selection, str):
            if rate is not None:
                raise UsageError("a rate belongs to a schedule: give selection= one of " + ", ".join(get_args(Rule)))
            return selection
        if selection not in get_args(Rule):
            raise UsageError(f"selection must be one of {', '.join(get_args(Rule))}, not {selection!r}")
        if self.period.end is None:
            raise UsageError("a selection by schedule needs end=, the gradient step at which the schedule reaches 0")
        begin = self.semantics.rate if rate is None else rate
        return Scheduled(selection, self.period.end, begin, self.semantics.ties)

    @property
    def due(self) -> bool:
        """Whether the next call of `step` will act."""
        return self.period.due(self.steps + 1)

    @property
    def graph(self) -> NeuronGraph:
        """The network's neurons; known after the first observations."""
        return self._bench.graph

    def step(self, observations: Inputs | Callable[[], Inputs], loss: Loss | None = None) -> RecycleReport | None:
        """Count one gradient step; every `period` of them, recycle by what the network does on `observations`.

        `observations` is what the network takes, (batch, ...), or a function that returns it and is called only when
        needed (the authors use 64 fresh replay samples). Call it after ``optimizer.step()``. `loss` is not looked at.
        """
        self.steps += 1
        if not self.period.due(self.steps):
            return None
        report = self._decide(observations, self.steps)
        self._bench.apply(report.plan)
        self.tau = self.tau if report.tau is None else report.tau
        return report

    def plan(self, observations: Inputs | Callable[[], Inputs]) -> RecyclePlan:
        """Return what `step` would do now if it were its turn; nothing is changed, whatever the period says."""
        return self._decide(observations, max(1, self.steps)).plan

    def _decide(self, observations: Inputs | Callable[[], Inputs], step: int) -> RecycleReport:
        inputs = self._bench.inputs(observations)
        scores = self._scores(inputs, "redo" if self._selection is None else self._selection.rule)
        tau = self._followed(scores)
        selection, draw = self._selection or self._threshold(tau), self._bench.draw()
        chosen: dict[str, BoolArray] = {name: selection.choose(each, step, draw) for name, each in scores.items()}
        nonfinite = sum(int(np.isnan(each).sum()) for each in scores.values())
        plan = replace(self._bench.plan(chosen, self.rewrite), notes=self._notes(selection))
        return RecycleReport(step, plan, tau if self._selection is None else None, nonfinite)

    def _notes(self, selection: Selection) -> tuple[str, ...]:
        """Say where a threshold of 0 cannot find anything, however useless the neurons."""
        if not isinstance(selection, Threshold) or selection.tau > 0 or self.score != "dormant":
            return ()
        smooth = [layer for layer in self._bench.recyclable() if layer.activation in NEVER_ZERO]
        return tuple(
            f"layer {layer.name!r}: {layer.activation} is hardly ever exactly 0, so tau = 0 recycles nothing there"
            for layer in smooth
        )

    def _threshold(self, tau: float) -> Threshold:
        return Threshold(tau, self.semantics.zero_tolerance)

    def _followed(self, scores: Mapping[str, FloatArray]) -> float:
        if self.adaptive is None or not scores:
            return self.tau
        return self.adaptive.follow(self.tau, np.concatenate(list(scores.values())))

    def _scores(self, inputs: Inputs, rule: Rule) -> dict[str, FloatArray]:
        """Score the neurons of every layer that may be recycled, all from one forward pass."""
        model, graph, layers = self._bench.model, self._bench.graph, self._bench.recyclable()
        if rule == "cbp":
            parameters, found = dict(model.named_parameters()), deviations(model, graph, inputs)
            return {layer.name: contributions(layer, found[layer.name], parameters) for layer in layers}
        sizes = (absolute_means if self.score == "dormant" else deviations)(model, graph, inputs)
        return {layer.name: normalised(sizes[layer.name], self.semantics.epsilon) for layer in layers}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule, of an adaptive tau and of the random numbers; JSON-able."""
        return {"steps": self.steps, "tau": self.tau, **self._bench.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a saved run."""
        self.steps, self.tau = int(state["steps"]), float(state["tau"])
        self._bench.load_state_dict(state)
