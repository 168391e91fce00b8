"""What a plan says, and which wishes are answered with an error."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import NetworkError, RewriteRefused, UsageError
from dormancy.networks import MLPNetwork, NetworkSpec, resized
from dormancy.pruning import PrunePlanner, plan_pruning, prune

X = torch.randn(6, 5)


def mlp() -> MLPNetwork:
    return MLPNetwork(5, 2, hidden=(8, 4))


def first(size: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.arange(size) < count


def test_a_plan_says_what_would_happen() -> None:
    plan = plan_pruning(mlp(), X, {"fc1": first(8, 3)}, "remove")
    assert (plan.pruned, plan.chosen, plan.neurons, plan.share) == (3, 3, 12, 0.25)
    assert plan.sizes == {"fc1": 5, "fc2": 4}
    assert str(plan).splitlines()[0].split() == ["fc1", "3", "of", "8", "37.5", "%"]
    assert plan["fc1"].neurons.tolist() == [0, 1, 2]
    described = json.loads(json.dumps(plan.to_dict()))
    assert described["layers"][0]["pruned"] == [0, 1, 2]
    assert {cut.tensor for cut in plan.cuts} == {"fc1.weight", "fc1.bias", "fc2.weight"}
    assert json.loads(json.dumps(plan.cuts[0].to_dict()))["positions"] == [0, 1, 2]


def test_masking_keeps_all_sizes() -> None:
    plan = plan_pruning(mlp(), X, {"fc1": first(8, 3)})
    assert plan.sizes == {"fc1": 8, "fc2": 4}
    assert (len(plan.edits), plan.cuts) == (1, ())


@pytest.mark.parametrize("mode", ["mask", "remove"])
def test_a_whole_layer_is_never_pruned(mode: str) -> None:
    with pytest.raises(RewriteRefused, match=r"all 4 neurons of layer 'fc2'.*smaller tau.*--keep-one") as error:
        plan_pruning(mlp(), X, {"fc2": first(4, 4)}, mode)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_nothing_chosen_is_a_plan_that_changes_nothing() -> None:
    model = mlp()
    plan = plan_pruning(model, X, {}, "remove")
    assert (plan.pruned, plan.edits, plan.cuts, plan.share) == (0, (), (), 0.0)
    assert torch.equal(prune(model, plan)(X), model(X))


def test_wrong_wishes() -> None:
    with pytest.raises(UsageError, match=r"unknown layer 'fc9' \(did you mean 'fc\d'\?\); layers: fc1, fc2"):
        plan_pruning(mlp(), X, {"fc9": first(8, 1)})
    with pytest.raises(UsageError, match=r"layer 'fc1' has 8 neurons; \(3,\) were given"):
        plan_pruning(mlp(), X, {"fc1": first(3, 1)})
    with pytest.raises(UsageError, match="mode must be mask or remove, not 'cut'"):
        plan_pruning(mlp(), X, {}, "cut")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the plan has no layer 'fc3'"):
        plan_pruning(mlp(), X, {})["fc3"]


def test_a_plan_fits_its_network_only() -> None:
    plan = plan_pruning(mlp(), X, {"fc2": first(4, 2)}, "remove")
    other = MLPNetwork(5, 2, hidden=(8,))
    with pytest.raises(UsageError, match="the plan is of another network: this one has no 'fc2"):
        prune(other, plan)
    narrow = MLPNetwork(5, 2, hidden=(8, 1))
    with pytest.raises(UsageError, match=r"another network: 'fc2.weight' is of shape \(1, 8\)"):
        prune(narrow, plan)


def test_a_network_that_cannot_be_copied() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    plan = plan_pruning(model, X, {"0": first(8, 3)})
    model.register_buffer("derived", model[0].weight * 2, persistent=False)
    with pytest.raises(NetworkError, match="cannot be copied"):
        prune(model, plan)


def test_planning_again_plans_the_same() -> None:
    planner = PrunePlanner(mlp(), X)
    plans = [planner.plan({"fc1": first(8, 3)}, "remove").to_dict() for _ in range(2)]
    assert plans[0] == plans[1]


def test_frozen_parameters_stay_frozen() -> None:
    model = mlp()
    model.fc1.requires_grad_(False)  # type: ignore[operator]
    removed = prune(model, plan_pruning(model, X, {"fc1": first(8, 3)}, "remove"))
    frozen = {name for name, parameter in removed.named_parameters() if not parameter.requires_grad}
    assert frozen == {"fc1.weight", "fc1.bias"}


def test_architectures_without_sizes_of_their_own() -> None:
    with pytest.raises(RewriteRefused, match=r"'transformer' cannot be built .*--mode mask"):
        resized(NetworkSpec("transformer"), {"a": 3})
