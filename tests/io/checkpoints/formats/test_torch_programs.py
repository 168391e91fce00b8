"""TorchScript and .pt2 files: refused unless trusted; then the program itself is the network."""

from __future__ import annotations

import copy
import io
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from dormancy.errors import FileError, UnsafeFileError, UsageError
from dormancy.io import Hints, ReplaySample, load_checkpoint
from dormancy.networks import Program
from dormancy.pruning import prune_checkpoint, write_pruned
from tests.io.checkpoints.recorded_outputs import FOLDER, inputs, load, outputs
from tests.io.expectations import Refused

PROGRAMS = sorted(path for path in FOLDER.iterdir() if path.name.startswith(("script", "export")))
TRUST = Hints(trust=True)
WRITES = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
"""For tests that make a program: torch says that another way is better."""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_without_trust_a_program_is_not_even_loaded(
    path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(torch.jit, "load", never)
    monkeypatch.setattr(torch.export, "load", never)
    told = refused(UnsafeFileError, lambda: load_checkpoint(path))
    assert "refused without --trust" in told


def test_a_program_says_what_it_is() -> None:
    said = {each.what: (each.value, each.origin) for each in load("script_traced.pt|").assumptions}
    assert said["network"] == ("the program itself, which was run", "flag: --trust")
    assert said["input_scale"] == ("1", "template: as it is")


def test_weights_go_to_a_template_where_it_is_named_or_batches_are_fixed() -> None:
    read = load("export_fixed.pt2|")
    assert read.network.arch == "stack"
    assert "batches of 4 rows only" in read.assumptions[0].value
    named = load_checkpoint(FOLDER / "script_critic.pt", Hints(trust=True, arch="mlp", activation="tanh"))
    assert named.network.arch == "stack"
    assert "as asked by a flag" in named.assumptions[0].value


@pytest.mark.parametrize("case", ["script_scripted.pt|", "export_frames.pt2|"])
def test_copies_are_independent_and_parameters_are_the_programs_own(case: str) -> None:
    model = load(case).build()
    assert isinstance(model, Program)
    given = inputs(case)["observations"]
    twin = copy.deepcopy(model)
    with torch.no_grad():
        model.get_parameter("head.weight").zero_()
        changed, kept = model(given), twin(given)
    assert torch.equal(changed, model.get_parameter("head.bias").expand_as(changed))
    assert torch.allclose(kept, torch.as_tensor(outputs(case)[0]), atol=3e-6)
    assert load(case).build().training is False


@WRITES
def test_the_scale_of_inputs_is_the_users(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    torch.jit.save(torch.jit.script(model), tmp_path / "a.pt")
    built = load_checkpoint(tmp_path / "a.pt", Hints(trust=True, input_scale=0.5)).build()
    rows = torch.randn(5, 3)
    assert torch.equal(built(rows), model(0.5 * rows))


def test_a_program_is_masked_but_not_written(tmp_path: Path) -> None:
    sample = {name: values.numpy() for name, values in inputs("script_critic.pt|").items()}
    kept = ReplaySample(sample["observations"], actions=sample["actions"])
    found = prune_checkpoint(load("script_critic.pt|"), kept, 0.6, keep_one=True, draws=0)
    assert found.plan.pruned
    with pytest.raises(UsageError, match="nor a program"):
        write_pruned(tmp_path / "a.pt", found, TRUST)


@WRITES
def test_a_frozen_program_has_no_neurons_to_name(tmp_path: Path, refused: Refused) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    torch.jit.save(torch.jit.freeze(torch.jit.script(model)), tmp_path / "a.pt")
    assert "perhaps frozen" in refused(FileError, lambda: load_checkpoint(tmp_path / "a.pt", TRUST))


def test_code_that_inflates_without_bound_is_refused_though_trusted(tmp_path: Path, refused: Refused) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(FOLDER / "script_critic.pt") as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist():
            new.writestr(info, old.read(info))
        root = old.namelist()[0].partition("/")[0]
        new.writestr(zipfile.ZipInfo(f"{root}/code/bomb.py"), bytes(65 << 20), zipfile.ZIP_DEFLATED)
    (tmp_path / "a.pt").write_bytes(stream.getvalue())
    assert "inflate to" in refused(UnsafeFileError, lambda: load_checkpoint(tmp_path / "a.pt", TRUST))
    assert "refused without --trust" in refused(UnsafeFileError, lambda: load_checkpoint(tmp_path / "a.pt"))


@pytest.mark.parametrize("name", ["script_critic.pt", "export_critic.pt2"])
def test_damage_in_a_trusted_program_is_told(name: str, tmp_path: Path, refused: Refused) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(FOLDER / name) as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist():
            new.writestr(info, b"{}" if info.filename.endswith(("model.json", "data.pkl")) else old.read(info))
    (tmp_path / "a.pt").write_bytes(stream.getvalue())
    assert "cannot load this program" in refused(FileError, lambda: load_checkpoint(tmp_path / "a.pt", TRUST))
