"""What is measured on a bench, each number checked by other means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import UsageError
from dormancy.io import ReplaySample
from dormancy.networks import MLPNetwork
from dormancy.pruning import PruneBench, prune, sweep_pruning, sweep_taus
from dormancy.scanning.scanner import scan
from tests.pruning.helpers import outputs

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


def trained_like(seed: int = 0) -> MLPNetwork:
    """A network with three silent neurons and many uneven ones in each layer."""
    torch.manual_seed(seed)
    model = MLPNetwork(4, 3, hidden=(24, 16))
    with torch.no_grad():
        for name in ("fc1", "fc2"):
            layer = model.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            layer.weight.mul_(torch.logspace(-2, 0.5, layer.out_features)[:, None])
            layer.bias[:3] = -1e3
    return model


def test_the_effect_on_the_sample_is_what_two_forward_passes_say() -> None:
    model = trained_like()
    bench = PruneBench(model, X)
    plan = bench.plan(0.1)
    effect = bench.effect(plan, 0.1, draws=2)
    before, after = outputs(model, torch.from_numpy(X))[0], outputs(prune(model, plan), torch.from_numpy(X))[0]
    assert effect.sample.largest == pytest.approx(float((after - before).abs().max()), rel=1e-5)
    assert effect.sample.mean == pytest.approx(float((after - before).abs().mean()), rel=1e-5)
    assert effect.sample.agreement == int((after.argmax(1) == before.argmax(1)).sum()) / 300
    assert plan.pruned == scan(model, X, 0.1).dormant().sum()
    assert effect.before.zeros < effect.after.zeros


def test_at_tau_0_the_sample_is_untouched_to_the_bit() -> None:
    bench = PruneBench(trained_like(), X)
    plan = bench.plan(0.0)
    assert plan.pruned == 6
    effect = bench.effect(plan, 0.0)
    assert (effect.sample.largest, effect.sample.agreement) == (0.0, 1.0)
    assert effect.held_out is not None
    assert effect.held_out.found.largest == 0.0


def test_the_held_out_half_is_not_looked_at_for_neurons() -> None:
    """A neuron that fires on the second half only is found dormant on the first, and its absence is felt."""
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [1.0], [-1.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 5.0, 5.0]))
        model[2].weight.fill_(1.0)
    rows = np.concatenate([-np.ones(10), np.ones(10)]).astype(np.float32)[:, None]
    held_out = PruneBench(model, rows).held_out(0.0)
    assert held_out is not None
    assert (held_out.pruned, held_out.found.largest, held_out.unseen.largest) == (1, 0.0, 1.0)
    assert PruneBench(model, rows).plan(0.0).pruned == 0


def test_a_single_row_has_no_held_out_half() -> None:
    bench = PruneBench(trained_like(), X[:1])
    assert bench.effect(bench.plan(0.0), 0.0).held_out is None


def test_controls_prune_as_many_neurons_of_each_layer() -> None:
    model = trained_like()
    bench = PruneBench(model, X)
    plan = bench.plan(0.05)
    controls = bench.controls(plan, draws=4, seed=1)
    assert controls is not None
    assert len(controls.random) == 4
    scores = {layer.name: layer.scores for layer in bench.scan.layers}
    strongest = {name: each >= np.sort(each)[-plan[name].pruned] for name, each in scores.items()}
    wanted = outputs(prune(model, bench.planner.plan(strongest)), torch.from_numpy(X))[0]
    moved = (wanted - outputs(model, torch.from_numpy(X))[0]).abs().max()
    assert controls.strongest.largest == pytest.approx(float(moved), rel=1e-5)
    assert controls.strongest.largest > controls.random_mean.largest > bench.change(plan).largest
    assert controls.random_mean.mean == pytest.approx(np.mean([each.mean for each in controls.random]))
    assert controls == bench.controls(plan, draws=4, seed=1)
    assert controls != bench.controls(plan, draws=4, seed=2)


def test_controls_can_be_left_out() -> None:
    bench = PruneBench(trained_like(), X)
    assert bench.controls(bench.plan(0.05), draws=0) is None
    nothing = PruneBench(MLPNetwork(4, 2, hidden=(4,), activation="tanh"), X)
    assert nothing.controls(nothing.plan(0.0)) is None


def test_only_the_layers_asked_for_are_pruned() -> None:
    bench = PruneBench(trained_like(), X, layers="fc2")
    assert {layer.name: layer.pruned for layer in bench.plan(0.0)} == {"fc1": 0, "fc2": 3}


def test_a_sweep_prunes_more_and_more() -> None:
    bench = PruneBench(trained_like(), X)
    sweep = sweep_pruning(bench, sweep_taus([0.5, 0.0, 0.1, 9.0]), draws=2)
    assert [point.tau for point in sweep.points] == [0.0, 0.1, 0.5, 9.0]
    pruned = [point.pruned for point in sweep.points]
    assert pruned == sorted(pruned)
    assert pruned[-1] == 24 + 16 - 2  # every layer keeps one
    assert sweep.points[0].change.largest == 0.0
    assert sweep.points[-1].share == 38 / 40
    assert len(sweep.to_dict()["points"]) == 4
    with pytest.raises(UsageError, match="tau must be"):
        sweep_taus([-1.0])


def test_measuring_leaves_no_trace() -> None:
    model = trained_like().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    bench = PruneBench(model, X)
    bench.effect(bench.plan(0.1, "remove"), 0.1)
    assert model.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_episodes_decide_what_is_held_out() -> None:
    episodes = np.repeat(np.arange(30), 10)
    sample = ReplaySample(X, episode_ids=episodes)
    held_out = PruneBench(trained_like(), sample).held_out(0.0)
    assert held_out is not None
    assert (held_out.found.observations, held_out.unseen.observations) == (150, 150)
