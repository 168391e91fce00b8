"""One network on one sample, ready to be pruned in many ways: plan, measure, compare with controls, sweep over tau."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from torch import nn

from dormancy.arrays import BoolArray
from dormancy.edits.output_change import ActionsOutput, OutputChange, Reference
from dormancy.graph import NeuronGraph
from dormancy.probing.probe import BATCH, Observations, Probe
from dormancy.pruning.apply import prune
from dormancy.pruning.cost import Cost, cost_of
from dormancy.pruning.effect import Controls, HeldOut, PruneEffect
from dormancy.pruning.held_out import halves
from dormancy.pruning.plan import Mode, PrunePlan
from dormancy.pruning.planner import PrunePlanner
from dormancy.pruning.selection import dormant_neurons, random_neurons, strongest_neurons
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.scanner import scan_probe

__all__ = ["PruneBench"]

DRAWS = 5
TRACED_ROWS = 2


@final
class PruneBench:
    """A network on a sample; everything that is measured once is kept.

    `observations` are as for `dormancy.scan`, `layers` is a regular expression that the names of the layers to prune
    must contain a match of. `keep_one` and `allow_inexact` are as for `dormant_neurons` and `PrunePlanner.plan`.
    `actions` says in which output greedy actions are compared: see `Reference`. The network is left as it was.

    Raises what `dormancy.scan` raises.
    """

    def __init__(
        self,
        model: nn.Module,
        observations: Observations,
        *,
        layers: str | None = None,
        keep_one: bool = False,
        allow_inexact: bool = False,
        actions: ActionsOutput = "only",
        batch_size: int = BATCH,
        input_scale: float | None = None,
    ) -> None:
        self._probe = Probe(model, observations, batch_size=batch_size, input_scale=input_scale)
        self._layers = layers
        self.keep_one = keep_one
        self.allow_inexact = allow_inexact
        self.planner = PrunePlanner(model, next(Probe(model, self._few(), input_scale=input_scale).batches()))
        self._probe.graph = self.planner.graph
        self.scan: DormancyScan = scan_probe(self._probe, metrics=[], layers=layers)
        self._actions = actions
        self._reference = Reference(self._probe, actions)
        self._halves = self._two_halves(observations)
        self._known: dict[bytes, OutputChange] = {}

    def _few(self) -> Observations:
        inputs, first = self._probe.inputs, slice(0, TRACED_ROWS)
        if isinstance(inputs, Mapping):
            return {name: array[first] for name, array in inputs.items()}
        return inputs[first]

    def _two_halves(self, observations: Observations) -> tuple[DormancyScan, Reference, Reference] | None:
        """Look for neurons on one half, and keep the outputs on both."""
        found = halves(self._probe, observations)
        if found is None:
            return None
        scan = scan_probe(found[0], metrics=[], layers=self._layers)
        return scan, Reference(found[0], self._actions), Reference(found[1], self._actions)

    @property
    def graph(self) -> NeuronGraph:
        """The neurons of the network."""
        return self.planner.graph

    @property
    def model(self) -> nn.Module:
        """The network, as it was given."""
        return self.planner.model

    def warnings(self, tau: float) -> tuple[str, ...]:
        """Say what to be careful about when neurons are judged by this tau on this sample: see `DormancyScan`."""
        return scan_probe(self._probe, tau, metrics=[], layers=self._layers).warnings

    def plan(self, tau: float, mode: Mode = "mask") -> PrunePlan:
        """Plan to prune the tau-dormant neurons; raises what `PrunePlanner.plan` raises, and `UsageError` for tau."""
        return self._plan(dormant_neurons(self.scan, tau, keep_one=self.keep_one), mode)

    def _plan(self, neurons: Mapping[str, BoolArray], mode: Mode = "mask") -> PrunePlan:
        return self.planner.plan(neurons, mode, allow_inexact=self.allow_inexact)

    def effect(
        self, plan: PrunePlan, tau: float, after: nn.Module | None = None, *, draws: int = DRAWS, seed: int = 0
    ) -> PruneEffect:
        """Measure what a plan at `tau` does, on the sample, on a held-out half, and against controls.

        `after` is the network that the plan gave, as it was read back from a file, say; by default it is made here.
        `draws` is how many random sets of neurons are drawn from `seed`; 0 leaves all controls out.
        """
        pruned = prune(self.model, plan) if after is None else after
        return PruneEffect(
            sample=self._reference.change(pruned),
            held_out=self.held_out(tau),
            controls=self.controls(plan, draws, seed),
            before=self.cost(self.model),
            after=self.cost(pruned),
        )

    def change(self, plan: PrunePlan) -> OutputChange:
        """Measure how far a plan moves the outputs on the whole sample."""
        place = repr([(layer.name, layer.neurons.tolist()) for layer in plan]).encode()
        if place not in self._known:
            self._known[place] = self._reference.change(prune(self.model, plan))
        return self._known[place]

    def held_out(self, tau: float) -> HeldOut | None:
        """Find neurons on one half of the sample, and measure their absence on both; None for a single row."""
        if self._halves is None:
            return None
        scan, found, unseen = self._halves
        plan = self._plan(dormant_neurons(scan, tau, keep_one=True))
        pruned = prune(self.model, plan)
        return HeldOut(plan.pruned, found.change(pruned), unseen.change(pruned))

    def controls(self, plan: PrunePlan, draws: int = DRAWS, seed: int = 0) -> Controls | None:
        """Mask as many neurons of each layer, at random and with the highest scores; None when there is nothing to."""
        counts = {layer.name: layer.pruned for layer in plan}
        if not draws or not plan.pruned:
            return None
        sizes = {layer.name: layer.size for layer in plan}
        random = tuple(
            self.change(self._plan(random_neurons(sizes, counts, np.random.default_rng([seed, number]))))
            for number in range(draws)
        )
        return Controls(random, self.change(self._plan(strongest_neurons(self.scan, counts))))

    def cost(self, model: nn.Module) -> Cost:
        """Count what a network costs, on the planner's inputs."""
        return cost_of(model, self.planner.inputs)

    def sweep_plan(self, tau: float) -> PrunePlan:
        """Plan to mask the tau-dormant neurons; a layer that is dormant altogether keeps its best neuron."""
        return self._plan(dormant_neurons(self.scan, tau, keep_one=True))
