"""On a GPU a network is looked at in full float32, whatever the precision it trains with."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dormancy.graph.isolation import full_precision


def kinds() -> list[str]:
    backends: Any = torch.backends
    return [each.fp32_precision for each in (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)]


@pytest.fixture(params=["as it comes", "tf32", "float32"])
def before(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The precision that somebody chose, in the older of PyTorch's two ways to say it."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    allowed = [backend.allow_tf32 for backend in backends]
    if request.param != "as it comes":
        for backend in backends:
            backend.allow_tf32 = request.param == "tf32"
    yield kinds()
    for backend, value in zip(backends, allowed, strict=True):
        backend.allow_tf32 = value


def test_no_number_is_rounded_and_the_choice_is_put_back(before: list[str]) -> None:
    with full_precision():
        assert kinds() == ["ieee", "ieee", "ieee"]
    assert kinds() == before
    allowed = [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]  # the older way still reads
    assert allowed == [before[0] == "tf32", before[2] == "tf32"]


def test_an_error_puts_it_back_too(before: list[str]) -> None:
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert kinds() == before
