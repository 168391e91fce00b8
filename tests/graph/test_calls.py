"""A neuron is a unit of a weight: layers that run many times are counted once, their statistics pooled over calls."""

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
from dormancy.graph import trace_neurons
from dormancy.probing.probe import Probe
from dormancy.pruning import PrunePlanner, prune
from dormancy.recycle import ReDo
from tests.recycle.helpers import outputs, same
from tests.zoo import Functional

FUSED: dict[str, Callable[..., nn.Module]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


def with_head(recurrent: nn.Module, width: int) -> Any:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.out(F.relu(m.head(m.core(x)[0])))

    return Functional(forward, core=recurrent, head=nn.Linear(width, 20), out=nn.Linear(20, 2))


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def gru_states(module: Any, x: Tensor, suffix: str = "_l0") -> Any:
    """Run Eqs. of torch.nn.GRU step by step in float64: (rows, steps, units)."""
    wi, wh, bi, bh = (
        getattr(module, f"{name}{suffix}").detach().double().numpy()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    hidden, found = np.zeros((len(x), wh.shape[1])), []
    for step in range(x.shape[1]):
        data = x[:, step].double().numpy() @ wi.T + bi
        state = hidden @ wh.T + bh
        (ri, zi, ni), (rh, zh, nh) = np.split(data, 3, 1), np.split(state, 3, 1)
        reset, update = sigmoid(ri + rh), sigmoid(zi + zh)
        hidden = (1 - update) * np.tanh(ni + reset * nh) + update * hidden
        found.append(hidden)
    return np.stack(found, 1)


def shares(values: Any) -> Any:
    sizes = np.abs(values).reshape(-1, values.shape[-1]).mean(0)
    return sizes / sizes.mean()


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("steps", [1, 8, 32])
def test_the_count_does_not_depend_on_the_length(name: str, steps: int) -> None:
    model = with_head(FUSED[name](6, 16, batch_first=True), 16)
    scan = dormancy.scan(model, torch.randn(12, steps, 6), metrics=["score", "srank"])
    assert [(layer.name, layer.size) for layer in scan.layers] == [("core", 16), ("head", 20)]
    assert "recurrent" in str(scan.layers[0].obstacle)
    assert scan.layers[1].obstacle is None
    assert list(scan.measurements["srank"].layers) == ["head"]


def test_the_state_is_scored_behind_each_step() -> None:
    model, x = with_head(nn.GRU(6, 16, batch_first=True), 16), torch.randn(12, 8, 6)
    state, _ = dormancy.scan(model, x, metrics=["score"], batch_size=5).layers
    np.testing.assert_allclose(state.scores, shares(gru_states(model.core, x)), rtol=0, atol=1e-5)


def test_levels_and_directions_have_units_of_their_own() -> None:
    model = with_head(nn.GRU(6, 5, num_layers=2, bidirectional=True, batch_first=True), 10)
    x = torch.randn(12, 8, 6)
    first, second, head = dormancy.scan(model, x, metrics=["score"]).layers
    assert [(each.name, each.size) for each in (first, second, head)] == [
        ("core.l0", 10),
        ("core.l1", 10),
        ("head", 20),
    ]
    forth = gru_states(model.core, x)
    back = gru_states(model.core, x.flip(1), "_l0_reverse")[:, ::-1]
    np.testing.assert_allclose(first.scores, shares(np.concatenate([forth, back], -1)), rtol=0, atol=1e-5)


class Unrolled(nn.Module):
    """A recurrent network over a cell of PyTorch, or one that is written out."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.kind = cell
        made = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "rnn": nn.RNNCell}
        if cell in made:
            self.cell: nn.Module = made[cell](6, 16)
        else:
            gates = {"own rnn": 1, "dreamer": 3, "own lstm": 4, "reset first": 2}[cell]
            self.cell = nn.Linear(6 + 16, gates * 16)
            self.candidate = nn.Linear(6 + 16, 16)
            self.norm = nn.LayerNorm(gates * 16)
        self.head, self.out = nn.Linear(16, 20), nn.Linear(20, 2)

    def step(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, memory = state
        if self.kind == "lstm":
            found: tuple[Tensor, Tensor] = self.cell(x, state)
            return found
        if self.kind in ("gru", "rnn"):
            return self.cell(x, hidden), memory
        parts = self.cell(torch.cat([x, hidden], -1))
        if self.kind == "own rnn":
            return torch.tanh(parts), memory
        if self.kind == "own lstm":
            keep, write, out, value = parts.chunk(4, -1)
            memory = torch.sigmoid(keep) * memory + torch.sigmoid(write) * torch.tanh(value)
            return torch.sigmoid(out) * torch.tanh(memory), memory
        if self.kind == "reset first":
            reset, update = torch.sigmoid(parts).chunk(2, -1)
            candidate = torch.tanh(self.candidate(torch.cat([x, reset * hidden], -1)))
        else:
            reset, value, update = self.norm(parts).chunk(3, -1)
            candidate, update = torch.tanh(torch.sigmoid(reset) * value), torch.sigmoid(update - 1)
        return update * candidate + (1 - update) * hidden, memory

    def forward(self, x: Tensor) -> Tensor:
        state, found = (x.new_zeros(len(x), 16), x.new_zeros(len(x), 16)), []
        for step in range(x.shape[1]):
            state = self.step(x[:, step], state)
            found.append(F.relu(self.head(state[0])))
        out: Tensor = self.out(torch.stack(found, 1))
        return out

    def states(self, x: Tensor) -> Any:
        state, found = (x.new_zeros(len(x), 16), x.new_zeros(len(x), 16)), []
        for step in range(x.shape[1]):
            state = self.step(x[:, step], state)
            found.append(state[0])
        return torch.stack(found, 1).detach().double().numpy()


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn", "own rnn", "own lstm", "dreamer", "reset first"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_cells_and_their_unrolled_heads_are_pooled(cell: str, steps: int) -> None:
    model, x = Unrolled(cell), torch.randn(12, steps, 6)
    scan = dormancy.scan(model, x, metrics=["score"])
    assert [layer.size for layer in scan.layers] == [16, 20], [layer.name for layer in scan.layers]
    state, head = scan.layers
    states = model.states(x)
    np.testing.assert_allclose(state.scores, shares(states), rtol=0, atol=1e-5)
    weight, bias = (each.detach().double().numpy() for each in (model.head.weight, model.head.bias))
    np.testing.assert_allclose(head.scores, shares(np.maximum(states @ weight.T + bias, 0)), rtol=0, atol=1e-5)
    if steps > 1 or cell in FUSED:
        assert state.obstacle
    assert head.obstacle is None


@settings(max_examples=20, derandomize=True)
@given(steps=st.integers(1, 5), width=st.integers(2, 9), shared=st.booleans(), seed=st.integers(0, 100))
def test_shared_layers_are_recycled_and_masked_exactly(steps: int, width: int, shared: bool, seed: int) -> None:
    torch.manual_seed(seed)

    def forward(m: Any, x: Tensor) -> Tensor:
        parts = [F.relu(m.encoder(x[:, step])) for step in range(steps)]
        if shared:  # what reads the parts is shared, too
            return torch.stack([m.reader(part) for part in parts], 1)
        return m.reader(torch.cat(parts, -1))

    reader = nn.Linear(width if shared else steps * width, 3)
    model = Functional(forward, encoder=nn.Linear(6, width), reader=reader)
    x = torch.randn(12, steps, 6)
    with torch.no_grad():
        model.encoder.bias[0] = -30
    (layer,) = trace_neurons(model, x[:2])
    assert (layer.name, layer.size, layer.obstacle) == ("encoder", width, None)
    before, silent = outputs(model, x), np.arange(width) == 0
    assert same(before, outputs(prune(model, PrunePlanner(model, x[:2]).plan({"encoder": silent})), x))
    report = ReDo(model, tau=0.0, period=1).step(x)
    assert report is not None
    assert 0 in report.plan["encoder"].neurons
    assert same(before, outputs(model, x))


def test_what_feeds_a_recurrent_module_is_exact() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.out(m.core(F.relu(m.dense(x)))[0])

    model = Functional(forward, dense=nn.Linear(6, 8), core=nn.LSTM(8, 5, batch_first=True), out=nn.Linear(5, 2))
    with torch.no_grad():
        model.dense.bias[[1, 3]] = -30
    x = torch.randn(12, 4, 6)
    before = outputs(model, x)
    report = ReDo(model, tau=0.0, period=1).step(x)
    assert report is not None
    assert set(report.plan["dense"].neurons.tolist()) >= {1, 3}
    assert "core.weight_ih_l0" in report.plan.parameters
    assert same(before, outputs(model, x))


def test_the_rank_is_that_of_the_vectors_read() -> None:
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(200, 10, 6)
    scan = dormancy.scan(model, x, metrics=["srank"])
    vectors = model[:4](x).detach().double().numpy().reshape(-1, 8)
    values = np.linalg.svd(vectors, compute_uv=False)
    wanted = int(np.argmax(np.cumsum(values) / values.sum() >= 0.99)) + 1
    assert scan.measurements["srank"].layers == {"2": wanted}
    assert wanted <= 8


def test_a_pooled_map_is_one_vector() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(F.relu(m.conv(x)).mean((2, 3)))

    model, x = Functional(forward, conv=nn.Conv2d(3, 6, 3), head=nn.Linear(6, 2)), torch.randn(40, 3, 6, 6)
    gram = Probe(model, x).features["conv"]
    vectors = F.relu(model.conv(x)).mean((2, 3)).detach().double().numpy()
    np.testing.assert_allclose(gram.singular_values, np.linalg.svd(vectors, compute_uv=False), rtol=1e-4)


def test_only_the_last_block_of_a_residual_network_is_penultimate() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.stem(x)
        for block in (m.first, m.second):
            x = x + block(x)
        return m.head(m.norm(x))

    def block() -> nn.Module:
        return nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8))

    model = Functional(
        forward, stem=nn.Linear(6, 8), first=block(), second=block(), norm=nn.LayerNorm(8), head=nn.Linear(8, 2)
    )
    scan = dormancy.scan(model, torch.randn(50, 6))
    assert [(layer.name, layer.penultimate) for layer in scan.layers] == [("first.1", False), ("second.1", True)]
    assert list(scan.measurements["srank"].layers) == ["second.1"]
