"""What the measurement of uncertainty says where its interval is not to be trusted."""

import pytest
import torch
from torch import nn

import dormancy


@pytest.mark.parametrize(("activation", "told"), [(nn.LeakyReLU(), True), (nn.ReLU(), False)])
def test_the_floor_of_leaky_units_is_told(activation: nn.Module, told: bool) -> None:
    network = nn.Sequential(nn.Linear(4, 16), activation, nn.Linear(16, 2))
    found = dormancy.scan(network, torch.randn(256, 4), 0.1, metrics=["uncertainty"])
    assert any("on leaky ReLU" in text for text in found.warnings) is told
