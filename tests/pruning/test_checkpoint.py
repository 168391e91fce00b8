"""A pruned checkpoint is a checkpoint like any other, and says where it came from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dormancy
from dormancy.errors import FileError, InputError, RewriteRefused, SampleError, SampleRequired
from dormancy.io import Checkpoint, ReplaySample, load_checkpoint, open_sample, save_checkpoint, sha256_file
from dormancy.networks import ARCHITECTURES, NetworkSpec, build_network
from dormancy.pruning import PrunedCheckpoint, prune_checkpoint
from tests.cli.runs import write_checkpoint
from tests.pruning.helpers import outputs, relative

MODES = ("mask", "remove")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """2 of 8 neurons of fc1 and 3 of 4 of fc2 are silent."""
    return write_checkpoint(tmp_path / "run", 2000, (2, 3))


def observations(checkpoint: Path) -> torch.Tensor:
    with open_sample(sample_of(checkpoint)) as sample:
        return torch.from_numpy(sample.observations[0:1000])  # type: ignore[index]


def sample_of(checkpoint: Path) -> Path:
    return checkpoint.parent.parent / "samples" / f"{checkpoint.stem}.h5"


@pytest.mark.parametrize("mode", MODES)
def test_there_and_back(checkpoint: Path, tmp_path: Path, mode: Any) -> None:
    pruned = prune_checkpoint(checkpoint, mode=mode)
    path = save_checkpoint(tmp_path / "pruned.pt", pruned.checkpoint)
    x = observations(checkpoint)
    before, after = outputs(load_checkpoint(checkpoint).build(), x), outputs(load_checkpoint(path).build(), x)
    assert relative(after, before) <= (0.0 if mode == "mask" else 1e-5)
    scan = dormancy.scan_checkpoint(path, sample_of(checkpoint), 0.0)
    assert scan.neurons == (12 if mode == "mask" else 7)
    assert scan.dormant().sum() == (5 if mode == "mask" else 0)
    assert (scan.agent_step, scan.gradient_step, scan.env_id) == (2000, 500, "CartPole-v1")


@pytest.mark.parametrize("mode", MODES)
def test_metadata_says_what_was_pruned_from_what(checkpoint: Path, tmp_path: Path, mode: Any) -> None:
    path = save_checkpoint(tmp_path / "pruned.pt", prune_checkpoint(checkpoint, mode=mode).checkpoint)
    (record,) = load_checkpoint(path).metadata["pruning"]
    assert record["source"]["sha256"] == sha256_file(checkpoint)
    assert record["sample"]["sha256"] == sha256_file(sample_of(checkpoint))
    assert (record["tau"], record["mode"], record["pruned"]) == (0.0, mode, 5)
    assert {layer["name"]: layer["pruned"] for layer in record["layers"]} == {"fc1": [0, 1], "fc2": [0, 1, 2]}
    assert record["change_on_sample"]["largest"] <= 1e-5


def test_a_narrower_network_makes_a_smaller_file(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "run", 1000, (100, 60), hidden=(128, 64))
    path = save_checkpoint(tmp_path / "pruned.pt", prune_checkpoint(checkpoint, mode="remove").checkpoint)
    assert path.stat().st_size < checkpoint.stat().st_size / 2


def test_pruning_twice_keeps_both_records(checkpoint: Path, tmp_path: Path) -> None:
    once = save_checkpoint(tmp_path / "once.pt", prune_checkpoint(checkpoint, mode="remove").checkpoint)
    twice = prune_checkpoint(once, sample_of(checkpoint), 0.9, "remove", keep_one=True)
    first, second = twice.checkpoint.metadata["pruning"]
    assert first["source"]["sha256"] == sha256_file(checkpoint)
    assert second["source"]["sha256"] == sha256_file(once)


def test_the_result_can_be_printed_as_json(checkpoint: Path) -> None:
    pruned = prune_checkpoint(checkpoint, tau=0.9)
    described = json.loads(json.dumps(pruned.to_dict(), allow_nan=False))
    assert described["checkpoint"]["path"] == str(checkpoint)
    assert described["effect"]["held_out"]["unseen"]["observations"] == 32
    assert isinstance(pruned, PrunedCheckpoint)


@pytest.mark.parametrize("mode", MODES)
def test_training_goes_on_with_the_saved_moments(checkpoint: Path, tmp_path: Path, mode: Any) -> None:
    loaded, x = load_checkpoint(checkpoint), observations(checkpoint)
    trained, state = train(loaded.build(), {}, x)
    parameters = {name: tensor.detach() for name, tensor in trained.state_dict().items()}
    saved = save_checkpoint(tmp_path / "trained.pt", replace(loaded, parameters=parameters, optimizer=state))
    pruned = prune_checkpoint(saved, sample_of(checkpoint), 0.0, mode)
    path = save_checkpoint(tmp_path / "pruned.pt", pruned.checkpoint)
    again = load_checkpoint(path)
    for name, moments in again.optimizer.items():
        assert moments["exp_avg"].shape == again.parameters[name].shape
        assert moments["step"] == state[name]["step"]
    for edit in pruned.plan.edits:
        masked = again.optimizer[edit.parameter]["exp_avg"].index_select(edit.dim, torch.from_numpy(edit.index))
        assert not masked.any()
    resumed, _ = train(again.build(), again.optimizer, x)
    assert all(torch.isfinite(parameter).all() for parameter in resumed.parameters())


def train(model: torch.nn.Module, state: Any, x: torch.Tensor) -> tuple[torch.nn.Module, dict[str, dict[str, Any]]]:
    """Take three steps of Adam, from moments by parameter name, and return the moments."""
    names = dict(model.named_parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for name, moments in state.items():
        optimizer.state[names[name]] = dict(moments)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    return model, {name: dict(optimizer.state[parameter]) for name, parameter in names.items()}


def test_a_tau_that_would_take_a_whole_layer(checkpoint: Path) -> None:
    with pytest.raises(RewriteRefused, match="all 8 neurons of layer 'fc1'"):
        prune_checkpoint(checkpoint, tau=50.0)
    assert prune_checkpoint(checkpoint, tau=50.0, keep_one=True).plan.pruned == 10


def test_a_sample_of_another_environment(checkpoint: Path) -> None:
    x = np.zeros((5, 3), dtype=np.float32)
    with pytest.raises(SampleError, match=r"a sample of Acrobot-v1, but .* was trained on CartPole-v1; give a sample"):
        prune_checkpoint(checkpoint, ReplaySample(x, provenance={"env_id": "Acrobot-v1"}))
    assert prune_checkpoint(checkpoint, ReplaySample(x, provenance={"env_id": "CartPole-v0"}), keep_one=True)


def test_no_sample(checkpoint: Path, tmp_path: Path) -> None:
    alone = checkpoint.rename(tmp_path / "alone.pt")
    with pytest.raises(SampleRequired, match=r"alone.pt: no sample lies beside it; give one with --sample FILE"):
        prune_checkpoint(alone)


def test_a_sample_of_another_shape(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="does not take observations of shape"):
        prune_checkpoint(checkpoint, ReplaySample(np.zeros((5, 7), dtype=np.float32)))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        prune_checkpoint(tmp_path / "missing.pt")


def test_a_diverged_network(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    broken = {name: tensor.clone() for name, tensor in loaded.parameters.items()}
    broken["fc1.weight"][0, 0] = float("nan")
    with pytest.raises(InputError, match="the network has diverged"):
        prune_checkpoint(replace(loaded, parameters=broken))


def test_an_architecture_that_has_no_sizes_of_its_own(checkpoint: Path) -> None:
    name = "fixed-for-a-test"
    if name not in ARCHITECTURES:
        ARCHITECTURES.register(name)(lambda **options: ARCHITECTURES["mlp"](**options))
    loaded = load_checkpoint(checkpoint)
    fixed = replace(loaded, network=NetworkSpec(name, loaded.network.options))
    assert prune_checkpoint(fixed).plan.pruned == 5
    with pytest.raises(RewriteRefused, match=f"architecture '{name}' cannot be built with arbitrary layer sizes"):
        prune_checkpoint(fixed, mode="remove")


@pytest.mark.parametrize("options", [{"activation": "crelu"}, {"norm": "layer"}])
def test_networks_whose_layers_cannot_be_narrowed_are_masked(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    spec = NetworkSpec("mlp", {"inputs": 3, "outputs": 2, "hidden": [8, 6], **options})
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    checkpoint = Checkpoint(spec, build_network(spec).state_dict())
    masked, removed = (prune_checkpoint(checkpoint, ReplaySample(x), 0.5, mode) for mode in MODES)  # type: ignore[arg-type]
    assert removed.plan.pruned == masked.plan.pruned > 0
    assert removed.checkpoint.network == spec
    assert all(layer.unnarrowed for layer in removed.plan if layer.pruned)
    rows = torch.from_numpy(x)
    given, wanted = (outputs(each.checkpoint.build(), rows)[0] for each in (removed, masked))
    assert torch.equal(given, wanted)
