"""An optimizer forgets exactly the edited numbers, found by parameter identity, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dormancy.edits.optimizer_state import MOMENTS
from dormancy.errors import UsageError
from dormancy.recycle import OptimizerPolicy, RecyclePlan, ReDo, apply_plan
from tests.recycle.helpers import copies, mlp, silenced_mlp

Builder = Callable[[Any], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Builder] = {
    "adam": lambda p: torch.optim.Adam(p),
    "adam-amsgrad": lambda p: torch.optim.Adam(p, amsgrad=True),
    "adam-fused": lambda p: torch.optim.Adam(p, fused=True),
    "adam-foreach": lambda p: torch.optim.Adam(p, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p),
    "adamw-fused": lambda p: torch.optim.AdamW(p, fused=True),
    "adamax": lambda p: torch.optim.Adamax(p),
    "nadam": lambda p: torch.optim.NAdam(p),
    "radam": lambda p: torch.optim.RAdam(p),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "rmsprop": lambda p: torch.optim.RMSprop(p),
    "rmsprop-centred-momentum": lambda p: torch.optim.RMSprop(p, centered=True, momentum=0.9),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd-momentum-fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


def edited(plan: RecyclePlan, model: nn.Module) -> dict[str, Tensor]:
    """Booleans in the shape of each parameter: which numbers the plan writes."""
    marks = {name: torch.zeros(each.shape, dtype=torch.bool) for name, each in model.named_parameters()}
    for edit in plan.edits:
        edit.within(marks[edit.parameter]).index_fill_(edit.dim, torch.from_numpy(edit.index), True)
    return marks


def moments(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    state = optimizer.state[parameter]
    return {key: each for key, each in state.items() if isinstance(each, Tensor) and each.dim() > 0}


def with_noise(optimizer: torch.optim.Optimizer) -> None:
    """Make every moment non-zero, so that clearing shows."""
    for state in optimizer.state.values():
        for each in state.values():
            if isinstance(each, Tensor) and each.dim() > 0:
                each.copy_(torch.rand_like(each) + 0.5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_exactly_the_edited_entries_are_cleared(name: str, bias: bool) -> None:
    model, inputs = silenced_mlp(bias)
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, inputs)
    with_noise(optimizer)
    before = {key: {k: v.clone() for k, v in moments(optimizer, p).items()} for key, p in model.named_parameters()}
    places = {key: {k: v.data_ptr() for k, v in moments(optimizer, p).items()} for key, p in model.named_parameters()}
    report = ReDo(model, optimizer, tau=0.3, period=1).step(inputs)
    assert report is not None
    assert report.recycled > 0
    for key, mark in edited(report.plan, model).items():
        after = moments(optimizer, model.get_parameter(key))
        assert set(after) <= MOMENTS
        assert bool(after) == (name != "sgd")
        for kind, each in after.items():
            assert (each[mark] == 0).all(), (key, kind)
            assert torch.equal(each[~mark], before[key][kind][~mark]), (key, kind)
            assert each.data_ptr() == places[key][kind]


@pytest.mark.parametrize("name", ["adam", "adam-fused", "rmsprop", "adadelta"])
def test_step_counts_are_kept_or_restarted_in_place(name: str) -> None:
    for policy, expected in (("moments", 3.0), ("moments+step", 0.0), ("none", 3.0)):
        model, inputs = silenced_mlp()
        optimizer = OPTIMIZERS[name](model.parameters())
        train(model, optimizer, inputs)
        counts = {key: optimizer.state[each]["step"] for key, each in model.named_parameters()}
        report = ReDo(model, optimizer, tau=0.0, period=1, optimizer_policy=policy).step(inputs)  # type: ignore[arg-type]
        assert report is not None
        assert "4.bias" not in report.plan.parameters
        for key, each in model.named_parameters():
            assert optimizer.state[each]["step"] is counts[key]
            assert float(counts[key]) == (expected if key in report.plan.parameters else 3.0)
        train(model, optimizer, inputs)


def test_policy_none_keeps_all_state() -> None:
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, inputs)
    with_noise(optimizer)
    before = [each.clone() for p in model.parameters() for each in moments(optimizer, p).values()]
    ReDo(model, optimizer, tau=0.0, period=1, optimizer_policy="none").step(inputs)
    after = [each for p in model.parameters() for each in moments(optimizer, p).values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_authors_keep_the_moments_of_biases() -> None:
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, inputs)
    with_noise(optimizer)
    report = ReDo(model, optimizer, tau=0.0, period=1, semantics="dopamine").step(inputs)
    assert report is not None
    assert report.recycled > 0
    assert (optimizer.state[model[0].bias]["exp_avg"] > 0).all()
    assert (optimizer.state[model[0].weight]["exp_avg"] == 0).any()


def test_only_the_roles_asked_for_are_forgotten() -> None:
    """Rows of the second weight are drawn anew, columns of it zeroed: both edit one parameter."""
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, inputs)
    with_noise(optimizer)
    policy = OptimizerPolicy(roles=frozenset({"incoming"}))
    report = ReDo(model, optimizer, tau=0.0, period=1, optimizer_policy=policy).step(inputs)
    assert report is not None
    moment, rows = optimizer.state[model[2].weight]["exp_avg"], report.plan["2"].neurons
    others = [row for row in range(9) if row not in rows]
    assert (moment[rows] == 0).all()
    assert (moment[others] > 0).all()


def test_state_is_found_by_identity_in_groups_and_in_several_optimizers() -> None:
    """Groups in reverse order, a group without biases, one parameter in nobody's care: positions would lie."""
    model, inputs = silenced_mlp()
    head = torch.optim.RMSprop([{"params": [model[4].bias]}, {"params": [model[4].weight], "lr": 1e-3}])
    body = torch.optim.Adam([{"params": [model[2].weight, model[2].bias]}, {"params": [model[0].weight]}])
    for _ in range(2):
        model(inputs).square().mean().backward()
        body.step()
        head.step()
    for optimizer in (head, body):
        with_noise(optimizer)
    report = ReDo(model, [head, body], tau=0.0, period=1).step(inputs)
    assert report is not None
    marks = edited(report.plan, model)
    for key, optimizer, kind in (
        ("0.weight", body, "exp_avg"),
        ("2.weight", body, "exp_avg_sq"),
        ("2.bias", body, "exp_avg"),
        ("4.weight", head, "square_avg"),
    ):
        state = optimizer.state[model.get_parameter(key)][kind]
        assert torch.equal(state == 0, marks[key]), key


