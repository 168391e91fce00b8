"""What is true of every registered metric, whatever it measures; a new one needs a reference and nothing else here."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from dormancy.errors import TransitionsRequired
from dormancy.io import ReplaySample
from dormancy.metrics import METRICS, Measurement, plasticity
from dormancy.networks import MLPNetwork
from dormancy.probing.probe import Probe
from tests.reference.metrics import ACTIVATIONS, NEED_TRANSITIONS, REFERENCES, Case, Dense

NAMES = list(METRICS)
INPUTS, OUTPUTS = 3, 3
EXAMPLES = 8


@pytest.fixture(autouse=True)
def _short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plasticity probe trains two networks a seed: a few steps show as much here as fifty."""
    monkeypatch.setattr(plasticity, "STEPS", 6)
    monkeypatch.setattr(plasticity, "SEEDS", 2)


def draw_net(rng: np.random.Generator, widths: list[int], activation: str, silent: bool) -> Dense:
    sizes = [INPUTS, *widths, OUTPUTS]
    weights = [rng.standard_normal((out, into)) for into, out in pairwise(sizes)]
    biases = [rng.standard_normal(out) for out in sizes[1:]]
    if silent:
        biases[len(widths) - 1] -= 1e4
    return Dense(weights, biases, activation)


def draw_case(
    seed: int, rows: int, widths: list[int], activation: str, silent: bool, transitions: bool, tau: float
) -> Case:
    rng = np.random.default_rng(seed)
    net = draw_net(rng, widths, activation, silent)
    case = Case(
        net, draw_net(rng, widths, activation, False), rng.standard_normal((rows, INPUTS)), np.arange(rows), tau
    )
    if not transitions:
        return case
    return replace(
        case,
        next_x=rng.standard_normal((rows, INPUTS)),
        actions=rng.integers(OUTPUTS, size=rows),
        rewards=rng.standard_normal(rows),
        ends=rng.integers(2, size=rows).astype(np.float64),
    )


cases = st.builds(
    draw_case,
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 20),
    widths=st.lists(st.integers(1, 7), min_size=1, max_size=2),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    silent=st.booleans(),
    transitions=st.booleans(),
    tau=st.sampled_from([0.0, 0.05, 0.3]),
)


def build(net: Dense) -> nn.Module:
    sizes = [weight.shape[0] for weight in net.weights]
    model = MLPNetwork(INPUTS, OUTPUTS, hidden=sizes[:-1], activation=net.activation).double()
    names = [*(f"fc{index + 1}" for index in range(len(sizes) - 1)), "head"]
    with torch.no_grad():
        for name, weight, bias in zip(names, net.weights, net.biases, strict=True):
            model.get_parameter(f"{name}.weight").copy_(torch.from_numpy(weight))
            model.get_parameter(f"{name}.bias").copy_(torch.from_numpy(bias))
    return model.eval()


def sample(case: Case) -> ReplaySample:
    return ReplaySample(
        observations=case.x,
        next_observations=case.next_x,
        actions=case.actions,
        rewards=case.rewards,
        terminations=case.ends,
        episode_ids=case.episodes,
    )


def measure(name: str, case: Case, batch_size: int = 64) -> Measurement:
    return METRICS[name].measure(probe(case, build(case.net), batch_size))


def probe(case: Case, model: nn.Module, batch_size: int = 64) -> Probe:
    return Probe(model, sample(case), batch_size=batch_size, taus=(case.tau,), reference=build(case.before))


def each_example(name: str, check: Callable[[Case], None]) -> None:
    """Run `check` on drawn cases; where the metric asks for transitions and there are none, it must say so instead."""

    def examined(case: Case) -> None:
        if not refused(name, case):
            check(case)

    run = given(cases)(examined)
    settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)(run)()


def refused(name: str, case: Case) -> bool:
    if name not in NEED_TRANSITIONS or case.next_x is not None:
        return False
    with pytest.raises(TransitionsRequired, match="next observations"):
        measure(name, case)
    return True


def near(found: Mapping[str, Any], expected: Mapping[str, Any], what: str) -> None:
    assert list(found) == list(expected), what
    for layer, values in expected.items():
        assert found[layer] == pytest.approx(values, rel=1e-6, abs=1e-9, nan_ok=True), (what, layer)


