"""What lies between a layer's weights and its readers: found whatever it is called, cut along, or named as a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.pruning import PrunePlanner, prune
from tests.pruning.helpers import every, outputs, relative
from tests.zoo import Functional

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


class Gained(nn.Module):
    """A convolution with a gain of its own for every channel, position, or the whole of it."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(96, 2)
        self.gain = nn.Parameter(torch.rand(*shape) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((F.relu(self.conv(x)) * self.gain).flatten(1))


def planned(model: nn.Module, inputs: Any, name: str) -> tuple[nn.Module, nn.Module, str | None]:
    """Return the masked and the narrower network, and why the layer was not narrowed, if it was not."""
    planner = PrunePlanner(model, inputs)
    chosen = {name: every(planner.graph[name])}
    plan = planner.plan(chosen, "remove")
    assert plan.refused == {}
    return prune(model, planner.plan(chosen)), prune(model, plan), plan[name].unnarrowed


def agree(masked: nn.Module, removed: nn.Module, inputs: Any) -> bool:
    return relative(outputs(removed, inputs), outputs(masked, inputs)) <= 1e-5


def test_running_statistics_and_slopes_are_cut_with_their_channels() -> None:
    model = nn.Sequential(nn.Conv2d(3, 9, 3, bias=False), nn.BatchNorm2d(9), nn.PReLU(9), nn.Conv2d(9, 4, 3)).eval()
    with torch.no_grad():
        model[1].running_mean.uniform_(-1, 1)
        model[1].running_var.uniform_(0.5, 2)
        model[2].weight.uniform_(0, 1)
    masked, removed, reason = planned(model, IMAGES, "0")
    assert reason is None
    assert agree(masked, removed, IMAGES)
    assert (removed[0].out_channels, removed[1].num_features, removed[2].num_parameters) == (6, 6, 6)
    assert removed[3].in_channels == 6
    assert removed[1].running_var.shape == (6,)


def test_one_slope_for_all_neurons_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(5, 9), nn.PReLU(), nn.Linear(9, 2))
    masked, removed, reason = planned(model, X, "0")
    assert reason is None
    assert removed[1].weight.shape == (1,)
    assert agree(masked, removed, X)


@pytest.mark.parametrize(
    ("shape", "cut"),
    [((6, 1, 1), (4, 1, 1)), ((1, 6, 1, 1), (1, 4, 1, 1)), ((6, 4, 4), (4, 4, 4)), ((1,), (1,)), ((4, 4), (4, 4))],
)
def test_gains_are_cut_where_they_belong_to_channels(shape: tuple[int, ...], cut: tuple[int, ...]) -> None:
    masked, removed, reason = planned(Gained(*shape), IMAGES, "conv")
    assert reason is None
    assert tuple(removed.gain.shape) == cut  # type: ignore[union-attr]
    assert agree(masked, removed, IMAGES)


def test_a_gain_behind_the_flattening_is_cut_position_by_position() -> None:
    class Flat(Gained):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(self.conv(x)).flatten(1) * self.gain)

    masked, removed, reason = planned(Flat(96), IMAGES, "conv")
    assert reason is None
    assert tuple(removed.gain.shape) == (64,)  # type: ignore[union-attr]
    assert agree(masked, removed, IMAGES)


def test_an_offset_between_weight_and_nonlinearity_is_cut() -> None:
    class Offset(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.offset = nn.Linear(5, 9), nn.Linear(9, 2), nn.Parameter(torch.randn(9))

        def forward(self, x: Tensor) -> Tensor:
            return self.b(F.relu(self.a(x) + self.offset))

    masked, removed, reason = planned(Offset(), X, "a")
    assert reason is None
    assert tuple(removed.offset.shape) == (6,)  # type: ignore[union-attr]
    assert agree(masked, removed, X)


def tied_readers() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 5))
    model.add_module("spare", nn.Linear(9, 9))
    model.spare.weight = model[2].weight  # type: ignore[union-attr]
    return nn.Sequential(Functional(lambda m, x: m.net[4](m.net[3](m.net[2](m.net[1](m.net[0](x))))), net=model))


def fixed_view() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(F.relu(m.conv(x)).view(-1, 6 * 16))

    return Functional(forward, conv=nn.Conv2d(3, 6, 3), head=nn.Linear(96, 2))


def constant_gain() -> nn.Module:
    gain = torch.rand(9)
    return Functional(lambda m, x: m.b(F.relu(m.a(x)) * gain), a=nn.Linear(5, 9), b=nn.Linear(9, 2))


