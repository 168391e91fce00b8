"""Compiled networks keep working: edits are in place, and nothing is compiled again because of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dormancy.recycle import ReDo
from tests.recycle.helpers import copies, outputs, same, silenced_mlp


class CountingBackend:
    """Runs captured graphs as they are, and counts how often something was compiled."""

    def __init__(self) -> None:
        self.compilations = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.compilations += 1
        return graph.forward


class Wrapped(nn.Module):
    """The compiler leaves torch's own containers alone when they are compiled in place."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.inner(inputs)
        return outputs


def compiled(model: nn.Module, backend: CountingBackend, in_place: bool) -> nn.Module:
    if in_place:
        model.compile(backend=backend)
        return model
    wrapped: nn.Module = torch.compile(model, backend=backend)  # type: ignore[assignment]
    return wrapped


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_network_sees_the_edits_without_being_compiled_again(in_place: bool) -> None:
    torch._dynamo.reset()  # type: ignore[no-untyped-call]
    layers, inputs = silenced_mlp()
    model, backend = Wrapped(layers), CountingBackend()
    network = compiled(model, backend, in_place)
    optimizer = torch.optim.Adam(model.parameters())

    def train() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = network(inputs).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    train()
    with torch.no_grad():
        before = network(inputs)
    compilations = backend.compilations
    assert compilations > 0
    report = ReDo(network, optimizer, tau=0.2, period=1).step(inputs)
    assert report is not None
    assert report.recycled > 0
    weights = copies(model)
    with torch.no_grad():
        after = network(inputs)
    assert not torch.equal(before, after)
    assert same([after], outputs(model, inputs))
    train()
    assert backend.compilations == compilations
    assert not same(list(weights.values()), list(copies(model).values()))