def same(found: Measurement, expected: Any) -> None:
    near(found.neurons, expected.neurons, "neurons")
    near(found.layers, expected.layers, "layers")
    assert (found.network is None) == (expected.network is None)
    if expected.network is not None:
        assert found.network == pytest.approx(expected.network, rel=1e-6, abs=1e-9)


def numbers(found: Measurement) -> list[float]:
    network = [] if found.network is None else [found.network]
    return [*network, *found.layers.values(), *(float(x) for each in found.neurons.values() for x in each)]


def test_every_metric_has_a_reference() -> None:
    assert sorted(REFERENCES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    entry = METRICS[name]
    assert entry.name == name
    for text in (entry.title, entry.formula, entry.source, inspect.getdoc(entry.measure)):
        assert text
        assert "\n" not in entry.title + entry.formula + entry.source
    assert any(character.isdigit() for character in entry.source) or "this project" in entry.source


@pytest.mark.parametrize("name", NAMES)
def test_it_equals_its_reference(name: str) -> None:
    def check(case: Case) -> None:
        found, expected = measure(name, case), REFERENCES[name](case)
        same(found, expected)
        for key, value in expected.detail.items():
            assert found.detail[key] == (None if value is None else pytest.approx(value, rel=1e-6, abs=1e-9)), key

    each_example(name, check)


@pytest.mark.parametrize("name", NAMES)
def test_neither_the_order_nor_the_size_of_batches_matters(name: str) -> None:
    def check(case: Case) -> None:
        rows = np.random.default_rng(0).permutation(len(case.x))
        arrays = {
            field.name: value[rows]
            for field in dataclasses.fields(case)
            if isinstance(value := getattr(case, field.name), np.ndarray)
        }
        whole = measure(name, case)
        same(measure(name, case, batch_size=3), whole)
        same(measure(name, replace(case, **arrays)), whole)

    each_example(name, check)


@pytest.mark.parametrize("name", NAMES)
def test_it_follows_a_permutation_of_neurons(name: str) -> None:
    def check(case: Case) -> None:
        rng = np.random.default_rng(1)
        orders = {layer: rng.permutation(h.shape[1]) for layer, h in case.layers.items()}
        moved = replace(
            case, net=permuted(case.net, list(orders.values())), before=permuted(case.before, list(orders.values()))
        )
        found, expected = measure(name, moved), measure(name, case)
        neurons = {layer: values[orders[layer]] for layer, values in expected.neurons.items()}
        same(found, replace(expected, neurons=neurons))

    each_example(name, check)


def permuted(net: Dense, orders: list[np.ndarray]) -> Dense:
    weights, biases = list(net.weights), list(net.biases)
    for index, order in enumerate(orders):
        weights[index], biases[index] = weights[index][order], biases[index][order]
        weights[index + 1] = weights[index + 1][:, order]
    return Dense(weights, biases, net.activation)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rows", "width", "silent"), [(9, 5, True), (1, 5, False), (9, 1, False), (1, 1, True)])
def test_it_is_finite_at_the_edges(name: str, rows: int, width: int, silent: bool) -> None:
    for seed in range(4):
        case = draw_case(seed, rows, [width], "relu", silent, seed % 2 == 0, 0.1)
        if refused(name, case):
            continue
        found = measure(name, case)
        assert all(math.isfinite(number) for number in numbers(found))
        json.dumps(dict(found.detail), allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frozen", [False, True])
def test_it_leaves_no_trace(name: str, frozen: bool) -> None:
    case = draw_case(3, 12, [6, 5], "relu", False, True, 0.1)
    expected, model = measure(name, case), build(case.net).train().requires_grad_(not frozen)
    looked_at, twin, x = probe(case, model), copy.deepcopy(model), case.x.copy()
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    same(METRICS[name].measure(looked_at), expected)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # type: ignore[index]
    assert all(module.training for module in model.modules())
    assert np.array_equal(case.x, x)
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert mine.requires_grad is theirs.requires_grad
        assert mine.grad is None
        assert torch.equal(mine, theirs)
