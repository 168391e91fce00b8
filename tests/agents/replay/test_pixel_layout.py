"""Pixels put together, whatever their number and kind."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dormancy_agents.replay.pixel_layout import channels_last, interleave


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 30), st.integers(0, 99))
def test_interleaved_planes_are_the_permuted_ones(depth: int, batch: int, pixels: int, seed: int) -> None:
    planes = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (depth, batch, pixels), np.uint8))
    out = interleave(planes, torch.empty(depth * batch, pixels, dtype=torch.uint8))
    assert torch.equal(out.view(batch, pixels, depth), planes.permute(1, 2, 0))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255])
def test_every_byte_survives_in_every_place(value: int) -> None:
    for place in range(4):
        planes = torch.zeros(4, 1, 3, dtype=torch.uint8)
        planes[place] = value
        out = interleave(planes, torch.empty(4, 3, dtype=torch.uint8))
        assert torch.equal(out.view(1, 3, 4), planes.permute(1, 2, 0))


def test_numbers_that_are_no_bytes_are_copied() -> None:
    planes = torch.arange(24, dtype=torch.float32).view(4, 2, 3)
    out = interleave(planes, torch.empty(8, 3))
    assert torch.equal(out.view(2, 3, 4), planes.permute(1, 2, 0))


def test_channels_last_changes_no_value() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    after = channels_last(network).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert after["0.weight"].is_contiguous(memory_format=torch.channels_last)
