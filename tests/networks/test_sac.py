"""The networks of SAC: their shapes, their twins, and everything that takes a checkpoint takes one of theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dormancy
from dormancy.errors import SampleError, UsageError
from dormancy.io import Checkpoint, ReplaySample, load_checkpoint, open_sample, save_checkpoint, save_sample
from dormancy.networks import NetworkSpec, SACNetwork, build_network, resized
from dormancy.pruning import Policy, policy_of, prune_checkpoint
from dormancy.recycle import recycle_checkpoint
from dormancy_cli.main import run

INPUTS, ACTIONS, ROWS = 3, 1, 64
SPEC = NetworkSpec("sac", {"inputs": INPUTS, "actions": ACTIONS, "hidden": [16, 8]})
SILENT = {"actor.fc1": 1, "actor.fc2": 2, "q1.fc1": 3, "q1.fc2": 0, "q2.fc1": 5, "q2.fc2": 4}
"""How many neurons of each layer never fire, by construction."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a SAC checkpoint of Pendulum with silent neurons, and the sample beside it, as a run folder has them."""
    torch.manual_seed(3)
    model = build_network(SPEC)
    with torch.no_grad():
        for name, count in SILENT.items():
            layer = model.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            layer.weight.abs_()
            layer.bias.fill_(20.0)
            layer.bias[:count] = -1e6
    folder = tmp_path_factory.mktemp("runs") / "sac"
    for name in ("checkpoints", "samples"):
        (folder / name).mkdir(parents=True)
    save_sample(folder / "samples" / "step_1.h5", _sample(actions=True))
    made = Checkpoint(SPEC, model.state_dict(), agent_step=1, gradient_step=1, env_id="Pendulum-v1")
    return save_checkpoint(folder / "checkpoints" / "step_1.pt", made)


def _sample(*, actions: bool) -> ReplaySample:
    rng = np.random.default_rng(0)
    given = rng.uniform(-1, 1, (ROWS, ACTIONS)).astype(np.float32) if actions else None
    observations = rng.normal(size=(ROWS, INPUTS)).astype(np.float32)
    return ReplaySample(observations, actions=given, provenance={"env_id": "Pendulum-v1"})


def test_shapes_with_and_without_actions() -> None:
    model = SACNetwork(17, 6)
    both = model(torch.randn(5, 17), torch.rand(5, 6))
    assert [tuple(each.shape) for each in both] == [(5, 6), (5, 6), (5, 1), (5, 1)]
    alone = model(torch.randn(5, 17))
    assert [tuple(each.shape) for each in alone] == [(5, 6), (5, 6)]


