"""Files of other libraries: pruned, written back as what they were, and read again; or in our own format, said so."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from dormancy.errors import FileError, OutputError, UsageError
from dormancy.io import Checkpoint, Hints, ReplaySample, load_checkpoint, sha256_file
from dormancy.io.safety.torch_load import load_guarded
from dormancy.pruning import PrunedCheckpoint, prune_checkpoint, write_pruned
from tests.io.checkpoints.recorded_outputs import FOLDER, STATE_DICTS, hints, inputs, load
from tests.pruning.helpers import outputs, relative

TAU = 0.6
CASES = [case for case in STATE_DICTS if case != "layer_norm_behind.pt|"]  # there, nothing can be taken out exactly


def sample(case: str) -> ReplaySample:
    arrays = {name: tensor.numpy() for name, tensor in inputs(case).items()}
    return ReplaySample(arrays["observations"], actions=arrays.get("actions"))


def pruned(case: str, mode: Any) -> PrunedCheckpoint:
    return prune_checkpoint(load(case), sample(case), TAU, mode, keep_one=True, draws=0)


def same(first: Checkpoint, second: Checkpoint) -> bool:
    assert first.parameters.keys() == second.parameters.keys()
    return all(torch.equal(tensor, second.parameters[name]) for name, tensor in first.parameters.items())


def numbers(content: Any, path: str = "") -> dict[str, Tensor]:
    """List every tensor of a file by the way to it."""
    if isinstance(content, Tensor):
        return {path: content}
    parts = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list | tuple)
        else ()
    )
    return {name: tensor for key, part in parts for name, tensor in numbers(part, f"{path}/{key}").items()}


def opened(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a file, not a dict
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open("policy.pth") as policy:
            return numbers(load_guarded(policy, path))  # type: ignore[arg-type]
    with path.open("rb") as stream:
        return numbers(load_guarded(stream, path))


@pytest.mark.parametrize("case", CASES)
def test_masked_files_come_back_as_what_they_were(case: str, tmp_path: Path) -> None:
    found = pruned(case, "mask")
    assert found.plan.pruned
    original = FOLDER / case.partition("|")[0]
    path = tmp_path / original.name
    written = write_pruned(path, found, hints(case))
    again = load_checkpoint(path, hints(case))
    assert found.source is not None
    assert written.format == found.source.format == (again.source.format if again.source else None)
    assert same(again, found.checkpoint)
    before, after = opened(original), opened(path)
    assert before.keys() == after.keys()
    network = set(found.checkpoint.parameters)
    touched = {name for name in before if not torch.equal(before[name], after[name])}
    assert touched
    assert all(any(name.replace("_orig_mod.", "").endswith(each) for each in network) for name in touched)
    assert len(touched) <= 3 * len({edit.parameter for edit in found.plan.edits})  # each under at most three names


@pytest.mark.parametrize("case", CASES)
def test_narrower_networks_answer_as_masked_ones(case: str, tmp_path: Path) -> None:
    masked, removed = pruned(case, "mask"), pruned(case, "remove")
    rows = {name: torch.as_tensor(value) for name, value in inputs(case).items()}
    assert removed.plan.cuts
    assert relative(outputs(removed.network, rows), outputs(masked.network, rows)) <= 1e-5
    path = tmp_path / FOLDER.joinpath(case.partition("|")[0]).name
    written = write_pruned(path, removed, hints(case))
    if case.startswith("sb3"):
        assert (written.format, "own format" in str(written.note)) == ("dormancy.checkpoint", True)
        again = load_checkpoint(path).build()
        assert relative(outputs(again, rows), outputs(masked.network, rows)) <= 1e-5
    else:
        assert removed.source is not None
        with_optimizer = case.startswith("dueling")
        assert written.format == ("dormancy.checkpoint" if with_optimizer else removed.source.format)
        assert ("optimizer state is not narrowed" in str(written.note)) == with_optimizer
        shapes = {tuple(tensor.shape) for tensor in opened(path).values()}
        assert {tuple(tensor.shape) for tensor in removed.checkpoint.parameters.values()} <= shapes


@pytest.mark.parametrize("case", CASES)
def test_all_can_be_written_in_our_own_format(case: str, tmp_path: Path) -> None:
    found = pruned(case, "remove")
    written = write_pruned(tmp_path / "own.pt", found, hints(case), as_native=True)
    assert (written.format, written.note) == ("dormancy.checkpoint", None)
    again = load_checkpoint(tmp_path / "own.pt")
    assert same(again, found.checkpoint)
    assert again.metadata["pruning"][-1]["source"]["sha256"] == sha256_file(FOLDER / case.partition("|")[0])


def test_other_members_of_an_archive_are_untouched(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.startswith("sb3_dqn"))
    path = tmp_path / "agent.zip"
    write_pruned(path, pruned(case, "mask"), hints(case))
    with zipfile.ZipFile(FOLDER / "sb3_dqn.zip") as old, zipfile.ZipFile(path) as new:
        assert old.namelist() == new.namelist()
        assert [name for name in old.namelist() if old.read(name) != new.read(name)] == ["policy.pth"]


def test_safetensors_keep_a_record(tmp_path: Path) -> None:
    case = next(case for case in CASES if ".safetensors" in case)
    path = tmp_path / "net.safetensors"
    assert write_pruned(path, pruned(case, "remove"), hints(case)).note is None
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["dormancy.pruning"])
    assert record["mode"] == "remove"
    assert record["source"]["sha256"] == sha256_file(FOLDER / case.partition("|")[0])


def simple(path: Path, **more: Any) -> Path:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))
    torch.save({"network": network.state_dict(), "step": 7, **more}, path)
    return path


X = ReplaySample(np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32))
RELU = Hints(activation="relu")


def test_a_training_checkpoint_is_not_narrowed_under_its_optimizer(tmp_path: Path) -> None:
    adam = torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict()
    path = simple(tmp_path / "training.pt", optimizer=adam)
    loaded = load_checkpoint(path, RELU)
    for mode, format in (("mask", "state_dict"), ("remove", "dormancy.checkpoint")):
        found = prune_checkpoint(loaded, X, 0.9, mode)  # type: ignore[arg-type]
        written = write_pruned(tmp_path / f"{mode}.pt", found, RELU)
        assert written.format == format
        assert written.note
    assert torch.load(tmp_path / "mask.pt", weights_only=True)["step"] == 7


def test_names_of_one_tensor_change_together(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3)).state_dict()
    path = tmp_path / "twice.pt"
    torch.save({**layers, **{f"copy.{name}": tensor for name, tensor in layers.items()}}, path)
    found = prune_checkpoint(load_checkpoint(path, RELU), X, 0.9)
    write_pruned(tmp_path / "pruned.pt", found, RELU)
    after = torch.load(tmp_path / "pruned.pt", weights_only=True)
    assert (after["2.weight"] == 0).any()
    assert all(torch.equal(after[name], after[f"copy.{name}"]) for name in layers)


def test_a_file_that_changed_meanwhile(tmp_path: Path) -> None:
    path = simple(tmp_path / "a.pt")
    found = prune_checkpoint(load_checkpoint(path, RELU), X, 0.9)
    simple(path, more=torch.zeros(3))
    with pytest.raises(FileError, match="changed since it was read; prune it again"):
        write_pruned(tmp_path / "b.pt", found, RELU)
    assert not (tmp_path / "b.pt").exists()


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    path = simple(tmp_path / "a.pt")
    found = prune_checkpoint(load_checkpoint(path, RELU), X, 0.9)
    with pytest.raises(OutputError, match="already exists"):
        write_pruned(path, found, RELU)


def factory() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))


def test_a_network_of_your_own_code(tmp_path: Path) -> None:
    path = simple(tmp_path / "a.pt")
    own = Hints(model=f"{__name__}:factory")
    loaded = load_checkpoint(path, own)
    found = prune_checkpoint(loaded, X, 0.9, "remove")
    assert found.plan.cuts
    assert write_pruned(tmp_path / "b.pt", found, own).format == "state_dict"
    after = torch.load(tmp_path / "b.pt", weights_only=True)["network"]
    assert after["0.weight"].shape == (found.plan.sizes["0"], 4)
    with pytest.raises(UsageError, match="own format cannot name a network of --model"):
        write_pruned(tmp_path / "c.pt", found, own, as_native=True)


def test_a_checkpoint_that_was_never_a_file(tmp_path: Path) -> None:
    found = prune_checkpoint(replace(load_checkpoint(simple(tmp_path / "a.pt"), RELU), source=None), X, 0.9)
    assert write_pruned(tmp_path / "b.pt", found).format == "dormancy.checkpoint"
