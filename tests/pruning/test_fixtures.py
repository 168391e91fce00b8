"""The promises on real networks: every checkpoint of the two fixture runs, with its own sample."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dormancy.io import list_checkpoints
from dormancy.pruning import PrunedCheckpoint, prune_on, pruning_bench, pruning_inputs
from tests.pruning.helpers import outputs, relative

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
CHECKPOINTS = [path for run in ("breakout-dqn", "breakout-redo") for path in list_checkpoints(FIXTURES / run)]


def name(path: Path) -> str:
    return f"{path.parent.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", CHECKPOINTS, ids=name)
def test_real_checkpoints(path: Path) -> None:
    with pruning_inputs(path, None) as (checkpoint, sample):
        bench = pruning_bench(checkpoint, sample)
        masked = prune_on(bench, checkpoint, sample, 0.0, "mask", draws=0)
        assert (masked.effect.sample.largest, masked.effect.sample.agreement) == (0.0, 1.0)
        assert masked.plan.pruned == bench.scan.dormant(0.0).sum()
        assert masked.effect.held_out is not None
        assert masked.effect.held_out.found.largest == 0.0
        for tau in (0.0, 0.1):
            removed = prune_on(bench, checkpoint, sample, tau, "remove", draws=0)
            assert removed.checkpoint.build().state_dict().keys() == checkpoint.parameters.keys()
            assert parameters(removed) < sum(each.numel() for each in checkpoint.parameters.values()) or (
                removed.plan.pruned == 0
            )
            rows = torch.from_numpy(sample.observations[0:256])  # type: ignore[index]
            twin = prune_on(bench, checkpoint, sample, tau, "mask", draws=0).checkpoint.build()
            assert relative(outputs(removed.checkpoint.build(), rows), outputs(twin, rows)) <= 1e-5


def parameters(pruned: PrunedCheckpoint) -> int:
    return sum(each.numel() for each in pruned.checkpoint.parameters.values())


def test_there_is_something_to_prune() -> None:
    pruned = 0
    for path in CHECKPOINTS[:8]:
        with pruning_inputs(path, None) as (checkpoint, sample):
            pruned += pruning_bench(checkpoint, sample).plan(0.0).pruned
    assert pruned > 200
