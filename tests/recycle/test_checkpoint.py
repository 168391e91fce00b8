"""Recycling a checkpoint: its optimizer state, and the real fixture run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dormancy.errors import SampleError
from dormancy.io import Checkpoint, ReplaySample, list_checkpoints
from dormancy.networks import NetworkSpec, build_network
from dormancy.recycle import recycle_checkpoint

FIXTURES = Path(__file__).parents[2] / "fixtures"
SPEC = NetworkSpec("mlp", {"inputs": 3, "outputs": 2, "hidden": [6, 4]})


def silenced() -> Checkpoint:
    """Return a network of which exactly neurons 0 and 3 of fc1 are silent: observations and weights are positive."""
    model = build_network(SPEC)
    parameters = dict(model.state_dict())
    parameters["fc1.weight"] = parameters["fc1.weight"].abs() + 0.1
    parameters["fc1.bias"] = torch.tensor([-99.0, 0.0, 0.0, -99.0, 0.0, 0.0])
    moments = {name: {"step": 5.0, "exp_avg": torch.ones_like(each)} for name, each in parameters.items()}
    return Checkpoint(network=SPEC, parameters=parameters, optimizer=moments, env_id="CartPole-v1")


def test_moments_are_cleared_at_exactly_the_edited_entries() -> None:
    sample = ReplaySample(np.random.default_rng(0).random((20, 3), dtype=np.float32))
    found = recycle_checkpoint(silenced(), sample, tau=0, layers="fc1")
    cleared = {name: state["exp_avg"] == 0 for name, state in found.checkpoint.optimizer.items()}
    rows = torch.tensor([True, False, False, True, False, False])
    assert torch.equal(cleared["fc1.weight"], rows[:, None].expand(6, 3))
    assert torch.equal(cleared["fc1.bias"], rows)
    assert torch.equal(cleared["fc2.weight"], rows.expand(4, 6))
    assert not cleared["fc2.bias"].any()
    assert not cleared["head.weight"].any()
    assert all(state["step"] == 5.0 for state in found.checkpoint.optimizer.values())


def test_a_sample_of_another_environment_is_refused() -> None:
    sample = ReplaySample(np.ones((4, 3), np.float32), provenance={"env_id": "Acrobot-v1"})
    with pytest.raises(SampleError, match="a sample of Acrobot-v1, but"):
        recycle_checkpoint(silenced(), sample)


@pytest.mark.parametrize("run", ["breakout-dqn", "breakout-redo"])
def test_tau_zero_moves_no_output_of_a_real_run(run: str) -> None:
    for checkpoint in list_checkpoints(FIXTURES / run)[::3]:
        found = recycle_checkpoint(checkpoint, tau=0)
        assert found.scored.largest == 0.0
        assert run == "breakout-redo" or found.plan.recycled > 0


def test_pixels_that_were_scaled_already_are_refused() -> None:
    spec = NetworkSpec("nature", {"outputs": 3, "width": 0.25})
    checkpoint = Checkpoint(spec, dict(build_network(spec).state_dict()))
    scaled = ReplaySample(np.random.default_rng(0).random((4, 4, 84, 84), dtype=np.float32))
    with pytest.raises(SampleError, match="uint8"):
        recycle_checkpoint(checkpoint, scaled)


@pytest.mark.parametrize("earlier", ["twice", 3, {"tau": 0.1}, None])
def test_a_record_of_another_kind_is_replaced(earlier: object) -> None:
    checkpoint = replace(silenced(), metadata={"recycling": earlier})
    recycled = recycle_checkpoint(checkpoint, ReplaySample(np.ones((4, 3), dtype=np.float32)))
    assert [entry["tau"] for entry in recycled.checkpoint.metadata["recycling"]] == [0.1]
