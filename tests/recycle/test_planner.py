"""What may be rewritten and what not: shared weights, frozen weights, unknown weights; norms and random outgoing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.graph import NeuronGraph, NeuronLayer, Producer, Reader, trace_neurons
from dormancy.recycle import Planner, ReDo, Rewrite, apply_plan
from dormancy.recycle.initializers import ModuleDrawer
from tests.recycle.helpers import copies, mlp, outputs, silenced_mlp
from tests.zoo import ZOO


def layer(name: str, producer: str, reader: str, size: int, rows: list[int] | None = None, **more: Any) -> NeuronLayer:
    everything = np.arange(size) if rows is None else np.array(rows)
    return NeuronLayer(
        name=name,
        size=size,
        activation="relu",
        producers=(Producer(producer, None, everything),),
        readers=(Reader(reader, 1, np.arange(size), (0, 2)),),
        obstacle=more.get("obstacle"),
        caveat=None,
        call=0,
        dim=1,
        penultimate=True,
    )


def planner(model: nn.Module, *layers: NeuronLayer) -> Planner:
    return Planner(NeuronGraph(layers), model, ModuleDrawer(model))


def three_linears() -> nn.Module:
    torch.manual_seed(0)
    children = {"a": nn.Linear(3, 4, bias=False), "b": nn.Linear(4, 2, bias=False), "c": nn.Linear(4, 2, bias=False)}
    return nn.ModuleDict(children)


def booleans(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=bool)


def test_neurons_that_share_a_row_are_recycled_together_or_not_at_all() -> None:
    """One dense layer behind two nonlinearities (CReLU): a fresh row would change the half that is alive."""
    plans = planner(
        three_linears(), layer("first", "a.weight", "b.weight", 4), layer("second", "a.weight", "c.weight", 4)
    )
    chosen = {"first": booleans(1, 1, 0, 0), "second": booleans(1, 0, 1, 0)}
    plan = plans.plan(chosen, Rewrite(), 0)
    assert plan["first"].neurons.tolist() == plan["second"].neurons.tolist() == [0]
    assert plan["first"].tied == plan["second"].tied == 1
    assert [edit.parameter for edit in plan.edits] == ["a.weight", "b.weight", "c.weight"]


def test_a_row_twice_in_one_layer_is_a_tie_too() -> None:
    plans = planner(three_linears(), layer("twice", "a.weight", "b.weight", 4, rows=[0, 1, 0, 1]))
    plan = plans.plan({"twice": booleans(1, 1, 0, 1)}, Rewrite(), 0)
    assert plan["twice"].neurons.tolist() == [1, 3]
    assert plan["twice"].tied == 1


def test_ties_reach_through_a_refused_layer() -> None:
    shared = layer("first", "a.weight", "b.weight", 4)
    refused = layer("second", "a.weight", "c.weight", 4, obstacle="its output is added to another branch at 'add'")
    plans = planner(three_linears(), shared, refused)
    plan = plans.plan({"first": booleans(1, 1, 1, 1), "second": booleans(1, 1, 1, 1)}, Rewrite(), 0)
    assert plan.recycled == 0
    assert plan.edits == ()
    assert plan.refused == {"second": "its output is added to another branch at 'add'"}


def test_crelu_recycles_only_what_is_silent_on_both_sides() -> None:
    torch.manual_seed(1)
    model, inputs = ZOO["crelu"]()
    with torch.no_grad():
        model.get_parameter("a.bias")[0] = -100.0  # relu(y) silent, relu(-y) loud
        model.get_parameter("a.bias")[1] = 0.0
        model.get_parameter("a.weight")[1] = 0.0  # both silent
    before = outputs(model, inputs)
    report = ReDo(model, tau=0.0, period=1).step(inputs)
    assert report is not None
    assert {layer.name: layer.neurons.tolist() for layer in report.plan} == {"a": [1], "a#2": [1]}
    assert torch.equal(before[0], outputs(model, inputs)[0])


def test_frozen_weights_are_never_edited_and_their_layers_are_refused() -> None:
    for frozen, refused in (("0.weight", {"0"}), ("2.bias", {"2"}), ("2.weight", {"0", "2"}), ("4.weight", {"2"})):
        model, inputs = silenced_mlp()
        model.get_parameter(frozen).requires_grad_(False)
        before = copies(model)
        report = ReDo(model, tau=0.0, period=1).step(inputs)
        assert report is not None
        assert set(report.plan.refused) == refused
        assert all(f"'{frozen}' are frozen" in reason for reason in report.plan.refused.values())
        assert torch.equal(before[frozen], model.get_parameter(frozen))


def test_a_layer_without_a_known_initialiser_is_refused_with_the_remedy() -> None:
    model, inputs = ZOO["weights-as-matrices"]()
    plan = ReDo(model, tau=1e9).plan(inputs)
    assert "no module says how 'w1' is initialised; give fresh=" in next(iter(plan.refused.values()))
    assert ReDo(model, tau=1e9, fresh=lambda: ZOO["weights-as-matrices"]()[0]).plan(inputs).recycled == 9


def test_scaled_incoming_weights_have_the_mean_norm_of_the_living() -> None:
    model, inputs = silenced_mlp()
    with torch.no_grad():
        model[0].weight.mul_(torch.arange(1.0, 13.0)[:, None])
    live = np.setdiff1d(np.arange(12), [0, 3, 6, 9])
    expected = model[0].weight[live].norm(dim=1).mean()
    directions = ReDo(model, tau=0.0).plan(inputs).edits[0].fill
    plan = ReDo(model, tau=0.0, incoming="scaled").plan(inputs)
    apply_plan(plan, model)
    rows = model[0].weight[plan["0"].neurons]
    assert torch.allclose(rows.norm(dim=1), expected.expand(4))
    assert isinstance(directions, Tensor)
    assert torch.allclose(nn.functional.cosine_similarity(rows, directions), torch.ones(4))


def test_scaled_is_as_drawn_where_nothing_lives() -> None:
    model, inputs = mlp(), torch.randn(8, 5)
    plain = ReDo(model, tau=1e9).plan(inputs)
    assert plain == ReDo(model, tau=1e9, incoming="scaled").plan(inputs)


def test_random_outgoing_weights_come_from_the_readers_initialiser() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 50), nn.ReLU(), nn.Linear(50, 400))
    with torch.no_grad():
        model[2].weight.fill_(9.0)
    ReDo(model, tau=1e9, period=1, outgoing="random").step(torch.randn(4, 6))
    bound = 1 / np.sqrt(50)
    assert model[2].weight.abs().max() <= bound
    assert float(model[2].weight.detach().std()) == pytest.approx(bound / np.sqrt(3), rel=0.02)


def test_kept_outgoing_weights_are_not_touched() -> None:
    model, inputs = silenced_mlp()
    head = model[4].weight.detach().clone()
    plan = ReDo(model, tau=0.0, outgoing="keep").plan(inputs)
    apply_plan(plan, model)
    assert {edit.role for edit in plan.edits} == {"incoming", "bias"}
    assert torch.equal(model[4].weight, head)


def test_one_neuron_of_a_flattened_convolution_owns_all_its_positions() -> None:
    for name, columns in (("hwc-flatten", np.arange(2, 96, 6)), ("max-pool", np.arange(18, 27))):
        torch.manual_seed(0)
        model, inputs = ZOO[name]()
        graph = trace_neurons(model, inputs)
        only = np.zeros(6, dtype=bool)
        only[2] = True
        plan = Planner(graph, model, ModuleDrawer(model)).plan({graph.layers[0].name: only}, Rewrite(), 0)
        assert plan.edits[-1].index.tolist() == columns.tolist(), name


def test_wrong_arguments_are_told() -> None:
    plans = planner(three_linears(), layer("first", "a.weight", "b.weight", 4))
    with pytest.raises(UsageError, match="unknown layer 'frist' \\(did you mean 'first'\\?\\)"):
        plans.plan({"frist": booleans(1, 0, 0, 0)}, Rewrite(), 0)
    with pytest.raises(UsageError, match="layer 'first' has 4 neurons"):
        plans.plan({"first": booleans(1, 0)}, Rewrite(), 0)
    with pytest.raises(UsageError, match="incoming must be one of random, scaled, not 'xavier'"):
        Rewrite(incoming="xavier")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="outgoing must be one of zero, random, keep, not 'ones'"):
        Rewrite(outgoing="ones")  # type: ignore[arg-type]


def test_weights_that_are_no_parameters_are_refused() -> None:
    model = three_linears()
    nameless = layer("first", "gone.weight", "b.weight", 4)
    assert planner(model, nameless).refusals == {
        "first": "its weights 'gone.weight' are not a parameter of the network"
    }
