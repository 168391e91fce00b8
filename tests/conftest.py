"""What all tests share: random numbers of their own, and hypothesis without a deadline.

A busy machine is not a failure, so hypothesis has no deadline and no check for slowness.

The order of the tests is shuffled by pytest-randomly, which prints its seed. Their random numbers do not depend on that
order: each test is seeded by its name and by the environment variable ``TEST_SEED`` (0 if it is not set).

Processes started in the background of a shell ignore SIGINT, and so do their children. Tests that interrupt would then
test nothing.
"""

import os
import random
import signal
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, register_random, settings

# Without TEST_SEED hypothesis draws the same examples each time: a failure is then caused by a change, not by luck.
settings.register_profile(
    "dormancy", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="TEST_SEED" not in os.environ
)
settings.load_profile("dormancy")

signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["reference/make_rliable.py"]  # it runs where rliable is installed


class TorchRandom:
    """The global generator of torch, in the form that hypothesis seeds before each example."""

    seed = staticmethod(torch.manual_seed)
    getstate = staticmethod(torch.get_rng_state)
    setstate = staticmethod(torch.set_rng_state)


TORCH_RANDOM = TorchRandom()  # hypothesis keeps no reference to it
register_random(TORCH_RANDOM)


def seed_all(name: str) -> None:
    """Seed Python, NumPy and torch by a name and by ``TEST_SEED``."""
    seed = zlib.crc32(f"{os.environ.get('TEST_SEED', '0')} {name}".encode(errors="surrogatepass"))
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    """Give each test random numbers of its own. A test that moves to another file keeps its numbers."""
    seed_all(request.node.name)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
    """Seed fixtures of modules and sessions too, so that they do not depend on which test asks first."""
    if fixturedef.scope != "function":
        seed_all(fixturedef.argname)
    return (yield)
