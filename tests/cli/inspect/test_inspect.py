"""`dormancy inspect`: what is in a file, and what is missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from dormancy.io import load_checkpoint, save_checkpoint, sha256_file
from tests.cli.runs import Dormancy, Outcome


def facts(result: Outcome) -> dict[str, Any]:
    document = json.loads(result.out)
    assert document["schema"] == "dormancy.inspect/1"
    (found,) = document["files"]
    return dict(found)


def test_a_checkpoint_says_what_it_is(dormancy: Dormancy, checkpoint: Path) -> None:
    found = facts(dormancy("inspect", checkpoint, "--format", "json"))
    assert found["kind"] == "checkpoint"
    assert found["sha256"] == sha256_file(checkpoint)
    assert (found["arch"], found["agent_step"], found["gradient_step"]) == ("mlp", 2000, 500)
    assert found["arch_kwargs"] == {"inputs": 3, "outputs": 2, "hidden": [8, 4]}
    shapes = {parameter["name"]: parameter["shape"] for parameter in found["parameters"]}
    assert shapes == {name: list(tensor.shape) for name, tensor in load_checkpoint(checkpoint).parameters.items()}
    layers = [(layer["name"], layer["neurons"], layer["obstacle"]) for layer in found["layers"]]
    assert layers == [("fc1", 8, None), ("fc2", 4, None)]
    assert found["missing"] == []


def test_a_checkpoint_without_its_sample_is_traced_all_the_same(
    dormancy: Dormancy, checkpoint: Path, tmp_path: Path
) -> None:
    alone = shutil.copy(checkpoint, tmp_path / "alone.pt")
    result = dormancy("inspect", alone)
    assert result.code == 0
    assert f"missing: no sample lies with it: dormancy scan {alone} --sample FILE.h5" in result.out
    assert "fc1     relu               8   exact" in result.out


def test_numbers_that_are_not_finite_are_counted(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    weight = loaded.parameters["fc1.weight"].clone()
    weight[0, :2] = torch.tensor([float("nan"), float("inf")])
    path = tmp_path / "diverged.pt"
    parameters = {**loaded.parameters, "fc1.weight": weight}
    save_checkpoint(path, type(loaded)(network=loaded.network, parameters=parameters))
    found = facts(dormancy("inspect", path, "--format", "json"))
    broken = {parameter["name"]: parameter["nonfinite"] for parameter in found["parameters"]}
    assert broken.pop("fc1.weight") == 2
    assert set(broken.values()) == {0}
    assert "NOT FINITE in fc1.weight" in dormancy("inspect", path).out


def test_a_sample_says_what_it_is(dormancy: Dormancy, series_folder: Path) -> None:
    sample = series_folder / "samples" / "step_00001000.h5"
    found = facts(dormancy("inspect", sample, "--format", "json"))
    assert (found["kind"], found["rows"], found["sha256"]) == ("sample", 64, sha256_file(sample))
    assert found["arrays"] == {"observations": {"shape": [64, 3], "dtype": "float32"}}
    assert "float32 (64, 3)" in dormancy("inspect", sample).out


def test_what_cannot_be_read_fails_alone(dormancy: Dormancy, checkpoint: Path, broken: Path) -> None:
    result = dormancy("inspect", broken, checkpoint)
    assert result.code == 4
    assert result.err.count("\n") == 1
    assert str(broken) in result.err
    assert "mlp" in result.out
    assert dormancy("inspect", broken).code == 3


def test_verbose_lists_every_parameter(dormancy: Dormancy, checkpoint: Path) -> None:
    out = dormancy("inspect", checkpoint, "-v").out
    for name in load_checkpoint(checkpoint).parameters:
        assert f"\n{name} " in out
