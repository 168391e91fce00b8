"""Resets of whole layers and shrink-and-perturb: which parameters, what values, what the optimizer forgets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import RewriteRefused, UsageError
from dormancy.networks import NatureNetwork
from dormancy.recycle import LayerReset, ShrinkAndPerturb
from tests.edits.test_optimizer_state import train
from tests.recycle.helpers import copies, silenced_mlp
from tests.zoo import ZOO


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, each in copies(model).items() if not torch.equal(before[name], each)}


def noisy(model: nn.Module) -> nn.Module:
    """Move every parameter off its initial value, biases of 0 included."""
    with torch.no_grad():
        for each in model.parameters():
            each.add_(1.0)
    return model


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("last", {"head", "value"}),
        (1, {"head", "value"}),
        (2, {"head", "value", "fc1"}),
        (3, {"head", "value", "fc1", "conv3"}),
        (99, {"head", "value", "fc1", "conv3", "conv2", "conv1"}),
        ("all", {"head", "value", "fc1", "conv3", "conv2", "conv1"}),
        (["conv1", "head"], {"conv1", "head"}),
    ],
)
def test_the_layers_asked_for_are_reset_and_no_other(which: Any, expected: set[str]) -> None:
    """Both heads of a dueling network are its last layer."""
    model = noisy(NatureNetwork(4, width=0.1, dueling=True))
    before = copies(model)
    observations = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    report = LayerReset(model, which=which, period=1).step(observations)
    assert report is not None
    names = {f"{layer}.{part}" for layer in expected for part in ("weight", "bias")}
    assert changed(model, before) == set(report.plan.parameters) == names
    assert all((model.get_parameter(f"{layer}.bias") == 0).all() for layer in expected)
    assert str(report.plan).splitlines()[0] == "whole parameters:"


def test_values_come_from_the_layers_own_initialiser_and_differ_each_time() -> None:
    model, inputs = silenced_mlp()
    noisy(model)
    reset = LayerReset(model, which="all", period=2)
    assert reset.step(inputs) is None
    reset.step(inputs)
    first = copies(model)
    assert first["0.weight"].abs().max() <= 5**-0.5
    reset.step(inputs)
    reset.step(inputs)
    assert changed(model, first) == set(first)


def test_the_optimizer_forgets_what_was_reset_as_a_whole() -> None:
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, inputs)
    LayerReset(model, optimizer, period=1).step(inputs)
    head, body = optimizer.state[model[4].weight], optimizer.state[model[2].weight]
    assert float(head["step"]) == 0
    assert (head["exp_avg"] == 0).all()
    assert float(body["step"]) == 3
    assert (body["exp_avg"] != 0).any()


def test_frozen_parameters_and_scalars() -> None:
    class WithScalar(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.log_alpha = nn.Linear(2, 2), nn.Parameter(torch.tensor(0.5))

        def reset_parameters(self) -> None:
            self.body.reset_parameters()
            nn.init.zeros_(self.log_alpha)

        def forward(self, inputs: Tensor) -> Tensor:
            outputs: Tensor = self.body(inputs)
            return outputs

    model = WithScalar()
    model.body.bias.requires_grad_(False)
    before = copies(model)
    LayerReset(model, which="all", period=1).step(torch.zeros(1, 2))
    assert changed(model, before) == {"body.weight", "log_alpha"}
    assert float(model.log_alpha.detach()) == 0.0


def test_a_parameter_that_cannot_be_drawn_is_told_and_nothing_is_changed() -> None:
    model, inputs = ZOO["weights-as-matrices"]()
    before = copies(model)
    with pytest.raises(RewriteRefused, match="cannot reset parameter 'w1': no module says"):
        LayerReset(model, which="all", period=1).step(inputs)
    assert changed(model, before) == set()
    LayerReset(model, which=2, period=1, fresh=lambda: ZOO["weights-as-matrices"]()[0]).step(inputs)
    assert changed(model, before) == {"w1", "w2"}


def test_last_layers_that_cannot_be_told_are_refused() -> None:
    model, inputs = ZOO["unknown-operation"]()
    with pytest.raises(RewriteRefused, match="cannot tell the weights behind layer 'a'"):
        LayerReset(model, period=1).step(inputs)


@pytest.mark.parametrize(
    ("which", "message"), [(0, "at least 1"), ("first", "must be 'last', 'all'"), (["4x"], "module")]
)
def test_impossible_layers_are_told(which: Any, message: str) -> None:
    model, inputs = silenced_mlp()
    with pytest.raises(UsageError, match=message):
        LayerReset(model, which=which, period=1).step(inputs)


@pytest.mark.parametrize("shrink", [0.0, 0.6, 1.0])
def test_shrink_and_perturb_in_closed_form(shrink: float) -> None:
    model, inputs = silenced_mlp()
    fresh = ShrinkAndPerturb(model, shrink=0.0).plan(inputs)
    values = {edit.parameter: edit.fill for edit in fresh.edits}
    before = copies(model)
    ShrinkAndPerturb(model, shrink=shrink, period=1).step(inputs)
    for name, each in copies(model).items():
        new = values[name]
        assert isinstance(new, Tensor)
        assert torch.allclose(each, shrink * before[name] + (1 - shrink) * new, atol=1e-6)
    if shrink == 1.0:
        assert changed(model, before) == set()


def test_shrink_and_perturb_keeps_optimizer_state_and_can_be_limited() -> None:
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, inputs)
    before = copies(model)
    recycler = ShrinkAndPerturb(model, optimizer, modules=["4"], period=2)
    assert recycler.step() is None
    assert recycler.step() is not None
    assert changed(model, before) == {"4.weight", "4.bias"}
    assert (optimizer.state[model[4].weight]["exp_avg"] != 0).any()
    with pytest.raises(UsageError, match=r"shrink must lie within 0\.\.1"):
        ShrinkAndPerturb(model, shrink=1.5)


@pytest.mark.parametrize("kind", [LayerReset, ShrinkAndPerturb])
def test_a_resumed_run_goes_on(kind: Any) -> None:
    model, inputs = silenced_mlp()
    first = kind(model, period=2)
    first.step(inputs)
    first.step(inputs)
    second = kind(model, period=2)
    second.load_state_dict(first.state_dict())
    assert second.plan(inputs) == first.plan(inputs)
