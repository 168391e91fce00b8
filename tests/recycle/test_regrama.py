"""ReGraMa: neurons are chosen by the gradient that reaches them, and stay heard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import NetworkError, UsageError
from dormancy.graph import trace_neurons
from dormancy.recycle import ReGraMa
from tests.recycle.helpers import copies, mlp, same
from tests.zoo import ZOO


def total(outputs: Any) -> Tensor:
    tensors = torch.utils._pytree.tree_leaves(outputs)
    return torch.stack([each.sum() for each in tensors]).sum()


def test_the_score_is_the_gradient_of_the_loss_over_its_mean() -> None:
    """For a sum of outputs, ∂L/∂h is the sum of the outgoing weights: the scores in closed form."""
    torch.manual_seed(0)
    model, inputs = mlp(sizes=(5, 40, 3)), torch.randn(16, 5)
    sizes = model[2].weight.detach().double().sum(0).abs().numpy()
    scores = sizes / sizes.mean()
    for tau in (0.05, 0.3, 1.0):
        plan = ReGraMa(model, tau=tau).plan(inputs, lambda outputs: outputs.sum())
        assert plan["0"].neurons.tolist() == np.flatnonzero(scores <= tau).tolist()
        assert plan == ReGraMa(model, tau=tau).plan(inputs, lambda outputs: 1e-6 * outputs.sum())


@pytest.mark.parametrize("name", ZOO)
def test_any_network_can_be_looked_at_and_is_left_alone(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = ZOO[name]()
    before = copies(model)
    plan = ReGraMa(model, tau=0.1, fresh=lambda: ZOO[name]()[0]).plan(inputs, total)
    refused = {layer.name for layer in trace_neurons(model, inputs) if layer.obstacle}
    assert set(plan.refused) == refused
    assert all(each.grad is None for each in model.parameters())
    assert same(list(before.values()), list(copies(model).values()))


def unheard_mlp() -> tuple[nn.Sequential, Tensor]:
    """Neurons 1 and 4 of layer "0" are active, but nothing listens to them: no gradient reaches them."""
    torch.manual_seed(1)
    model, inputs = mlp(sizes=(5, 8, 6, 2)), torch.randn(64, 5)
    with torch.no_grad():
        model[2].weight[:, [1, 4]] = 0.0
    return model, inputs


def test_neurons_without_gradient_are_recycled_and_stay_heard() -> None:
    model, inputs = unheard_mlp()
    with torch.no_grad():
        model[2].weight[0, 4] = 1e-9
    outgoing = model[2].weight.detach().clone()
    report = ReGraMa(model, tau=1e-6, period=1).step(inputs, lambda outputs: outputs.square().mean())
    assert report is not None
    assert report.plan["0"].neurons.tolist() == [1, 4]
    assert torch.equal(model[2].weight, outgoing)
    assert {edit.role for edit in report.plan.edits} == {"incoming", "bias"}


def test_it_acts_every_period_and_needs_the_loss_only_then() -> None:
    model, inputs = unheard_mlp()
    recycler = ReGraMa(model, torch.optim.Adam(model.parameters()), period=2)
    assert recycler.step(inputs) is None
    with pytest.raises(UsageError, match="give step\\(\\) the loss"):
        recycler.step(inputs)
    state = recycler.state_dict()
    other = ReGraMa(model, period=2)
    other.load_state_dict(state)
    assert other.state_dict() == state


def test_a_loss_that_does_not_look_at_the_network_is_told() -> None:
    model, inputs = unheard_mlp()
    with pytest.raises(NetworkError, match="no gradient reaches the neurons"):
        ReGraMa(model).plan(inputs, lambda outputs: outputs.detach().sum())
