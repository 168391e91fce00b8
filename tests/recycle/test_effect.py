"""What a plan would do is what it then does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import NetworkError
from dormancy.recycle import ReDo, apply_plan, effect_of
from tests.recycle.helpers import copies, outputs, same, silenced_mlp
from tests.zoo import ZOO


def test_nothing_at_tau_zero_on_the_scored_batch() -> None:
    model, inputs = silenced_mlp()
    effect = effect_of(ReDo(model, tau=0.0).plan(inputs), model, inputs)
    assert effect.largest == effect.mean == effect.greedy_changes == 0.0
    assert effect.spread > 0


@pytest.mark.parametrize("name", ["mlp", "nature-dueling", "twin-critics-with-actions"])
def test_the_preview_is_the_outcome_and_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = ZOO[name]()
    before, weights = outputs(model, inputs), copies(model)
    plan = ReDo(model, tau=0.5).plan(inputs)
    effect = effect_of(plan, model, inputs)
    assert same(list(weights.values()), list(copies(model).values()))
    apply_plan(plan, model)
    after = outputs(model, inputs)
    changes = torch.cat([(new - old).abs().flatten() for old, new in zip(before, after, strict=True)])
    assert effect.largest == float(changes.max()) > 0
    assert effect.mean == pytest.approx(float(changes.double().mean()))
    if len(before) == 1:
        flips = (before[0].argmax(1) != after[0].argmax(1)).double().mean()
        assert effect.greedy_changes == float(flips)
    else:
        assert effect.to_dict()["greedy_changes"] is None


def test_a_network_without_numbers_is_told() -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

        def forward(self, inputs: Tensor) -> Tensor:
            return torch.argmax(self.inner(inputs), dim=1)

    model, inputs = Deciding(), torch.randn(4, 3)
    with pytest.raises(NetworkError, match="no output of numbers"):
        effect_of(ReDo(model, tau=0.0).plan(inputs), model, inputs)
