"""What pruning promises: at tau = 0 masking changes nothing, bit for bit, and removing is masking."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from dormancy.graph import trace_neurons
from dormancy.pruning import PrunePlanner, prune
from tests.graph.test_certificate import silenced_outputs
from tests.pruning.helpers import every, outputs, relative, silenced, silent_neurons
from tests.zoo import REFUSED, ZOO

EXACT = [
    name for name in ZOO if name not in ("mlp-one-neuron", "layer-norm-behind", "batch-norm-behind", "constant-behind")
]


@pytest.mark.parametrize("name", EXACT)
def test_masking_silent_neurons_changes_no_bit(name: str) -> None:
    model, inputs, graph = silenced(name)
    planner = PrunePlanner(model, inputs)
    plan = planner.plan(silent_neurons(model, graph, inputs))
    assert plan.pruned or all(layer.refused for layer in plan), "the test would be vacuous"
    masked, before = outputs(prune(model, plan), inputs), outputs(model, inputs)
    assert max(float((a - b).abs().max()) for a, b in zip(masked, before, strict=True)) == 0.0


def test_that_is_tested_on_enough_architectures() -> None:
    tested = 0
    for name in EXACT:
        model, inputs, graph = silenced(name)
        tested += PrunePlanner(model, inputs).plan(silent_neurons(model, graph, inputs)).pruned > 0
    assert tested >= 20


@pytest.mark.parametrize("name", ZOO)
def test_masking_is_silencing(name: str) -> None:
    """Live neurons this time: the oracle sets activations to 0 while the network runs."""
    torch.manual_seed(1)
    model, inputs = ZOO[name]()
    planner = PrunePlanner(model, inputs)
    for layer in planner.graph:
        plan = planner.plan({layer.name: every(layer)})
        if plan[layer.name].refused is None:
            neurons = torch.from_numpy(plan[layer.name].neurons)
            given, wanted = outputs(prune(model, plan), inputs), silenced_outputs(model, inputs, layer, neurons)
            assert all(torch.equal(a, b) for a, b in zip(given, wanted, strict=True)), layer.name


@pytest.mark.parametrize("name", ZOO)
def test_removing_is_masking(name: str) -> None:
    torch.manual_seed(2)
    model, inputs = ZOO[name]()
    planner = PrunePlanner(model, inputs)
    chosen = {layer.name: every(layer) for layer in planner.graph}
    masked, removed = (prune(model, planner.plan(chosen, mode)) for mode in ("mask", "remove"))
    assert relative(outputs(removed, inputs), outputs(masked, inputs)) <= 1e-5


@pytest.mark.parametrize("name", ZOO)
def test_a_narrower_network_has_fewer_neurons_and_parameters(name: str) -> None:
    model, inputs = ZOO[name]()
    planner = PrunePlanner(model, inputs)
    plan = planner.plan({layer.name: every(layer) for layer in planner.graph}, "remove")
    removed = prune(model, plan)
    sizes = {layer.name: layer.size for layer in trace_neurons(removed, inputs)}
    assert sizes == plan.sizes
    assert (count(removed) < count(model)) == bool(plan.cuts)
    assert all(plan.sizes[layer.name] == layer.size for layer in plan if layer.refused or layer.unnarrowed)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", [name for name in ZOO if REFUSED[name]])
def test_layers_that_must_not_be_rewritten_are_refused_and_left_alone(name: str) -> None:
    model, inputs = ZOO[name]()
    planner = PrunePlanner(model, inputs)
    for layer in planner.graph:
        if layer.obstacle is None:
            continue
        for mode in ("mask", "remove"):
            plan = planner.plan({layer.name: every(layer)}, mode)
            assert plan.refused == {each.name: each.obstacle for each in planner.graph if each.obstacle is not None}
            assert plan[layer.name].chosen == every(layer).sum()
            assert (plan.pruned, plan.edits, plan.cuts) == (0, (), ())


@pytest.mark.parametrize("mode", ["mask", "remove"])
@pytest.mark.parametrize("name", ["nature-dueling", "batch-norm-before", "twin-critics-with-actions"])
def test_the_given_network_is_never_edited(name: str, mode: Any) -> None:
    model, inputs = ZOO[name]()
    before, sizes = copy.deepcopy(model.state_dict()), repr(model)
    planner = PrunePlanner(model, inputs)
    prune(model, planner.plan({layer.name: every(layer) for layer in planner.graph}, mode))
    assert repr(model) == sizes
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_what_is_pruned_can_be_trained_on() -> None:
    model, inputs = ZOO["batch-norm-before"]()
    planner = PrunePlanner(model, inputs)
    for mode in ("mask", "remove"):
        pruned = prune(model, planner.plan({"0": every(planner.graph["0"])}, mode)).train()  # type: ignore[arg-type]
        optimizer = torch.optim.Adam(pruned.parameters())
        first = pruned(inputs).square().mean()
        for _ in range(20):
            loss = pruned(inputs).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < first.item()
