"""Nonlinearities that are in no list: found by what they do, scored at the last value that the next weight reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import dormancy
from dormancy.errors import NetworkError
from dormancy.graph import trace_neurons
from dormancy.pruning import PrunePlanner, prune
from dormancy.recycle import ReDo
from tests.recycle.helpers import outputs, same
from tests.zoo import Functional

Function = Callable[[Tensor], Tensor]


def masked(z: Tensor) -> Tensor:
    z = z.clone()
    z[z < 0] = 0
    return z


def masked_by_where(z: Tensor) -> Tensor:
    return torch.where(z > 0, z, 0.0)


@torch.library.custom_op("dormancy_tests::cubed", mutates_args=())
def cubed(x: Tensor) -> Tensor:
    """An operation that no table can know."""
    return x.relu() ** 3


def typed_gelu(z: Tensor) -> Tensor:
    return 0.5 * z * (1 + torch.tanh(0.7978845608 * (z + 0.044715 * z**3)))


def erf(z: Any) -> Any:
    return torch.erf(torch.from_numpy(z)).numpy()


def softplus(z: Any) -> Any:
    return np.logaddexp(0, z)


WRITTEN: dict[str, tuple[Function, Callable[[Any], Any], str]] = {
    "maximum": (lambda z: torch.maximum(z, torch.zeros(())), lambda z: np.maximum(z, 0), "relu"),
    "times its sign": (lambda z: z * (z > 0), lambda z: np.maximum(z, 0), "relu"),
    "where": (masked_by_where, lambda z: np.maximum(z, 0), "relu"),
    "index put": (masked, lambda z: np.maximum(z, 0), "relu"),
    "half of z and |z|": (lambda z: (z + z.abs()) / 2, lambda z: np.maximum(z, 0), "relu"),
    "gelu, tanh": (typed_gelu, lambda z: z / 2 * (1 + np.tanh(0.7978845608 * (z + 0.044715 * z**3))), "gelu"),
    "gelu, erf": (lambda z: z * 0.5 * (1 + torch.erf(z / 2**0.5)), lambda z: z / 2 * (1 + erf(z / 2**0.5)), "gelu"),
    "squared relu": (lambda z: F.relu(z) ** 2, lambda z: np.maximum(z, 0) ** 2, "relu squared"),
    "square of relu": (lambda z: F.relu(z).square(), lambda z: np.maximum(z, 0) ** 2, "relu squared"),
    "celu": (F.celu, lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), "elu"),
    "elu": (lambda z: torch.where(z > 0, z, z.exp() - 1), lambda z: np.where(z > 0, z, np.expm1(z)), "elu"),
    "swish": (lambda z: z / (1 + torch.exp(-z)), lambda z: z / (1 + np.exp(-z)), "silu"),
    "mish": (lambda z: z * torch.log1p(z.exp()).tanh(), lambda z: z * np.tanh(softplus(z)), "mish"),
    "snake": (lambda z: z + torch.sin(z) ** 2, lambda z: z + np.sin(z) ** 2, "sin then pow then add"),
    "softsign": (lambda z: z / (1 + z.abs()), lambda z: z / (1 + abs(z)), "softsign"),
    "symlog": (lambda z: z.sign() * (z.abs() + 1).log(), lambda z: np.sign(z) * np.log1p(abs(z)), "symlog"),
    "tanh": (lambda z: 2 * torch.sigmoid(2 * z) - 1, np.tanh, "tanh"),
    "shifted softplus": (lambda z: (1 + z.exp()).log() - 0.25, lambda z: softplus(z) - 0.25, ""),
    "custom operation": (cubed, lambda z: np.maximum(z, 0) ** 3, ""),
    "leak by sum": (lambda z: F.relu(z) + 0.01 * z, lambda z: np.where(z > 0, 1.01 * z, 0.01 * z), ""),
}


def network(act: Function, seed: int = 0) -> nn.Module:
    """Three dense layers; half of the neurons in the middle are dead under ReLU."""
    torch.manual_seed(seed)
    children = {"a": nn.Linear(6, 64), "b": nn.Linear(64, 64), "c": nn.Linear(64, 2)}
    with torch.no_grad():
        children["b"].bias[:32] = -20
    return Functional(lambda m, x: m.c(act(m.b(act(m.a(x))))), **children)


def rows(count: int = 256) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


def reference(model: nn.Module, act: Callable[[Any], Any], x: Tensor) -> list[Any]:
    """Score both layers in NumPy, float64."""
    hidden, found = x.double().numpy(), []
    for name in "ab":
        layer = dict(model.named_children())[name]
        weight, bias = (each.detach().double().numpy() for each in (layer.weight, layer.bias))
        hidden = act(hidden @ weight.T + bias)
        sizes = np.abs(hidden).mean(0)
        found.append(sizes / sizes.mean())
    return found


@pytest.mark.parametrize("name", WRITTEN)
def test_scores_are_those_of_the_last_value_before_the_next_weight(name: str) -> None:
    act, plain, called = WRITTEN[name]
    model = network(act)
    scan = dormancy.scan(model, rows(), metrics=["score"])
    wanted = reference(model, plain, rows())
    assert [layer.name for layer in scan.layers] == ["a", "b"]
    for layer, scores in zip(scan.layers, wanted, strict=True):
        np.testing.assert_allclose(layer.scores, scores, rtol=0, atol=1e-5)
        assert layer.obstacle is None
        assert not called or layer.activation == called
    assert not [text for text in scan.warnings if "not known" in text]


@pytest.mark.parametrize("name", ["maximum", "times its sign", "where", "index put", "half of z and |z|"])
def test_a_relu_by_any_name_has_the_dormant_set_of_relu(name: str) -> None:
    scans = [dormancy.scan(network(act), rows(), metrics=["score"]) for act in (WRITTEN[name][0], F.relu)]
    found, wanted = ([layer.dormant(0.1).tolist() for layer in scan.layers] for scan in scans)
    assert found == wanted
    assert sum(wanted[1]) > 32


def swiglu(m: Any, x: Tensor) -> Tensor:
    return m.c(F.silu(m.a(x)) * m.b(x))


def maxout(m: Any, x: Tensor) -> Tensor:
    return m.c(torch.maximum(m.a(x), m.b(x)))


def bilinear(m: Any, x: Tensor) -> Tensor:
    return m.c(m.a(x) * m.b(x))


def gated_tanh(m: Any, x: Tensor) -> Tensor:
    return m.c(torch.tanh(m.a(x)) * torch.sigmoid(m.b(x)))


def silu(z: Any) -> Any:
    return z / (1 + np.exp(-z))


UNITS: dict[str, tuple[Callable[..., Tensor], Callable[[Any, Any], Any]]] = {
    "swiglu": (swiglu, lambda a, b: silu(a) * b),
    "maxout": (maxout, np.maximum),
    "bilinear": (bilinear, lambda a, b: a * b),
    "gated tanh": (gated_tanh, lambda a, b: np.tanh(a) / (1 + np.exp(-b))),
}


def units(forward: Callable[..., Tensor]) -> nn.Module:
    torch.manual_seed(3)
    return Functional(forward, a=nn.Linear(6, 9), b=nn.Linear(6, 9), c=nn.Linear(9, 2))


@torch.no_grad()
def silence_units(model: Any, places: list[int]) -> None:
    for layer in (model.a, model.b):
        layer.weight[places], layer.bias[places] = 0.0, 0.0


@pytest.mark.parametrize("name", UNITS)
def test_a_product_of_two_weights_is_one_unit_for_each_position_read(name: str) -> None:
    forward, plain = UNITS[name]
    model = units(forward)
    a, b = (layer(rows()).detach().double().numpy() for layer in (model.a, model.b))
    sizes = np.abs(plain(a, b)).mean(0)
    (layer,) = dormancy.scan(model, rows(), metrics=["score"]).layers
    np.testing.assert_allclose(layer.scores, sizes / sizes.mean(), rtol=0, atol=1e-5)
    assert (layer.name, layer.obstacle) == ("a+b", None)


@pytest.mark.parametrize("name", UNITS)
def test_units_of_two_weights_are_recycled_and_masked_exactly(name: str) -> None:
    model = units(UNITS[name][0])
    silence_units(model, [1, 4])
    before, planner = outputs(model, rows()), PrunePlanner(model, rows()[:2])
    chosen = {"a+b": np.isin(np.arange(9), [1, 4])}
    assert same(before, outputs(prune(model, planner.plan(chosen)), rows()))
    report = ReDo(model, tau=0.0, period=1).step(rows())
    assert report is not None
    assert report.plan["a+b"].neurons.tolist() == [1, 4]
    assert {edit.parameter for edit in report.plan.edits} >= {"a.weight", "b.weight", "c.weight"}
    assert same(before, outputs(model, rows()))


def test_the_halves_of_one_weight_make_units_too() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        value, gate = m.both(x).chunk(2, dim=-1)
        return m.c(value * F.gelu(gate))

    torch.manual_seed(4)
    model = Functional(forward, both=nn.Linear(6, 18), c=nn.Linear(9, 2))
    with torch.no_grad():
        model.both.weight[[2, 11]], model.both.bias[[2, 11]] = 0.0, 0.0
    (layer,) = trace_neurons(model, rows()[:2])
    assert [each.rows.tolist() for each in layer.producers] == [list(range(9)), list(range(9, 18))]
    before = outputs(model, rows())
    report = ReDo(model, tau=0.0, period=1).step(rows())
    assert report is not None
    assert report.plan["both"].neurons.tolist() == [2]
    assert same(before, outputs(model, rows()))


@pytest.mark.parametrize("act", [F.relu, lambda z: torch.maximum(z, torch.zeros(()))])
def test_crelu_has_a_layer_for_each_half(act: Function) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        z = m.a(x)
        return m.b(torch.cat([act(z), act(-z)], dim=-1))

    layers = trace_neurons(Functional(forward, a=nn.Linear(6, 9), b=nn.Linear(18, 2)), rows()[:2]).layers
    assert [(layer.size, layer.activation, layer.obstacle) for layer in layers] == [(9, "relu", None)] * 2


def test_activations_that_multiply_one_another_stay_layers() -> None:
    """As in IQN: features times an embedding, both behind a ReLU."""

    def forward(m: Any, x: Tensor) -> Tensor:
        return m.c(F.relu(m.a(x)) * F.relu(m.b(x)))

    layers = trace_neurons(units(forward), rows()[:2]).layers
    assert [layer.name for layer in layers] == ["a", "b"]
    assert all("multiplied with another branch" in str(layer.obstacle) for layer in layers)


def test_a_statistic_and_a_share_are_no_layers() -> None:
    """A norm that is typed out, and a softmax router: neither the squares nor the shares are neurons."""

    def forward(m: Any, x: Tensor) -> Tensor:
        z = m.a(x)
        z = (z - z.mean(-1, keepdim=True)) / ((z - z.mean(-1, keepdim=True)) ** 2).mean(-1, keepdim=True).sqrt()
        share = m.router(x).softmax(-1)
        return m.c(F.relu(m.b(z)) * share[:, :1])

    torch.manual_seed(5)
    children = {"a": nn.Linear(6, 9), "b": nn.Linear(9, 7), "router": nn.Linear(6, 2), "c": nn.Linear(7, 2)}
    graph = trace_neurons(Functional(forward, **children), rows()[:2])
    assert [layer.name for layer in graph] == ["b"]


def test_what_cannot_be_placed_is_named_with_a_place_that_works() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.b(m.a(x).view(-1, 9, 2).amax(-1))

    torch.manual_seed(6)
    model = Functional(forward, a=nn.Linear(6, 18), b=nn.Linear(9, 2))
    (warning,) = trace_neurons(model, rows()[:2]).warnings
    assert "activations={'amax': 'amax'}" in warning
    with pytest.raises(NetworkError, match="amax"):
        dormancy.scan(model, rows())
    (layer,) = dormancy.scan(model, rows(), metrics=["score"], activations={"amax": "amax"}).layers
    sizes = model.a(rows()).view(-1, 9, 2).amax(-1).detach().double().abs().mean(0).numpy()
    np.testing.assert_allclose(layer.scores, sizes / sizes.mean(), rtol=0, atol=1e-5)
    assert layer.obstacle


def test_no_nonlinearity_is_said_of_linear_networks() -> None:
    with pytest.raises(NetworkError, match="no nonlinearity between two weights"):
        dormancy.scan(nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.Linear(9, 2)), rows())


UNARY: dict[str, tuple[Function, Callable[[Any], Any]]] = {
    "relu": (F.relu, lambda z: np.maximum(z, 0)),
    "tanh": (torch.tanh, np.tanh),
    "sin": (torch.sin, np.sin),
    "square": (torch.square, np.square),
    "abs": (torch.abs, np.abs),
    "clip": (lambda z: z.clamp(-1, 1), lambda z: np.clip(z, -1, 1)),
    "halved": (lambda z: z / 2, lambda z: z / 2),
    "negative": (torch.neg, np.negative),
    "maximum": (lambda z: torch.maximum(z, torch.zeros(())), lambda z: np.maximum(z, 0)),
}
BINARY: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Any, Any], Any]]] = {
    "times": (torch.mul, np.multiply),
    "plus": (torch.add, np.add),
    "minus": (torch.sub, np.subtract),
    "larger": (torch.maximum, np.maximum),
}
Expression = tuple[Function, Callable[[Any], Any], bool]


def identity(z: Any) -> Any:
    return z


def unary(name: str, inner: Expression) -> Expression:
    one, other = UNARY[name]
    return lambda z: one(inner[0](z)), lambda z: other(inner[1](z)), inner[2] or name not in ("halved", "negative")


def binary(name: str, first: Expression, second: Expression) -> Expression:
    one, other = BINARY[name]
    bent = first[2] or second[2] or name in ("times", "larger")
    return lambda z: one(first[0](z), second[0](z)), lambda z: other(first[1](z), second[1](z)), bent


expressions = st.recursive(
    st.just((identity, identity, False)),
    lambda inner: st.one_of(
        st.builds(unary, st.sampled_from(sorted(UNARY)), inner),
        st.builds(binary, st.sampled_from(sorted(BINARY)), inner, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=60, derandomize=True)
@given(expression=expressions, seed=st.integers(0, 1000), maps=st.booleans())
def test_any_expression_is_scored_directly_and_recycled_exactly(expression: Expression, seed: int, maps: bool) -> None:
    act, plain, bent = expression
    torch.manual_seed(seed)
    if maps:
        inputs, first = torch.randn(16, 3, 4, 4), nn.Conv2d(3, 7, 3, padding=1)
        model: Any = Functional(lambda m, x: m.b(act(m.a(x)).flatten(1)), a=first, b=nn.Linear(7 * 16, 2))
    else:
        inputs, first = torch.randn(16, 5), nn.Linear(5, 7)
        model = Functional(lambda m, x: m.b(act(m.a(x))), a=first, b=nn.Linear(7, 2))
    with torch.no_grad():
        first.weight[:3], first.bias[:3] = 0.0, 0.0
    layers = trace_neurons(model, inputs[:2]).layers
    if not bent:
        assert not layers
        return
    values = plain(first(inputs).detach().double().numpy())
    sizes = np.abs(values).mean(axis=tuple(axis for axis in range(values.ndim) if axis != 1))
    if not layers:  # z - z, or max(z, z): affine after all
        assert np.allclose(values, 0) or bent
        return
    (layer,) = layers
    assert (layer.name, layer.size, layer.obstacle) == ("a", 7, None)
    (found,) = dormancy.scan(model, inputs, metrics=["score"]).layers
    wanted = sizes / sizes.mean() if sizes.any() else sizes
    tail = found.scores - wanted
    np.testing.assert_allclose(tail, 0, rtol=0, atol=1e-4)
    before = outputs(model, inputs)
    report = ReDo(model, tau=0.0, period=1).step(inputs)
    assert report is not None
    assert set(np.flatnonzero(sizes == 0)) <= set(report.plan["a"].neurons.tolist())
    assert same(before, outputs(model, inputs))
