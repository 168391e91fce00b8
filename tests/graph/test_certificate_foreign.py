"""The certificate holds for networks that were rebuilt from other people's files, too."""

from __future__ import annotations

import pytest
import torch

from dormancy.graph import call_model, trace_neurons, undisturbed
from dormancy.graph.ops import tensors_in
from tests.graph.test_certificate import cut_outputs, moves_behind, silenced_outputs
from tests.io.checkpoints.recorded_outputs import CASES, inputs, load

RESIDUAL = ("impala_procgen.cleanrl_model|", "impala_atari.cleanrl_model|")
"""Networks with layers that cannot be rewritten: the streams of their residual blocks, 3 stacks of 2 and the last."""
BEHIND = ("layer_norm_behind.pt|", "module_agent.pt|critic")
"""Networks whose layers are all normalised behind the nonlinearity: silence is not absence there, which is said."""


@pytest.mark.parametrize("case", CASES)
def test_zeroed_columns_are_zeroed_neurons(case: str) -> None:
    torch.manual_seed(sum(map(ord, case)))
    model, given = load(case).build(), {name: values[:2] for name, values in inputs(case).items()}
    graph = trace_neurons(model, given)
    certified, moved = [layer for layer in graph if not layer.obstacle and not moves_behind(layer)], 0.0
    for layer in certified:
        neurons = torch.randperm(layer.size)[: max(1, layer.size // 2)].sort().values
        with undisturbed(model):
            before = tensors_in(call_model(model, given))
        cut, silenced = cut_outputs(model, given, layer, neurons), silenced_outputs(model, given, layer, neurons)
        assert all(torch.equal(a, b) for a, b in zip(cut, silenced, strict=True)), layer.name
        moved += sum(float((a - b).abs().max()) for a, b in zip(cut, before, strict=True))
    refused = [layer.name for layer in graph if layer.obstacle]
    assert len(refused) == (7 if case in RESIDUAL else 0)
    assert moved > 0 or (not certified and case in BEHIND)


def test_there_are_enough_of_them() -> None:
    assert len(CASES) - len(RESIDUAL) >= 20
