"""Normalisations are placed where the file says, or refused; each flag changes what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import ArchitectureUnknown
from dormancy.io import Checkpoint, Hints, load_checkpoint
from dormancy.io.checkpoints.architecture.norms import find_norms
from dormancy.io.checkpoints.architecture.templates import TRUNKS
from tests.io.checkpoints.recorded_outputs import FOLDER
from tests.io.expectations import Refused


def saved(path: Path, model: nn.Module | dict[str, Tensor]) -> Path:
    torch.save(model.state_dict() if isinstance(model, nn.Module) else model, path)
    return path


def named(**children: nn.Module) -> nn.Module:
    holder = nn.Module()
    for name, child in children.items():
        holder.add_module(name, child)
    return holder


def placed(read: Checkpoint) -> dict[str, tuple[str, bool]]:
    """For each layer that is normalised: by what, and whether behind its nonlinearity."""
    options = read.network.options
    layers: Sequence[dict] = [*options["trunk"], *(each for head in options["heads"] for each in head)]
    return {each["name"]: (each["norm"]["name"], each["norm"]["behind"]) for each in layers if "norm" in each}


RELU = Hints(activation="relu")


@pytest.mark.parametrize(
    ("children", "wanted"),
    [
        ("fc1 ln1 fc2 ln2 out", {"fc1": ("ln1", False), "fc2": ("ln2", False)}),
        ("fc1 fc2 out ln1 ln2", {"fc1": ("ln1", False), "fc2": ("ln2", False)}),
        ("first norm_a second norm_b out", {"first": ("norm_a", False), "second": ("norm_b", False)}),
        ("fc1 ln1 fc2 out", {"fc1": ("ln1", False)}),
    ],
)
def test_names_and_order_say_which_layer_is_normalised(
    children: str, wanted: dict[str, tuple[str, bool]], tmp_path: Path
) -> None:
    kinds = {"out": nn.Linear(6, 2)}
    parts = {
        name: kinds.get(name, nn.LayerNorm(6) if name[:2] in ("ln", "no") else nn.Linear(6, 6))
        for name in children.split()
    }
    assert placed(load_checkpoint(saved(tmp_path / "a.pt", named(**parts)), RELU)) == wanted


def test_a_sequence_says_on_which_side_of_the_nonlinearity(tmp_path: Path) -> None:
    before = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    behind = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 2))
    rows = torch.randn(5, 4)
    for model, side in ((before, False), (behind, True)):
        read = load_checkpoint(saved(tmp_path / "a.pt", model), RELU)
        assert placed(read) == {"0": ("2" if side else "1", side)}
        assert torch.equal(read.build()(rows), model.eval()(rows))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(4, 6), nn.Dropout(), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)), "as well as"),
        (nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)), "where there is no nonlinearity"),
        (nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), "to which layer it belongs"),
        (named(fc1=nn.Linear(4, 6), fc2=nn.Linear(6, 6), x=nn.LayerNorm(6), y=nn.LayerNorm(6)), "to which layer"),
        (named(fc1=nn.Linear(4, 6), norm=nn.LayerNorm(7), out=nn.Linear(6, 2)), "to which layer it belongs"),
        (nn.Sequential(nn.Conv2d(2, 6, 3), nn.GroupNorm(2, 6), nn.ReLU()), "to which layer it belongs"),
        (nn.Sequential(nn.Linear(4, 6), nn.RMSNorm(6), nn.ReLU(), nn.Linear(6, 2)), "belongs to no layer"),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.ReLU()), None),
    ],
)
def test_what_cannot_be_placed_is_refused(
    model: nn.Module, words: str | None, tmp_path: Path, refused: Refused
) -> None:
    """The last one cannot be told from LayerNorm: it is read as one, and that is among the assumptions."""
    path = saved(tmp_path / "a.pt", model)
    if words is None:
        assert "layer normalisation" in {each.what for each in load_checkpoint(path, RELU).assumptions}
    else:
        told = refused(ArchitectureUnknown, lambda: load_checkpoint(path, RELU))
        assert words in told
        assert "--model package.module:factory" in told


def test_a_scalar_or_an_empty_tensor_normalises_nothing() -> None:
    assert find_norms({"a.weight": torch.ones(()), "a.bias": torch.ones(())}) == []
    assert find_norms({"a.weight": torch.ones(0), "a.bias": torch.ones(0)}) == []


def test_impala_is_told_by_its_names_and_no_other_chain_of_3x3(tmp_path: Path, refused: Refused) -> None:
    state = torch.load(FOLDER / "impala_atari.cleanrl_model", weights_only=True)
    flat = {name.replace("res_block0.conv0", "middle"): tensor for name, tensor in state.items()}
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(saved(tmp_path / "a.pt", flat)))
    assert "match no template" in told
    read = load_checkpoint(FOLDER / "impala_atari.cleanrl_model", Hints(arch="impala", activation="elu"))
    layers = read.network.options["trunk"]
    assert {each["before"] for each in layers if each.get("before")} == {"elu"}
    assert ("convolutions", "impala", "flag: --arch") in {vars_of(each) for each in read.assumptions}


def vars_of(assumption: object) -> tuple[str, str, str]:
    found = vars(assumption)
    return found["what"], found["value"], found["origin"]


@pytest.mark.parametrize("name", TRUNKS)
def test_a_trunk_leaves_the_positions_that_are_published(name: str) -> None:
    trunk = TRUNKS[name]
    assert trunk.plan(trunk.side, trunk.side, 3 if trunk.residual else 1)[1] == trunk.positions


@pytest.mark.parametrize(
    "flags",
    [
        {"activation": "tanh"},
        {"input_scale": 1.0},
        {"layout": "hwc"},
    ],
)
def test_each_flag_moves_the_outputs(flags: dict[str, str]) -> None:
    path = FOLDER / "dqn_atari.cleanrl_model"
    pixels = torch.randint(0, 256, (2, 2, 84, 84), dtype=torch.uint8)
    plain, said = load_checkpoint(path).build()(pixels), load_checkpoint(path, Hints(**flags)).build()(pixels)
    assert not torch.allclose(plain, said)


def test_the_architecture_that_is_named_must_fit(refused: Refused) -> None:
    path = FOLDER / "impala_atari.cleanrl_model"
    for arch in set(TRUNKS) - {"impala"}:
        told = refused(ArchitectureUnknown, lambda arch=arch: load_checkpoint(path, Hints(arch=arch)))
        assert "--model" in told