def test_an_optimizer_that_has_not_stepped_yet_has_nothing_to_forget() -> None:
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adam(model.parameters())
    ReDo(model, optimizer, tau=0.0, period=1, optimizer_policy="moments+step").step(inputs)
    assert not optimizer.state
    train(model, optimizer, inputs)


@pytest.mark.parametrize("optimizer_type", [torch.optim.ASGD, torch.optim.Rprop, torch.optim.Adagrad])
def test_state_of_an_unknown_kind_is_an_error_and_nothing_is_changed(optimizer_type: Any) -> None:
    model, inputs = silenced_mlp()
    optimizer = optimizer_type(model.parameters())
    train(model, optimizer, inputs)
    weights = copies(model)
    redo = ReDo(model, optimizer, tau=0.0, period=1)
    with pytest.raises(UsageError, match=f"{optimizer_type.__name__} keeps '.*' for parameter '0.weight'"):
        redo.step(inputs)
    assert all(torch.equal(weights[name], each) for name, each in model.named_parameters())
    ReDo(model, optimizer, tau=0.0, period=1, optimizer_policy="none").step(inputs)


def test_further_moments_can_be_named() -> None:
    model, inputs = silenced_mlp()
    optimizer = torch.optim.Adagrad(model.parameters())
    train(model, optimizer, inputs)
    policy = OptimizerPolicy(moments=frozenset({"sum"}))
    report = ReDo(model, optimizer, tau=0.0, period=1, optimizer_policy=policy).step(inputs)
    assert report is not None
    assert (optimizer.state[model[0].weight]["sum"][report.plan["0"].neurons] == 0).all()


def test_fresh_weights_after_a_restart_train_like_new_ones() -> None:
    """With moments and step restarted, the first Adam step of a fresh weight is lr · sign(gradient), as if new."""
    torch.manual_seed(0)
    model, inputs = mlp(sizes=(4, 6, 1)), torch.randn(16, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-12)
    train(model, optimizer, inputs, 20)
    ReDo(model, optimizer, tau=1e9, period=1, outgoing="keep", optimizer_policy="moments+step").step(inputs)
    before = model[0].weight.detach().clone()
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
    change, gradient = model[0].weight.detach() - before, model[0].weight.grad
    assert gradient is not None
    assert torch.allclose(change, -0.01 * gradient.sign(), atol=1e-6)


def test_an_impossible_policy_is_told_at_once() -> None:
    with pytest.raises(UsageError, match="optimizer policy must be one of none, moments, moments\\+step, not 'all'"):
        OptimizerPolicy("all")  # type: ignore[arg-type]


def test_a_plan_applies_without_any_optimizer() -> None:
    model, inputs = silenced_mlp()
    plan = ReDo(model, tau=0.0).plan(inputs)
    apply_plan(plan, model)
    assert (model[2].weight[:, plan["0"].neurons] == 0).all()
