"""Penalties against torch's own weight decay, autograd, and pencil and paper."""

from __future__ import annotations

import copy

import pytest
import torch

from dormancy.errors import UsageError
from dormancy.recycle import L2Init, add_weight_decay
from tests.recycle.helpers import copies, silenced_mlp


def test_weight_decay_is_what_adam_calls_weight_decay() -> None:
    model, inputs = silenced_mlp()
    twin = copy.deepcopy(model)
    ours, theirs = torch.optim.Adam(model.parameters()), torch.optim.Adam(twin.parameters(), weight_decay=1e-2)
    for _ in range(5):
        for each, optimizer in ((model, ours), (twin, theirs)):
            optimizer.zero_grad()
            each(inputs).square().mean().backward()
            if each is model:
                add_weight_decay(model.parameters(), 1e-2)
            optimizer.step()
    assert all(torch.equal(copies(model)[name], each) for name, each in copies(twin).items())


def test_parameters_without_gradient_are_left_out() -> None:
    model, _ = silenced_mlp()
    add_weight_decay(model.parameters(), 1e-2)
    L2Init(model).add_gradient()
    assert all(each.grad is None for each in model.parameters())


def test_l2_init_is_a_squared_distance_and_its_gradient() -> None:
    model, _ = silenced_mlp()
    model[0].bias.requires_grad_(False)
    penalty = L2Init(model, 0.5)
    assert float(penalty.penalty().detach()) == 0.0
    with torch.no_grad():
        model[4].bias.add_(torch.tensor([1.0, 2.0, -3.0]))
        model[0].bias.add_(100.0)
    loss = penalty.penalty()
    assert float(loss.detach()) == pytest.approx(0.5 * (1 + 4 + 9))
    loss.backward()
    by_autograd = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad(set_to_none=False)
    penalty.add_gradient()
    for name, gradient in by_autograd.items():
        assert torch.allclose(gradient, model.get_parameter(name).grad, atol=1e-6)  # type: ignore[arg-type]
    assert torch.allclose(by_autograd["4.bias"], torch.tensor([1.0, 2.0, -3.0]))


def test_l2_init_is_resumed_with_the_weights_of_the_beginning() -> None:
    model, _ = silenced_mlp()
    begun = L2Init(model)
    with torch.no_grad():
        model[4].bias.add_(1.0)
    resumed = L2Init(model)
    assert float(resumed.penalty().detach()) == 0.0
    resumed.load_state_dict(begun.state_dict())
    assert float(resumed.penalty().detach()) == pytest.approx(3e-2)
    with pytest.raises(UsageError, match="of another network"):
        resumed.load_state_dict({"x": torch.zeros(1)})


def test_negative_coefficients_are_refused() -> None:
    model, _ = silenced_mlp()
    with pytest.raises(UsageError, match="must be 0 or more"):
        L2Init(model, -1.0)
    with pytest.raises(UsageError, match="must be 0 or more"):
        add_weight_decay(model.parameters(), -1.0)