class Noisy(nn.Linear):
    """A layer that has noise in training and none in evaluation, as Rainbow does."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__(fan_in, fan_out)
        self.sigma = nn.Parameter(torch.full((fan_out, fan_in), 0.1))

    def forward(self, input: Tensor) -> Tensor:
        noise = self.sigma * torch.randn_like(self.sigma) if self.training else 0.0
        return F.linear(input, self.weight if isinstance(noise, float) else self.weight + noise, self.bias)


def group(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("build", "inputs", "layer", "reason"),
    [
        (group(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2)), IMAGES, "0", "read by a group or part"),
        (group(nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 4, 3)), IMAGES, "0", "grouped convolution"),
        (group(nn.Linear(5, 9), nn.LayerNorm(9), nn.ReLU(), nn.Linear(9, 2)), X, "0", "LayerNorm before"),
        (group(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Conv2d(6, 2, 3)), IMAGES, "0", "GroupNorm before"),
        (tied_readers, X, "0.net.0", "'0.net.2.weight' is shared with another module"),
        (fixed_view, IMAGES, "conv", "the network does not run when the layer is narrower"),
        (constant_gain, X, "a", "the network does not run when the layer is narrower"),
    ],
)
def test_layers_that_cannot_be_narrowed_are_masked_and_say_why(
    build: Callable[[], nn.Module], inputs: Tensor, layer: str, reason: str
) -> None:
    masked, removed, told = planned(build().eval(), inputs, layer)
    assert reason in str(told)
    assert all(torch.equal(a, b) for a, b in zip(outputs(masked, inputs), outputs(removed, inputs), strict=True))


def test_only_the_layer_that_cannot_be_narrowed_is_masked() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        features = F.relu(m.conv(x)).view(-1, 6 * 16)
        return m.head(F.relu(m.dense(features)))

    model = Functional(forward, conv=nn.Conv2d(3, 6, 3), dense=nn.Linear(96, 9), head=nn.Linear(9, 2))
    planner = PrunePlanner(model, IMAGES)
    plan = planner.plan({layer.name: every(layer) for layer in planner.graph}, "remove")
    assert "does not run" in str(plan["conv"].unnarrowed)
    assert plan["dense"].unnarrowed is None
    assert plan.sizes == {"conv": 6, "dense": 6}
    masked = prune(model, planner.plan({layer.name: every(layer) for layer in planner.graph}))
    assert agree(masked, prune(model, plan), IMAGES)


def test_layers_that_would_give_other_outputs_are_masked() -> None:
    """The network shifts its features by one place: narrower, the wrong neuron would arrive at every column."""

    def forward(m: Any, x: Tensor) -> Tensor:
        hidden = F.relu(m.a(x))
        scale = torch.linspace(1, 2, hidden.shape[1])  # follows the width, so nothing fails
        return m.b(hidden * scale)

    model = Functional(forward, a=nn.Linear(5, 9), b=nn.Linear(9, 2))
    masked, removed, told = planned(model, X, "a")
    assert told == "the network gives other outputs when the layer is narrower"
    assert all(torch.equal(a, b) for a, b in zip(outputs(masked, X), outputs(removed, X), strict=True))


@pytest.mark.parametrize(
    ("layers", "inputs", "reason"),
    [
        ((nn.Conv2d(3, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 2, 3)), IMAGES, "still sends a constant"),
        ((nn.Linear(5, 9), nn.ReLU(), nn.LayerNorm(9), nn.Linear(9, 2)), X, "LayerNorm behind its nonlinearity"),
    ],
)
def test_layers_where_silence_is_not_absence_are_refused_unless_allowed(
    layers: tuple[nn.Module, ...], inputs: Tensor, reason: str
) -> None:
    model = nn.Sequential(*layers)
    nn.init.constant_(model[2].bias, 0.5)
    planner = PrunePlanner(model, inputs)
    chosen = {"0": every(planner.graph["0"])}
    refused = planner.plan(chosen)
    assert reason in str(refused["0"].refused)
    assert refused.pruned == 0
    allowed = planner.plan(chosen, "remove", allow_inexact=True)
    assert allowed.pruned == chosen["0"].sum()
    assert reason in str(allowed["0"].inexact)
    assert agree(prune(model, planner.plan(chosen, allow_inexact=True)), prune(model, allowed), inputs)


def test_a_network_with_an_embedding_of_integers() -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2))
    tokens = torch.randint(0, 7, (6, 3), generator=torch.Generator().manual_seed(2))
    masked, removed, reason = planned(model, tokens, "1")
    assert reason is None
    assert agree(masked, removed, tokens)


def test_compiled_networks_are_pruned_as_what_they_wrap() -> None:
    class Wrapped(nn.Module):
        """What torch.compile returns holds the network as `_orig_mod`."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self._orig_mod = inner

        def forward(self, x: Tensor) -> Tensor:
            return self._orig_mod(x)

    inner = nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 2))
    planner = PrunePlanner(Wrapped(inner), X)
    removed = prune(Wrapped(inner), planner.plan({"0": np.arange(9) < 4}, "remove"))
    assert isinstance(removed, nn.Sequential)
    assert removed[0].out_features == 5
