"""Masks agree with the authors' score, threshold and schedule, computed by an independent float64 network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import UsageError
from dormancy.recycle import ReDo, Scheduled
from tests.reference import recycle_authors as authors
from tests.reference.networks import convolve, relu


def network(seed: int) -> nn.Sequential:
    """Two convolutions, a dense layer and a head in float64, with silent neurons in each layer."""
    torch.manual_seed(seed)
    convolutions = [nn.Conv2d(2, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 10, 2), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*convolutions, nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 3)).double()
    with torch.no_grad():
        for index in (0, 2, 5):
            model[index].weight.mul_(torch.rand_like(model[index].weight[:1]) * 2)
            model[index].bias[::5] = -100.0
    return model


def arrays(model: nn.Sequential) -> dict[str, Any]:
    return {name: each.detach().numpy() for name, each in model.named_parameters()}


def reference_layers(model: nn.Sequential, inputs: np.ndarray[Any, Any]) -> dict[str, tuple[Any, Any, Any]]:
    """(activation, kernel, next kernel) of each layer in Flax's layout."""
    w = arrays(model)
    first = relu(convolve(inputs, w["0.weight"], w["0.bias"], 2))
    second = relu(convolve(first, w["2.weight"], w["2.bias"], 1))
    third = relu(second.reshape(len(second), -1) @ w["5.weight"].T + w["5.bias"])
    hwio = {name: w[name].transpose(2, 3, 1, 0) for name in ("0.weight", "2.weight")}
    flat = w["5.weight"].reshape(20, 10, 2, 2).transpose(2, 3, 1, 0).reshape(40, 20)  # rows in height, width, channel
    return {
        "0": (first.transpose(0, 2, 3, 1), hwio["0.weight"], hwio["2.weight"]),
        "2": (second.transpose(0, 2, 3, 1), hwio["2.weight"], flat),
        "5": (third, w["5.weight"].T, w["7.weight"].T),
    }


def mask(plan: Any, layer: str) -> np.ndarray[Any, Any]:
    chosen = np.zeros(plan[layer].size, dtype=bool)
    chosen[plan[layer].neurons] = True
    return chosen


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tau", [0.0, 0.025, 0.1, 0.5])
@pytest.mark.parametrize("semantics", ["paper", "dopamine", "community"])
def test_threshold_masks(seed: int, tau: float, semantics: str) -> None:
    model = network(seed)
    inputs = torch.randn(32, 2, 8, 8, dtype=torch.float64)
    plan = ReDo(model, tau=tau, semantics=semantics).plan(inputs)
    for layer, (activation, _, _) in reference_layers(model, inputs.numpy()).items():
        assert np.array_equal(mask(plan, layer), authors.dormant(activation, tau)), layer
    assert plan.recycled >= 8


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["redo", "inverse", "cbp"])
@pytest.mark.parametrize("steps", [1, 333, 999])
def test_scheduled_masks_with_their_ties(seed: int, kind: Any, steps: int) -> None:
    model = network(seed)
    inputs = torch.randn(32, 2, 8, 8, dtype=torch.float64)
    redo = ReDo(model, selection=kind, end=1000, semantics="dopamine")
    redo.steps = steps
    plan, share = redo.plan(inputs), authors.fraction(steps, 1000)
    for layer, (activation, kernel, following) in reference_layers(model, inputs.numpy()).items():
        assert np.array_equal(mask(plan, layer), authors.scheduled(kind, activation, kernel, following, share)), layer


def test_the_rate_of_a_schedule_is_an_option() -> None:
    model = network(0)
    inputs = torch.randn(32, 2, 8, 8, dtype=torch.float64)
    plans = [
        ReDo(model, selection="redo", end=1000, rate=0.3).plan(inputs),
        ReDo(model, selection=Scheduled("redo", total=1000, rate=0.3)).plan(inputs),
    ]
    assert plans[0].recycled == plans[1].recycled
    assert plans[0].recycled > ReDo(model, selection="redo", end=1000).plan(inputs).recycled  # of a tenth
    with pytest.raises(UsageError, match="a rate belongs to a schedule"):
        ReDo(model, rate=0.3)
    with pytest.raises(UsageError, match=r"within 0\.\.1"):
        ReDo(model, selection="redo", end=1000, rate=1.5)


@pytest.mark.parametrize("kind", ["redo", "inverse", "cbp", "random"])
def test_scheduled_masks_of_exactly_k(kind: Any) -> None:
    """Ours takes exactly k where theirs also takes ties, and where there are none both agree."""
    model = network(0)
    inputs = torch.randn(32, 2, 8, 8, dtype=torch.float64)
    redo = ReDo(model, selection=Scheduled(kind, total=1000, rate=0.3))
    plan = redo.plan(inputs)
    share = authors.fraction(1, 1000)
    for layer, (activation, kernel, following) in reference_layers(model, inputs.numpy()).items():
        k = max(1, round(plan[layer].size * share))
        assert plan[layer].neurons.size == k
        if kind != "random":
            theirs = authors.scheduled(kind, activation, kernel, following, share)
            assert (mask(plan, layer) <= theirs).all()


def test_constant_score_is_their_centred_score() -> None:
    model = network(1)
    inputs = torch.randn(32, 2, 8, 8, dtype=torch.float64)
    plan = ReDo(model, tau=0.5, score="constant", semantics="dopamine").plan(inputs)
    for layer, (activation, _, _) in reference_layers(model, inputs.numpy()).items():
        assert np.array_equal(mask(plan, layer), authors.score(activation, centred=True) <= 0.5), layer
