"""Nonlinearities that a network writes out: recognised, named by the user, or warned of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import dormancy
from dormancy.errors import UsageError
from dormancy.graph import trace_neurons
from tests.zoo import Functional

Function = Callable[[Tensor], Tensor]


def network(act: Function) -> nn.Module:
    """Two hidden layers with this nonlinearity between plain weights, the same for each call."""
    torch.manual_seed(5)
    children = {"a": nn.Linear(5, 9), "b": nn.Linear(9, 8), "c": nn.Linear(8, 2)}
    return Functional(lambda m, x: m.c(act(m.b(act(m.a(x))))), **children)


def rows() -> Tensor:
    return torch.randn(64, 5, generator=torch.Generator().manual_seed(3))


RECOGNISED: dict[str, tuple[Function, Function, str]] = {
    "silu": (lambda y: y * torch.sigmoid(y), F.silu, "silu"),
    "silu, the other way round": (lambda y: y.sigmoid() * y, F.silu, "silu"),
    "silu, in place": (lambda y: y.mul_(torch.sigmoid(y)), F.silu, "silu"),
    "mish": (lambda y: y * torch.tanh(F.softplus(y)), F.mish, "mish"),
    "quick gelu": (lambda y: y * torch.sigmoid(1.702 * y), lambda y: F.silu(1.702 * y) / 1.702, "swish"),
    "hard swish": (lambda y: y * F.relu6(y + 3) / 6, F.hardswish, "hardswish"),
    "gelu": (
        lambda y: 0.5 * y * (1 + torch.tanh(0.7978845608 * (y + 0.044715 * y**3))),
        lambda y: F.gelu(y, approximate="tanh"),
        "gelu",
    ),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_a_written_out_nonlinearity_scores_as_the_built_in_one(name: str) -> None:
    written, built_in, expected = RECOGNISED[name]
    found = dormancy.scan(network(written), rows(), metrics=["score"])
    reference = dormancy.scan(network(built_in), rows(), metrics=["score"])
    assert [layer.activation for layer in found.layers] == [expected] * 2
    for layer, other in zip(found.layers, reference.layers, strict=True):
        assert layer.name == other.name
        assert np.allclose(layer.scores, other.scores, rtol=1e-5, atol=1e-6)
        assert layer.obstacle is None


def test_what_is_found_may_be_named_by_the_user() -> None:
    written, built_in, _ = RECOGNISED["gelu"]
    named = {"mul#4": "gelu", "mul#8": "gelu"}
    model = network(written)
    found = dormancy.scan(model, rows(), metrics=["score"], activations=named)
    reference = dormancy.scan(network(built_in), rows(), metrics=["score"])
    assert [(layer.name, layer.activation) for layer in found.layers] == [("a", "gelu"), ("b", "gelu")]
    for layer, other in zip(found.layers, reference.layers, strict=True):
        assert np.allclose(layer.scores, other.scores, rtol=1e-5, atol=1e-6)
        assert layer.obstacle is None


class Glu(nn.Module):
    def forward(self, value: Tensor, gate: Tensor) -> Tensor:
        return value * torch.sigmoid(gate)


def gated() -> nn.Module:
    torch.manual_seed(7)
    children = {"a": nn.Linear(5, 9), "b": nn.Linear(5, 9), "glu": Glu(), "c": nn.Linear(9, 2)}
    return Functional(lambda m, x: m.c(m.glu(m.a(x), m.b(x))), **children)


def test_a_gated_linear_unit_is_the_product() -> None:
    found = dormancy.scan(gated(), rows(), metrics=["score"])
    named = dormancy.scan(gated(), rows(), metrics=["score"], activations={"glu.mul": "glu"})
    assert [(layer.name, layer.activation) for layer in found.layers] == [("a+b", "sigmoid then mul")]
    assert np.array_equal(found.layers[0].scores, named.layers[0].scores)


@pytest.mark.parametrize("key", ["glu.mul", "glu.mul#1", "glu"])
def test_a_named_product_is_the_layer(key: str) -> None:
    model = gated()
    found = dormancy.scan(model, rows(), metrics=["score"], activations={key: "glu"})
    value, gate = (dict(model.named_children())[name] for name in "ab")
    sizes = (value(rows()) * torch.sigmoid(gate(rows()))).abs().mean(0).double()
    (layer,) = found.layers
    assert layer.activation == "glu"
    assert np.allclose(layer.scores, (sizes / sizes.mean()).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert layer.obstacle is None


@pytest.mark.parametrize("key", ["glu.mull", "nowhere", "glu.mul#2", ""])
def test_a_name_that_names_nothing_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="no module or operation"):
        trace_neurons(gated(), rows()[:2], {key: "glu"})


def test_a_name_for_what_is_no_layer_is_refused() -> None:
    with pytest.raises(UsageError, match="no layer"):
        trace_neurons(gated(), rows()[:2], {"c": "head"})


def test_a_gate_that_weights_read_is_a_layer_beside_the_product() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x)
        gate = torch.sigmoid(y)
        return m.b(y * gate) + m.c(gate)

    torch.manual_seed(1)
    model = Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2), c=nn.Linear(9, 2))
    graph = trace_neurons(model, rows()[:2])
    assert [layer.activation for layer in graph] == ["sigmoid", "silu"]
    assert "multiplied with another branch" in str(graph.layers[0].obstacle)


def test_features_that_gate_themselves_behind_a_relu_are_scored_as_they_are_read() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        hidden = m.a(x).relu()
        return m.b(hidden * torch.sigmoid(hidden))

    graph = trace_neurons(Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2)), rows()[:2])
    assert [layer.activation for layer in graph] == ["relu then sigmoid then mul"]


def test_the_halves_of_crelu_under_one_relu_share_rows_and_say_so() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.b(F.relu(torch.cat([y, -y], dim=-1)))

    (layer,) = trace_neurons(Functional(forward, a=nn.Linear(5, 4), b=nn.Linear(8, 2)), rows()[:2])
    assert layer.obstacle is None
    assert "several of its neurons" in str(layer.caveat)
    assert layer.producers[0].rows.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_monitor_names_activations_too() -> None:
    monitor = dormancy.Monitor(gated(), every=1, activations={"glu": "glu"})
    found = monitor.step(rows())
    assert found is not None
    assert found.layers[0].activation == "glu"


def test_gradients_reach_the_same_layer() -> None:
    found = dormancy.scan(network(RECOGNISED["silu"][0]), rows(), metrics=["score", "grama"])
    reference = dormancy.scan(network(F.silu), rows(), metrics=["score", "grama"])
    for name, values in reference.measurements["grama"].neurons.items():
        assert np.allclose(found.measurements["grama"].neurons[name], values, rtol=1e-4, atol=1e-6)
