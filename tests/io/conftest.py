"""What the tests of files share: bounded memory, a small checkpoint, a small sample."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dormancy.errors import DormancyError
from dormancy.io import Checkpoint, ReplaySample
from dormancy.networks import NetworkSpec
from tests.io.expectations import Refused, one_printable_line

ALLOWANCE = 1 << 28
SECONDS = 20


@pytest.fixture
def bounded() -> Iterator[None]:
    """Let a test take a quarter of a gigabyte of address space and some seconds of computing, no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ALLOWANCE, hard))
    start = time.process_time()
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - start < SECONDS


@pytest.fixture
def refused() -> Refused:
    """Call something and expect an error of a class, told in one printable line; give the line."""

    def check(kind: type[DormancyError], act: Callable[[], object]) -> str:
        with pytest.raises(kind) as caught:
            act()
        return one_printable_line(caught.value)

    return check


@pytest.fixture
def checkpoint() -> Checkpoint:
    generator = torch.Generator().manual_seed(7)
    parameters = {
        "fc1.weight": torch.randn(8, 4, generator=generator),
        "fc1.bias": torch.zeros(8),
        "head.weight": torch.randn(2, 8, generator=generator),
        "head.bias": torch.zeros(2),
    }
    return Checkpoint(
        NetworkSpec("mlp", {"inputs": 4, "outputs": 2, "hidden": [8]}),
        parameters,
        {"fc1.bias": {"exp_avg": torch.ones(8), "step": torch.tensor(3.0)}},
        agent_step=1000,
        gradient_step=250,
        env_id="CartPole-v1",
        metadata={"seed": 3, "note": "é\n", "nested": {"list": [1, 2.5, None, True]}},
    )


@pytest.fixture
def sample() -> ReplaySample:
    random = np.random.default_rng(5)
    return ReplaySample(
        random.integers(0, 255, (50, 2, 6, 6), dtype=np.uint8),
        actions=random.integers(0, 4, 50),
        rewards=random.normal(size=50).astype(np.float32),
        terminations=random.random(50) < 0.1,
        episode_ids=np.arange(50) // 10,
        provenance={"env_id": "ALE/Breakout-v5", "layout": "NCHW", "observation_space": "Box(0, 255, (2, 6, 6), é)"},
    )
