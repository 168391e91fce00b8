"""The effect in numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import NetworkError
from dormancy.probing.probe import Probe
from dormancy.pruning import OutputChange, Reference

Q = np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 0.0], [0.0, 0.0, 8.0], [2.0, 2.5, 0.0]], dtype=np.float32)


class Table(nn.Module):
    """Adds an offset to its input: a network whose outputs are known."""

    def __init__(self, offset: float | Tensor = 0.0) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.as_tensor(offset, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.offset


def change(offset: float | Tensor, batch_size: int = 3) -> OutputChange:
    return Reference(Probe(Table(), Q, batch_size=batch_size)).change(Table(offset))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_all_numbers_of_one_change(batch_size: int) -> None:
    found = change(torch.tensor([0.0, 1.0, -0.5]), batch_size)
    assert found.observations == 4
    assert found.largest == 1.0
    assert found.mean == pytest.approx(0.5)
    assert found.scale == 8.0
    assert found.relative == 0.125
    assert found.agreement == 1.0 - 0.0  # row 2: 5 against 4 + 1 is a tie, which the first action wins
    assert found.action_gap == pytest.approx((1 + 1 + 8 + 0.5) / 4)
    assert found.gap_ratio == pytest.approx(1.0 / 2.625)


def test_actions_that_change_are_counted() -> None:
    assert change(torch.tensor([0.0, 1.5, 0.0])).agreement == 0.75


def test_the_same_network_is_no_change() -> None:
    found = change(0.0)
    assert (found.largest, found.mean, found.relative, found.agreement, found.gap_ratio) == (0.0, 0.0, 0.0, 1.0, 0.0)


def test_a_change_without_any_gap_is_infinite() -> None:
    flat = np.zeros((3, 2), dtype=np.float32)
    found = Reference(Probe(Table(), flat)).change(Table(torch.tensor([1.0, 0.0])))
    assert found.gap_ratio == math.inf
    assert math.isnan(found.relative)
    assert found.to_dict()["gap_ratio"] is None


def test_broken_outputs_are_never_small() -> None:
    found = change(math.nan)
    assert math.isnan(found.largest)
    assert not found.largest <= 1e9
    assert found.to_dict()["largest"] is None


def test_networks_without_greedy_actions() -> None:
    class Twins(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"mean": x, "rows": torch.arange(len(x)), "value": x.sum(1, keepdim=True)}

    found = Reference(Probe(Twins(), Q)).change(Twins())
    assert (found.agreement, found.action_gap, found.gap_ratio) == (None, None, None)
    assert found.largest == 0.0
    single = Reference(Probe(nn.Linear(3, 1), Q))
    assert single.change(nn.Linear(3, 1)).agreement is None


def test_networks_without_numbers() -> None:
    class Choice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.argmax(1)

    with pytest.raises(NetworkError, match="no output of numbers"):
        Reference(Probe(Choice(), Q))