@pytest.mark.parametrize(("width", "neurons"), [(1.0, 256), (0.5, 128), (0.25, 64)])
def test_widths_of_table_6(width: float, neurons: int) -> None:
    model = SACNetwork(17, 6, width=width)
    sizes = [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [neurons, neurons, 12, neurons, neurons, 1, neurons, neurons, 1]


def test_values_are_those_of_dense_networks_on_observations_then_actions() -> None:
    torch.manual_seed(0)
    model = SACNetwork(4, 2, hidden=(8,)).double()
    observations, actions = torch.randn(6, 4).double(), torch.rand(6, 2).double()
    for tower, found in zip(("q1", "q2"), model.values(observations, actions), strict=True):
        weights = {name: value.detach().numpy() for name, value in model.get_submodule(tower).named_parameters()}
        pairs = np.concatenate([observations, actions], axis=1)
        hidden = np.maximum(pairs @ weights["fc1.weight"].T + weights["fc1.bias"], 0)
        expected = hidden @ weights["head.weight"].T + weights["head.bias"]
        assert np.allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_twins_are_drawn_independently() -> None:
    torch.manual_seed(0)
    model = SACNetwork(4, 2)
    assert not torch.equal(model.q1.fc1.weight, model.q2.fc1.weight)  # type: ignore[union-attr, arg-type]
    before = model.q1.fc1.weight.clone()  # type: ignore[union-attr, operator]
    model.reset_parameters()
    assert not torch.equal(model.q1.fc1.weight, model.q2.fc1.weight)  # type: ignore[union-attr, arg-type]
    assert not torch.equal(model.q1.fc1.weight, before)  # type: ignore[union-attr, arg-type]


def test_hidden_sizes_by_name_name_all_three() -> None:
    with pytest.raises(UsageError, match="hidden must be sizes"):
        SACNetwork(4, 2, hidden={"actor": (8,), "critic": (8,)})


def test_a_network_is_built_narrower() -> None:
    sizes = {"actor.fc1": 5, "actor.fc2": 4, "q1.fc1": 3, "q1.fc2": 2, "q2.fc1": 7, "q2.fc2": 6}
    small = build_network(resized(SPEC, sizes))
    assert {name: small.get_submodule(name).out_features for name in sizes} == sizes


def test_scan_scores_actor_and_both_critics(checkpoint: Path) -> None:
    result = dormancy.scan_checkpoint(checkpoint, tau=0)
    assert {layer.name: len(np.flatnonzero(layer.dormant(0))) for layer in result.layers} == SILENT
    assert result.fraction(0) == sum(SILENT.values()) / (3 * 24)


def test_a_sample_without_actions_is_refused(checkpoint: Path) -> None:
    with pytest.raises(SampleError, match="this critic reads 1 numbers of an action a row, the sample has 0"):
        dormancy.scan_checkpoint(checkpoint, _sample(actions=False))


@pytest.mark.parametrize("mode", ["mask", "remove"])
def test_pruning_silent_neurons_changes_nothing(checkpoint: Path, mode: str) -> None:
    pruned = prune_checkpoint(checkpoint, tau=0, mode=mode)  # type: ignore[arg-type]
    assert pruned.plan.pruned == sum(SILENT.values())
    assert pruned.effect.sample.largest <= 1e-5 * pruned.effect.sample.scale
    if mode == "remove":
        assert pruned.checkpoint.network.options["hidden"] == {"actor": [15, 6], "q1": [13, 8], "q2": [11, 4]}


def test_recycling_silent_neurons_moves_no_output(checkpoint: Path) -> None:
    recycled = recycle_checkpoint(checkpoint, tau=0)
    assert {each.name: each.neurons.size for each in recycled.plan} == SILENT
    assert recycled.scored.largest == 0.0
    fresh = recycled.checkpoint.parameters
    assert not torch.equal(fresh["q1.fc1.weight"][:3], fresh["q2.fc1.weight"][:3])


def test_an_actor_acts_by_its_squashed_mean(checkpoint: Path) -> None:
    assert policy_of(load_checkpoint(checkpoint)) == Policy(0, "squashed")


def test_the_command_line_takes_it(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", str(checkpoint), "--tau", "0", "--format", "json"]) == 0
    (scan,) = json.loads(capsys.readouterr().out)["runs"][0]["scans"]
    assert [layer["name"] for layer in scan["layers"]] == list(SILENT)
    assert run(["inspect", str(checkpoint), "--format", "json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert [layer["name"] for layer in file["layers"]] == list(SILENT)
    assert run(["prune", str(checkpoint), "--mode", "remove", "--episodes", "1", "-o", str(tmp_path / "small.pt")]) == 0
    narrow = load_checkpoint(tmp_path / "small.pt")
    with open_sample(checkpoint.parents[1] / "samples" / "step_1.h5") as sample:
        assert dormancy.scan_checkpoint(narrow, sample, tau=0).fraction(0) == 0.0
    assert run(["recycle", str(checkpoint), "--tau", "0", "-o", str(tmp_path / "recycled.pt")]) == 0
    assert run(["report", str(checkpoint), "-o", str(tmp_path / "report.html")]) == 0
    assert "q2.fc2" in (tmp_path / "report.html").read_text()
