"""Random networks: the column map is exact or the layer is refused, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dormancy.graph import call_model, trace_neurons, undisturbed
from dormancy.graph.ops import tensors_in
from tests.graph.test_certificate import cut_outputs, moves_behind, silenced_outputs

ACTS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "clamp": lambda y: y.clamp(min=0),
    "in place": lambda y: y.relu_(),
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "written out": lambda y: y * torch.sigmoid(y),
    "tanh": torch.tanh,
    "leaky": F.leaky_relu,
    "crelu": lambda y: torch.cat([y.relu(), (-y).relu()], dim=1),
    "crelu in one": lambda y: torch.cat([y, -y], dim=1).relu(),
}
SHAPES = ("plain", "layer norm", "residual", "two branches", "scaled", "shuffled", "sorted", "shifted")


class Random(nn.Module):
    """Blocks one after the other, on vectors or on maps; what a block does to its values is drawn."""

    def __init__(self, maps: bool, blocks: list[tuple[int, str, str]], flatten_last: bool) -> None:
        super().__init__()
        self.maps, self.blocks, self.flatten_last = maps, blocks, flatten_last
        width = 3 if maps else 5
        for index, (size, act, shape) in enumerate(blocks):
            self.add_module(f"block{index}", self._weights(width, size))
            produced = 2 * size if act.startswith("crelu") else size
            if shape == "two branches":
                self.add_module(f"side{index}", self._weights(width, 2))
                produced += 2
            if shape == "residual":
                self.add_module(f"skip{index}", self._weights(width, produced))
            if shape == "layer norm":
                self.add_module(f"norm{index}", nn.GroupNorm(1, size) if maps else nn.LayerNorm(size))
            width = produced
        self.head = nn.Linear(width * (16 if maps else 1), 2)

    def _weights(self, width: int, size: int) -> nn.Module:
        return nn.Conv2d(width, size, 3, padding=1) if self.maps else nn.Linear(width, size)

    def forward(self, x: Tensor) -> Tensor:
        children = dict(self.named_children())
        for index, (_, act, shape) in enumerate(self.blocks):
            y = children[f"block{index}"](x)
            y = children[f"norm{index}"](y) if shape == "layer norm" else y
            y = ACTS[act](y)
            if shape == "two branches":
                y = torch.cat([torch.tanh(children[f"side{index}"](x)), y], dim=1)
            x = self._shaped(y, shape, children.get(f"skip{index}"), x)
        if self.maps:
            x = (x.permute(0, 2, 3, 1) if self.flatten_last else x).reshape(len(x), -1)
        out: Tensor = self.head(x)
        return out

    @staticmethod
    def _shaped(y: Tensor, shape: str, skip: nn.Module | None, x: Tensor) -> Tensor:
        changes: dict[str, Callable[[], Any]] = {
            "residual": lambda: y + skip(x) if skip else y,
            "scaled": lambda: y * 0.5,
            "shuffled": lambda: y.flip(1),
            "sorted": lambda: y.sort(dim=1).values,
            "shifted": lambda: y + 1.0,
        }
        return changes.get(shape, lambda: y)()


blocks = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from(sorted(ACTS)), st.sampled_from(SHAPES)), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(maps=st.booleans(), blocks=blocks, flatten_last=st.booleans(), seed=st.integers(0, 1000))
def test_the_certificate_holds_or_the_layer_is_refused(
    maps: bool, blocks: list[tuple[int, str, str]], flatten_last: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    model = Random(maps, blocks, flatten_last)
    inputs = torch.randn(4, 3, 4, 4) if maps else torch.randn(4, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graph = trace_neurons(model, inputs)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert graph.neurons >= sum(size for size, _, _ in blocks)
    for layer in graph:
        if layer.obstacle or moves_behind(layer):
            continue
        neurons = torch.randperm(layer.size)[: max(1, layer.size // 2)].sort().values
        cut, silenced = cut_outputs(model, inputs, layer, neurons), silenced_outputs(model, inputs, layer, neurons)
        assert all(torch.equal(a, b) for a, b in zip(cut, silenced, strict=True)), layer


@settings(max_examples=25, deadline=None, derandomize=True)
@given(maps=st.booleans(), blocks=blocks, seed=st.integers(0, 1000))
def test_sorted_and_residual_values_are_always_refused(
    maps: bool, blocks: list[tuple[int, str, str]], seed: int
) -> None:
    torch.manual_seed(seed)
    model = Random(maps, blocks, False)
    inputs = torch.randn(2, 3, 4, 4) if maps else torch.randn(2, 5)
    graph = trace_neurons(model, inputs)
    obstacles = {layer.name.partition("#")[0]: layer.obstacle for layer in graph}
    for index, (size, _, shape) in enumerate(blocks):
        if shape == "residual" or (shape == "sorted" and size > 1):
            assert obstacles[f"block{index}"], (blocks, obstacles)
    with undisturbed(model):
        assert tensors_in(call_model(model, inputs))[0].shape == (2, 2)
