"""The residual network of Fig. 10, from training to scan, recycling and pruning of its checkpoints."""

import json
from pathlib import Path

import pytest
import torch

from dormancy.io import load_checkpoint
from dormancy_cli.main import run
from tests.agents.conftest import Run, train

INSIDE = {f"stack{stack}.block{block}.conv1" for stack in (1, 2, 3) for block in (1, 2)}
STREAMS = {f"stack{stack}.{part}" for stack in (1, 2, 3) for part in ("conv", "block2.relu")} | {"relu12"}


@pytest.fixture(scope="module")
def impala(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A few steps of Breakout with recycling of nearly everything."""
    options = ["--env", "ALE/Breakout-v5", "--arch", "impala", "--width", "0.125", "--steps", "140", "--warmup", "100"]
    redo = ["--redo", "--redo-tau", "0.7", "--redo-period", "5", "--n-step", "3", "--dueling"]
    return train(tmp_path_factory.mktemp("runs") / "impala", *options, *redo)


def test_a_run_scores_every_layer_and_recycles_those_that_can_be(impala: Run) -> None:
    assert impala.description["network"]["arch"] == "impala"
    layers = impala.rows("dormancy")[-1]["layers"]
    assert set(layers) == INSIDE | STREAMS | {"fc1"}
    assert layers["fc1"]["neurons"] == 64
    recycled = impala.rows("recycling")
    assert recycled
    assert set(recycled[-1]["recycled"]) == INSIDE | {"fc1"}
    assert sum(recycled[-1]["recycled"].values()) > 0


def test_pruning_removes_what_is_inside_blocks_and_refuses_streams_by_name(
    impala: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, narrow = impala.checkpoints[-1], tmp_path / "narrow.pt"
    command = ["prune", str(path), "--tau", "0.5", "--mode", "remove", "-o", str(narrow), "--format", "json"]
    assert run(command) == 0
    captured = capsys.readouterr()
    found = json.dumps(json.loads(captured.out))
    assert "added to another branch" in found
    assert all(name in found for name in STREAMS)
    before, after = load_checkpoint(path), load_checkpoint(narrow)
    pixels = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    assert after.build()(pixels).shape == before.build()(pixels).shape == (2, 4)
    sizes = {name: len(tensor) for name, tensor in after.parameters.items() if name.endswith("conv1.bias")}
    assert sum(sizes.values()) <= sum(len(before.parameters[name]) for name in sizes)
    assert len(after.parameters["stack1.conv.bias"]) == len(before.parameters["stack1.conv.bias"])


def test_recycling_a_checkpoint_leaves_streams_alone(impala: Run, tmp_path: Path) -> None:
    path, fresh = impala.checkpoints[-1], tmp_path / "fresh.pt"
    assert run(["recycle", str(path), "--tau", "0.7", "-o", str(fresh), "-q"]) == 0
    before, after = load_checkpoint(path).parameters, load_checkpoint(fresh).parameters
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed
    incoming = {f"stack{stack}.conv.weight" for stack in (1, 2, 3)} | {"head.weight", "value.weight"}
    assert not changed & {f"stack{stack}.conv.weight" for stack in (1, 2, 3)}
    assert changed <= set(before) - incoming | {"head.weight", "value.weight"}
