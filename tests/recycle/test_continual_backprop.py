"""Continual backprop: the memory in closed form, the rate of replacement, and what a replacement forgets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dormancy.edits.scores import contributions, incoming_sizes, outgoing_sizes
from dormancy.errors import UsageError
from dormancy.recycle import ContinualBackprop, LayerMemory
from tests.recycle.helpers import mlp, outputs, same, silenced_mlp


def repeated(contributions: np.ndarray[tuple[int], np.dtype[np.float64]], steps: int, decay: float) -> LayerMemory:
    memory = LayerMemory.empty(contributions.size)
    for _ in range(steps):
        memory = memory.aged(contributions, decay)
    return memory


@given(st.integers(1, 50), st.floats(0, 0.999), st.floats(0, 1e6))
def test_a_constant_contribution_is_its_own_corrected_utility(steps: int, decay: float, value: float) -> None:
    memory = repeated(np.array([value, 2 * value]), steps, decay)
    assert np.allclose(memory.corrected(decay), [value, 2 * value], rtol=1e-9)
    assert memory.ages.tolist() == [steps, steps]


def test_utilities_follow_the_running_mean() -> None:
    memory = LayerMemory.empty(1).aged(np.array([4.0]), 0.5).aged(np.array([8.0]), 0.5)
    assert memory.utilities.tolist() == [5.0]  # .5 · (.5 · 4) + .5 · 8
    assert memory.corrected(0.5).tolist() == [5.0 / 0.75]


def test_an_unseen_layer_has_no_utility() -> None:
    assert LayerMemory.empty(3).corrected(0.99).tolist() == [0.0, 0.0, 0.0]


@given(st.integers(1, 30), st.floats(0, 0.3), st.integers(1, 60))
def test_as_many_are_replaced_as_the_rate_says(neurons: int, rate: float, steps: int) -> None:
    """With maturity 0 and nobody renewed, rate · neurons · steps are due, and never more than that."""
    memory, replaced = LayerMemory.empty(neurons), 0
    for _ in range(steps):
        chosen, memory = memory.aged(np.arange(float(neurons)), 0.9).replaceable(0.9, rate, 0)
        replaced += int(chosen.sum())
    assert replaced == pytest.approx(int(rate * neurons * steps + 1e-9), abs=1)
    assert 0 <= memory.owed < 1 + 1e-9


def test_the_immature_are_spared_and_the_least_useful_go_first() -> None:
    memory = LayerMemory(np.array([0.0, 3.0, 1.0, 2.0]), np.array([5, 50, 50, 50]))
    chosen, after = memory.replaceable(0.9, rate=0.7, maturity=10)
    assert chosen.tolist() == [False, False, True, True]
    assert after.owed == pytest.approx(0.1)
    renewed = after.renewed(np.flatnonzero(chosen))
    assert renewed.ages.tolist() == [5, 50, 0, 0]
    assert renewed.utilities.tolist() == [0.0, 3.0, 0.0, 0.0]


def test_contributions_are_sizes_times_outgoing_over_incoming() -> None:
    model, inputs = mlp(sizes=(5, 4, 3)), torch.randn(8, 5)
    redo = ContinualBackprop(model)
    redo.plan(inputs)
    layer, parameters = redo.graph["0"], dict(model.named_parameters())
    incoming = model[0].weight.detach().double().abs().sum(1).numpy()
    outgoing = model[2].weight.detach().double().abs().sum(0).numpy()
    assert np.allclose(incoming_sizes(layer, parameters), incoming, rtol=1e-6)
    assert np.allclose(outgoing_sizes(layer, parameters), outgoing, rtol=1e-6)
    deviation = np.array([1.0, 2.0, 3.0, 4.0])
    assert np.allclose(contributions(layer, deviation, parameters), deviation * outgoing / incoming, rtol=1e-6)
    with torch.no_grad():
        model[0].weight[1] = 0.0
    assert contributions(layer, deviation, parameters)[1] == 0.0


def test_silent_neurons_are_replaced_first_and_exactly() -> None:
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adam(model.parameters())
    recycler = ContinualBackprop(model, optimizer, rate=0.05, maturity=5)
    before, reports = outputs(model, inputs), []
    for _ in range(12):
        report = recycler.step(inputs)
        reports += [report] if report is not None else []
    replaced = [neuron for report in reports for neuron in report.plan["0"].neurons.tolist()]
    assert replaced == [0, 3, 6]  # 12 mature · .05 each step from the 6th on, then fewer
    assert all(report.recycled for report in reports)
    assert same(before, outputs(model, inputs))
    assert recycler.memory["0"].ages[0] < 12
    assert recycler.memory["0"].ages[1] == 12


def test_planning_changes_neither_network_nor_memory() -> None:
    model, inputs = silenced_mlp()
    recycler = ContinualBackprop(model, rate=1.0, maturity=0)
    assert recycler.plan(inputs) == recycler.plan(inputs)
    assert recycler.memory == {}
    assert recycler.plan(inputs).recycled == 21


def test_a_resumed_memory_goes_on() -> None:
    model, inputs = silenced_mlp()
    first = ContinualBackprop(model, rate=0.05, maturity=3)
    for _ in range(4):
        first.step(inputs)
    second = ContinualBackprop(model, rate=0.05, maturity=3)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.plan(inputs) == first.plan(inputs)
    assert second.state_dict() == first.state_dict()


def test_a_period_looks_less_often() -> None:
    model, inputs = silenced_mlp()
    recycler = ContinualBackprop(model, period=3)
    for _ in range(7):
        recycler.step(inputs)
    assert recycler.memory["0"].ages.tolist() == [2] * 12


@pytest.mark.parametrize("options", [{"rate": 1.5}, {"decay": 1.0}, {"maturity": -1}])
def test_impossible_options_are_told(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="continual backprop needs"):
        ContinualBackprop(mlp(), **options)  # type: ignore[arg-type]
