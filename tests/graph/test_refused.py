"""Networks that are not followed yet say so: no number is given for them that would look right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import dormancy
from dormancy.errors import NetworkError
from dormancy.graph import trace_neurons
from dormancy.recycle import ReDo
from tests.recycle.helpers import copies, same


class Ensemble(nn.Module):
    """Three members in one weight (members, inputs, outputs)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.w1, self.b1 = nn.Parameter(torch.randn(3, 6, 8)), nn.Parameter(torch.randn(3, 1, 8))
        self.w2 = nn.Parameter(torch.randn(3, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "einsum":
            return torch.einsum("beh,eho->beo", F.relu(torch.einsum("bi,eih->beh", x, self.w1)), self.w2)
        if self.kind == "baddbmm":
            return torch.bmm(F.relu(torch.baddbmm(self.b1, x.expand(3, -1, -1), self.w1)), self.w2)
        if self.kind == "vmap":
            return torch.vmap(lambda w1, w2: F.relu(x @ w1) @ w2)(self.w1, self.w2)
        return F.relu(x @ self.w1 + self.b1) @ self.w2


@pytest.mark.parametrize("kind", ["matmul", "einsum", "baddbmm", "vmap"])
def test_batched_weights_are_refused_with_the_reason(kind: str) -> None:
    with pytest.raises(NetworkError, match="as in an ensemble"):
        dormancy.scan(Ensemble(kind), torch.randn(32, 6))


def test_an_encoder_before_an_ensemble_is_scored_and_the_ensemble_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), Ensemble("matmul"))
    scan = dormancy.scan(model, torch.randn(32, 4), metrics=["score"])
    assert [layer.name for layer in scan.layers] == ["0"]
    assert any("as in an ensemble" in text for text in scan.warnings)


class Experts(nn.Module):
    """Each row goes to one of four experts."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.head = nn.Linear(6, 4), nn.Linear(6, 2)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        chosen, out = self.router(x).argmax(-1), torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            out[chosen == number] = expert(x[chosen == number])
        found: Tensor = self.head(out)
        return found


def test_experts_without_rows_are_refused_with_the_reason() -> None:
    with pytest.raises(NetworkError, match=r"'experts\.\d\.0' got no rows"):
        dormancy.scan(Experts(), torch.randn(32, 6))


class Noisy(nn.Module):
    """A dense layer with noise on its weights in training (Fortunato et al. 2018, independent noise)."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(units, inputs)), nn.Parameter(torch.zeros(units))
        self.weight_sigma = nn.Parameter(torch.full((units, inputs), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        noise: Any = self.weight_sigma * torch.randn_like(self.weight) if self.training else 0.0
        return F.linear(x, self.weight + noise if self.training else self.weight, self.bias)


@pytest.mark.parametrize("training", [True, False])
def test_a_parameter_that_is_used_in_training_only_refuses_recycling(training: bool) -> None:
    model = nn.Sequential(Noisy(6, 8), nn.ReLU(), nn.Linear(8, 2)).train(training)
    with torch.no_grad():
        model[0].bias[:3] = -90
    (layer,) = trace_neurons(model, torch.randn(2, 6))
    assert "weight_sigma" in str(layer.obstacle)
    before = copies(model)
    report = ReDo(model, tau=0.0, period=1).step(torch.randn(32, 6))
    assert report is not None
    assert report.recycled == 0
    assert same(list(before.values()), list(copies(model).values()))
