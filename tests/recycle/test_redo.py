"""ReDo in a loop: when it acts, on what, what it reports, and that a resumed run goes on as before."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import RewriteRefused, UsageError
from dormancy.graph import trace_neurons
from dormancy.recycle import RECYCLERS, SEMANTICS, AdaptiveTau, ReDo, Scheduled
from tests.recycle.helpers import copies, mlp, outputs, same, silence_some, silenced_mlp
from tests.zoo import ZOO


def test_it_acts_every_period_and_asks_for_observations_only_then() -> None:
    model, inputs = silenced_mlp()
    asked: list[int] = []
    redo = ReDo(model, tau=0.0, period=3, start=4, end=12)
    acted = []
    for step in range(1, 16):
        due = redo.due

        def observations(step: int = step) -> Tensor:
            asked.append(step)
            return inputs

        report = redo.step(observations)
        assert (report is not None) == due
        if report is not None:
            acted.append(report.step)
    assert acted == asked == [6, 9]


def test_the_report_tells_step_tau_and_neurons() -> None:
    model, inputs = silenced_mlp()
    report = ReDo(model, tau=0.0, period=1).step(inputs)
    assert report is not None
    assert (report.step, report.tau, report.recycled, report.share) == (1, 0.0, 7, pytest.approx(1 / 3))
    assert report.nonfinite == 0
    record = json.loads(json.dumps(report.to_dict()))
    assert record["gradient_step"] == 1
    assert record["initialisers"]["0.weight"] == "Linear.reset_parameters of '0'"
    assert str(report).startswith("gradient step 1\n0  ")


def test_recycled_neurons_live_again() -> None:
    """Random weights on random inputs: hardly any fresh neuron stays silent, and none of them can be heard yet."""
    model, inputs = silenced_mlp()
    redo = ReDo(model, tau=0.0, period=1)
    first, second = redo.step(inputs), redo.step(inputs)
    assert first is not None
    assert second is not None
    assert second.recycled < first.recycled


def test_all_masks_come_from_one_forward_pass() -> None:
    calls = 0

    class Counting(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, inputs: Tensor) -> Tensor:
            nonlocal calls
            calls += len(inputs)
            outputs: Tensor = self.inner(inputs)
            return outputs

    model, inputs = silenced_mlp()
    redo = ReDo(Counting(model), tau=0.0, period=1)
    redo.step(inputs)
    calls = 0
    redo.step(inputs)
    assert calls == len(inputs)


def test_looking_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    model[0].eval()
    state = copy.deepcopy(model.state_dict())
    hooks = [len(module._forward_hooks) for module in model.modules()]
    ReDo(model, tau=0.0).plan(torch.randn(16, 5))
    assert [module.training for module in model] == [False, True, True, True, True]
    assert all(torch.equal(state[name], each) for name, each in model.state_dict().items())
    assert hooks == [len(module._forward_hooks) for module in model.modules()]
    assert all(each.grad is None for each in model.parameters())


def test_layers_are_chosen_by_pattern_or_by_name() -> None:
    for layers, recycled in ((None, {"0", "2"}), ("^2$", {"2"}), (["0"], {"0"})):
        model, inputs = silenced_mlp()
        plan = ReDo(model, tau=0.0, layers=layers).plan(inputs)  # type: ignore[arg-type]
        assert {layer.name for layer in plan if layer.neurons.size} == recycled


def test_a_named_layer_that_must_not_be_rewritten_is_an_error() -> None:
    model, inputs = ZOO["features-as-output"]()
    redo = ReDo(model, layers=["a"])
    for _ in range(2):  # it does not get better by asking again
        with pytest.raises(RewriteRefused, match="cannot rewrite neurons of layer 'a': its values are an output"):
            redo.plan(inputs)
    model, inputs = silenced_mlp()
    with pytest.raises(UsageError, match="unknown layer 'fc9'"):
        ReDo(model, layers=["fc9"]).plan(inputs)
    with pytest.raises(UsageError, match="no layer matches 'conv'; layers: 0, 2"):
        ReDo(model, layers="conv").plan(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": -1.0}, "tau must be a number of 0 or more"),
        ({"seed": -1}, "the seed of a recycler must be 0 or more"),
        ({"period": 0}, "a recycling period must be at least 1"),
        ({"selection": "worst", "end": 10}, "selection must be one of redo, random, inverse, cbp"),
        ({"selection": "cbp"}, "needs end="),
        ({"score": "size"}, "score must be one of dormant, constant"),
        ({"semantics": "papers"}, "unknown semantics 'papers' \\(did you mean 'paper'\\?\\)"),
        ({"optimizer_policy": "all"}, "optimizer policy must be one of"),
    ],
)
def test_impossible_options_are_told_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReDo(mlp(), **options)


def test_neurons_are_not_known_before_the_first_look() -> None:
    redo = ReDo(mlp())
    with pytest.raises(UsageError, match="not known before the first observations"):
        _ = redo.graph
    redo.plan(torch.randn(4, 5))
    assert [layer.name for layer in redo.graph] == ["0", "2"]


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped() -> None:
    def run(stop: int | None) -> tuple[dict[str, Tensor], float]:
        model, inputs = silenced_mlp()
        options: dict[str, Any] = {"tau": AdaptiveTau(0.3), "period": 2, "seed": 5}
        redo = ReDo(model, **options)
        for step in range(1, 11):
            redo.step(inputs)
            if step == stop:
                saved = json.loads(json.dumps(redo.state_dict()))
                redo = ReDo(model, **options)
                redo.load_state_dict(saved)
        return copies(model), redo.tau

    straight, resumed = run(None), run(5)
    assert straight[1] == resumed[1]
    assert same(list(straight[0].values()), list(resumed[0].values()))


def test_diverged_neurons_are_counted_and_left_alone() -> None:
    model, inputs = silenced_mlp()
    with torch.no_grad():
        model[0].bias[1] = float("inf")
    report = ReDo(model, tau=0.0, period=1, layers=["0"]).step(inputs)
    assert report is not None
    assert report.nonfinite == 1
    assert report.plan["0"].neurons.tolist() == [0, 3, 6, 9]


def test_an_adaptive_tau_brings_the_share_near_its_target() -> None:
    torch.manual_seed(0)
    model, inputs = mlp(sizes=(8, 300, 200, 2)), torch.randn(256, 8)
    redo = ReDo(model, tau=AdaptiveTau(0.05, tau=0.9), period=1)
    shares = [report.share for _ in range(30) if (report := redo.step(inputs)) is not None]
    assert shares[0] > 0.1
    assert np.mean(shares[-10:]) == pytest.approx(0.05, abs=0.02)
    assert redo.tau < 0.9


def test_planning_does_not_move_an_adaptive_tau() -> None:
    model, inputs = silenced_mlp()
    redo = ReDo(model, tau=AdaptiveTau(0.9), period=1)
    redo.plan(inputs)
    assert redo.tau == 0.1
    redo.step(inputs)
    assert redo.tau > 0.1


def test_a_schedule_recycles_less_and_less() -> None:
    model, inputs = mlp(sizes=(5, 100, 2)), torch.randn(32, 5)
    redo = ReDo(model, selection=Scheduled("redo", total=10), period=1)
    counts = [report.recycled for _ in range(10) if (report := redo.step(inputs)) is not None]
    assert counts == [10, 10, 9, 8, 7, 6, 5, 3, 2, 0]


def test_constant_neurons_are_found_by_their_own_score() -> None:
    model, inputs = mlp(), torch.randn(64, 5)
    with torch.no_grad():
        model[0].weight[2] = 0.0
        model[0].bias[2] = 3.0
    plan = ReDo(model, tau=0.0, score="constant").plan(inputs)
    assert 2 in plan["0"].neurons
    assert 2 not in ReDo(model, tau=0.0).plan(inputs)["0"].neurons


def test_a_threshold_that_cannot_find_anything_says_so() -> None:
    torch.manual_seed(0)
    smooth, inputs = mlp(activation=nn.GELU), torch.randn(64, 5)
    plan = ReDo(smooth, tau=0.0).plan(inputs)
    assert plan.recycled == 0
    assert plan.notes[0] == "layer '0': gelu is hardly ever exactly 0, so tau = 0 recycles nothing there"
    assert str(plan).endswith(plan.notes[-1])
    assert ReDo(smooth, tau=0.5).plan(inputs).notes == ReDo(mlp(), tau=0.0).plan(inputs).notes == ()
    assert ReDo(smooth, tau=0.5).plan(inputs).recycled > 0


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_every_preset_is_exact_at_tau_zero(semantics: str) -> None:
    model, inputs = silenced_mlp()
    before = outputs(model, inputs)
    report = ReDo(model, torch.optim.Adam(model.parameters()), tau=0.0, period=1, semantics=semantics).step(inputs)
    assert report is not None
    assert report.recycled == 7
    assert same(before, outputs(model, inputs))


def test_an_epsilon_breaks_scale_invariance_and_ours_has_none() -> None:
    model, inputs = silenced_mlp()
    with torch.no_grad():
        model[0].weight.mul_(2.0**-40)
        model[0].bias.mul_(2.0**-40)
    chosen = {each: ReDo(model, tau=0.1, semantics=each, layers=["0"]).plan(inputs).recycled for each in SEMANTICS}
    assert chosen["paper"] == 4
    assert chosen["dopamine"] == 12


@pytest.mark.parametrize("kind", ["tuple", "mapping", "array", "read-only array"])
def test_observations_come_as_the_network_takes_them(kind: str) -> None:
    model, tensor = silenced_mlp()
    if kind == "tuple":
        plan = ReDo(model, tau=0.0).plan((tensor,))
    elif kind == "mapping":
        plan = ReDo(model, tau=0.0).plan({"input": tensor})
    else:
        array = tensor.numpy().copy()
        array.flags.writeable = kind == "array"
        plan = ReDo(model, tau=0.0).plan(array)
    assert plan.recycled == 7


def test_recyclers_are_found_by_name() -> None:
    assert {"redo", "reset", "regrama", "continual-backprop", "shrink-and-perturb"} <= set(RECYCLERS)
    with pytest.raises(UsageError, match="unknown recycler 'reddo' \\(did you mean 'redo'\\?\\)"):
        RECYCLERS["reddo"]


def test_silencing_is_what_the_helpers_say() -> None:
    model, inputs = silenced_mlp()
    assert {name: each.tolist() for name, each in silence_some(model, trace_neurons(model, inputs)).items()} == {
        "0": [0, 3, 6, 9],
        "2": [0, 3, 6],
    }
