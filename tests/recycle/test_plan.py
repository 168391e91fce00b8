"""A plan decides and changes nothing; applying it writes what it says, where it says, in place."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import UsageError
from dormancy.graph import trace_neurons
from dormancy.recycle import Edit, LayerPlan, RecyclePlan, ReDo, apply_plan, edited_parameters
from tests.recycle.helpers import copies, outputs, same, silence_some, silenced_mlp


def plan_of(*edits: Edit) -> RecyclePlan:
    return RecyclePlan((), edits, {})


def at(*positions: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(positions, dtype=np.int64)


def test_planning_changes_nothing_and_can_be_repeated() -> None:
    model, inputs = silenced_mlp()
    before = copies(model)
    redo = ReDo(model, torch.optim.Adam(model.parameters()), tau=0.2)
    first, second = redo.plan(inputs), redo.plan(inputs)
    assert first == second
    assert first.recycled > 0
    assert same(list(before.values()), list(copies(model).values()))


def test_plans_differ_by_neurons_places_and_values() -> None:
    model, inputs = silenced_mlp()
    plan = ReDo(model, tau=0.0).plan(inputs)
    assert plan != ReDo(model, tau=1.0).plan(inputs)
    assert plan != ReDo(model, tau=0.0, seed=1).plan(inputs)
    assert plan != ReDo(model, tau=0.0, outgoing="keep").plan(inputs)
    assert plan != "a plan"
    assert Edit("a", 0, at(1), 0.0, "incoming") != Edit("a", 0, at(1), torch.zeros(1), "incoming")
    assert LayerPlan("a", 3, at(1)) != LayerPlan("a", 3, at(2))


def test_the_plan_is_what_is_written_and_nothing_else() -> None:
    model, inputs = silenced_mlp()
    before = copies(model)
    plan = ReDo(model, tau=0.3).plan(inputs)
    expected = before | {name: each.clone() for name, each in edited_parameters(plan, model).items()}
    places = [each.data_ptr() for each in model.parameters()]
    apply_plan(plan, model)
    assert all(torch.equal(expected[name], each) for name, each in model.named_parameters())
    assert places == [each.data_ptr() for each in model.parameters()]
    assert "4.bias" not in plan.parameters


def test_incoming_first_and_zero_wins_where_both_apply() -> None:
    """The row of a dead neuron meets the column of a dead neuron: the one number in both becomes 0."""
    model, inputs = silenced_mlp()
    plan = ReDo(model, tau=0.0).plan(inputs)
    assert [edit.role for edit in plan.edits] == ["incoming", "bias", "incoming", "bias", "outgoing", "outgoing"]
    apply_plan(plan, model)
    rows, columns = plan["2"].neurons, plan["0"].neurons
    live = np.setdiff1d(np.arange(12), columns)
    assert (model[2].weight[:, columns] == 0).all()
    assert (model[2].weight[rows][:, live] != 0).all()


def test_gradients_and_autograd_are_left_in_order() -> None:
    model, inputs = silenced_mlp()
    model(inputs).sum().backward()
    gradients = [each.grad.clone() for each in model.parameters() if each.grad is not None]
    ReDo(model, tau=0.0, period=1).step(inputs)
    assert all(each.requires_grad and each.is_leaf for each in model.parameters())
    assert same(gradients, [each.grad for each in model.parameters() if each.grad is not None])


def test_a_write_between_forward_and_backward_is_noticed() -> None:
    """In-place writes count versions, so autograd refuses a graph that saw the old weights."""
    model, inputs = silenced_mlp()
    loss = model(inputs).sum()
    ReDo(model, tau=0.0, period=1).step(inputs)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_block_limits_the_write_to_one_group() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 1, groups=2))
    edit = Edit("0.weight", 1, at(1), 0.0, "outgoing", block=(3, 6))
    apply_plan(plan_of(edit), model)
    zero = model[0].weight[:, :, 0, 0] == 0
    assert zero.tolist() == [[False, False]] * 3 + [[False, True]] * 3


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("2.weight", 0, at(0), 0.0, "incoming"), "'2.weight', which this network does not have"),
        (Edit("0.weight", 0, at(0), torch.zeros(2, 3), "incoming"), r"writes \(2, 3\) values .* takes \(1, 3\)"),
    ],
)
def test_a_plan_for_another_network_changes_nothing(edit: Edit, message: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    before = copies(model)
    good = Edit("0.bias", 0, at(0, 1), 0.0, "bias")
    with pytest.raises(UsageError, match=message):
        apply_plan(plan_of(good, edit), model)
    assert same(list(before.values()), list(copies(model).values()))


def test_a_position_beyond_the_end_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    before = copies(model)
    edits = Edit("0.bias", 0, at(0), 0.0, "bias"), Edit("0.weight", 1, at(3), 0.0, "outgoing")
    with pytest.raises(UsageError, match=r"positions up to 3 of parameter '0\.weight'"):
        apply_plan(plan_of(*edits), model)
    assert same(list(before.values()), list(copies(model).values()))


def test_a_plan_speaks() -> None:
    model, inputs = silenced_mlp()
    plan = ReDo(model, tau=0.0).plan(inputs)
    assert str(plan).splitlines() == [
        "0                         4 of 12      33.3 %",
        "2                         3 of 9       33.3 %",
        "network                   7 of 21      33.3 %",
    ]
    assert plan.share == pytest.approx(1 / 3)
    assert json.loads(json.dumps(plan.to_dict()))["layers"][0]["recycled"] == [0, 3, 6, 9]
    refused = replace(plan["0"], refused="its output is added to another branch", neurons=at())
    assert str(refused).endswith("refused: its output is added to another branch")
    with pytest.raises(UsageError, match="the plan has no layer 'fc'; layers: 0, 2"):
        plan["fc"]


def test_half_precision_networks_are_recycled_in_their_own_dtype() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)).bfloat16()
    inputs = torch.randn(16, 5, dtype=torch.bfloat16)
    silence_some(model, trace_neurons(model, inputs))
    before = outputs(model, inputs)
    report = ReDo(model, tau=0.0, period=1).step(inputs)
    assert report is not None
    assert report.recycled == 3
    assert same(before, outputs(model, inputs))
    assert model[0].weight.dtype == torch.bfloat16
