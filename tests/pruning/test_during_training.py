"""Neurons that were once dormant stay off: through optimizer steps with momentum, saving and loading."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

import dormancy
from dormancy.errors import UsageError
from dormancy.networks import MLPNetwork
from dormancy.pruning import PruneDormant, PruneReport
from tests.pruning.helpers import outputs
from tests.zoo import ZOO

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(3))


def network() -> MLPNetwork:
    """fc1 has silent neurons 0 to 2, fc2 silent neuron 5."""
    torch.manual_seed(0)
    model = MLPNetwork(5, 2, hidden=(12, 8))
    with torch.no_grad():
        model.fc1.bias[:3] = -50.0  # type: ignore[index]
        model.fc2.bias[5] = -50.0  # type: ignore[index]
    return model


def train(model: nn.Module, pruner: PruneDormant, steps: int, momentum: float = 0.9) -> list[PruneReport]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum, weight_decay=0.01)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        (model(X) - 1.0).square().mean().backward()
        optimizer.step()
        report = pruner.step(X)
        found += [report] if report is not None else []
    return found


def unread(model: nn.Module) -> dict[str, list[int]]:
    """Return the neurons whose outgoing weights are all 0."""
    readers = {"fc1": model.fc2.weight, "fc2": model.head.weight}  # type: ignore[union-attr]
    return {name: torch.nonzero((weight == 0).all(0)).flatten().tolist() for name, weight in readers.items()}  # type: ignore[union-attr, operator]


def test_dormant_neurons_are_found_and_stay_off() -> None:
    model = network()
    pruner = PruneDormant(model, period=2)
    reports = train(model, pruner, 9)
    assert [report.step for report in reports] == [2, 4, 6, 8]
    assert {name: neurons.tolist() for name, neurons in reports[0].new.items()} == {"fc1": [0, 1, 2], "fc2": [5]}
    assert unread(model) == {"fc1": [0, 1, 2], "fc2": [5]}
    assert reports[-1].pruned == 4


def test_they_are_not_read_even_when_they_wake_up() -> None:
    model = network()
    pruner = PruneDormant(model, period=1)
    train(model, pruner, 1)
    with torch.no_grad():
        model.fc1.bias[:3] = 50.0  # type: ignore[index]
    loud = outputs(model, X)[0]
    with torch.no_grad():
        model.fc1.bias[:3] = -50.0  # type: ignore[index]
    assert torch.equal(outputs(model, X)[0], loud)
    with torch.no_grad():
        model.fc1.bias[:3] = 50.0  # type: ignore[index]
    train(model, pruner, 5)
    assert set(unread(model)["fc1"]) >= {0, 1, 2}


def test_the_set_only_grows_and_is_the_union_of_what_was_found() -> None:
    model = network()
    pruner = PruneDormant(model, period=3, tau=0.3)
    union: dict[str, set[int]] = {"fc1": set(), "fc2": set()}
    for report in train(model, pruner, 30):
        for name, neurons in report.new.items():
            assert not union[name] & set(neurons.tolist())
            union[name] |= set(neurons.tolist())
        assert {layer.name: set(layer.neurons.tolist()) for layer in report.plan} == union
    assert {name: set(neurons.tolist()) for name, neurons in pruner.off.items()} == union
    assert sum(map(len, union.values())) > 4


def test_at_tau_0_pruning_does_not_move_the_outputs() -> None:
    model = network()
    before = outputs(model, X)[0]
    report = PruneDormant(model, period=1).step(X)
    assert report is not None
    assert report.pruned == 4
    assert torch.equal(outputs(model, X)[0], before)


def test_scores_are_over_the_neurons_that_are_left() -> None:
    """One huge neuron hides the others; once it is off, they are judged among themselves."""
    model = nn.Sequential(nn.Linear(1, 4, bias=False), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0], [1.0], [1.0], [1000.0]]))
    pruner = PruneDormant(model, tau=0.1, period=1)
    pruner.load_state_dict({"steps": 0, "off": {"0": [3]}})
    report = pruner.step(torch.ones(3, 1))
    assert report is not None
    assert report.new["0"].tolist() == [0]


def test_the_last_neuron_of_a_layer_stays() -> None:
    model = network()
    pruner = PruneDormant(model, tau=100.0, period=1)
    for report in train(model, pruner, 4):
        assert {layer.name: layer.size - layer.pruned for layer in report.plan} == {"fc1": 1, "fc2": 1}


def test_a_resumed_run_keeps_them_off_from_the_first_step() -> None:
    model = network()
    pruner = PruneDormant(model, period=2)
    train(model, pruner, 2)
    state = json.loads(json.dumps(pruner.state_dict()))
    assert state == {"steps": 2, "off": {"fc1": [0, 1, 2], "fc2": [5]}}
    resumed = PruneDormant(model, period=1000)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    assert unread(model)["fc1"] == []
    assert resumed.step(lambda: X) is None
    assert unread(model) == {"fc1": [0, 1, 2], "fc2": [5]}


def test_observations_are_asked_for_only_when_needed() -> None:
    asked = []

    def observations() -> Tensor:
        asked.append(1)
        return X

    pruner = PruneDormant(network(), period=3)
    for _ in range(7):
        pruner.step(observations)
    assert len(asked) == 2


def test_layers_that_cannot_be_masked_exactly_are_left_alone() -> None:
    model, inputs = ZOO["layer-norm-behind"]()
    with torch.no_grad():
        model[0].bias[:4] = -50.0
    before = outputs(model, inputs)[0]
    report = PruneDormant(model, period=1).step(inputs)
    assert report is not None
    assert "LayerNorm behind" in str(report.plan["0"].refused)
    assert report.pruned == 0
    assert torch.equal(outputs(model, inputs)[0], before)


def test_only_the_layers_asked_for() -> None:
    model = network()
    report = PruneDormant(model, period=1, layers="fc2").step(X)
    assert report is not None
    assert {layer.name: layer.pruned for layer in report.plan} == {"fc1": 0, "fc2": 1}
    assert json.loads(json.dumps(report.to_dict()))["new"] == {"fc2": [5]}


def test_impossible_options() -> None:
    with pytest.raises(UsageError, match="tau must be a number >= 0"):
        PruneDormant(network(), tau=-1.0)
    with pytest.raises(UsageError, match="period must be at least 1"):
        PruneDormant(network(), period=0)
    with pytest.raises(UsageError, match="is not a regular expression"):
        PruneDormant(network(), layers="(")


def test_nothing_is_off_at_first() -> None:
    assert dormancy.PruneDormant(network()).off == {}
