"""`dormancy recycle`: what it prints, what it writes, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from dormancy.io import load_checkpoint, sha256_file
from tests.cli.runs import Dormancy


def test_tau_zero_changes_nothing_where_neurons_were_judged(dormancy: Dormancy, checkpoint: Path) -> None:
    outcome = dormancy("recycle", checkpoint, "--tau", 0, "--format", "json")
    found = json.loads(outcome.out)
    assert (outcome.code, found["schema"]) == (0, "dormancy.recycle/1")
    assert [layer["recycled"] for layer in found["layers"]] == [[0, 1], [0, 1, 2]]
    assert found["observations"] == 32
    assert found["effect"]["scored"]["largest"] == 0.0
    assert found["effect"]["unseen"]["largest"] == 0.0  # silenced by their bias, these neurons are silent everywhere


def test_the_new_checkpoint_says_where_it_comes_from(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    before, target = sha256_file(checkpoint), tmp_path / "recycled.pt"
    assert dormancy("recycle", checkpoint, "--tau", 0, "-o", target).code == 0
    assert sha256_file(checkpoint) == before
    old, new = load_checkpoint(checkpoint), load_checkpoint(target)
    assert new.metadata["recycling"][0]["source"]["sha256"] == before
    assert not new.parameters["fc1.bias"][:2].any()
    assert not new.parameters["fc2.weight"][3:, :2].any()
    assert torch.equal(new.parameters["fc1.weight"][2:], old.parameters["fc1.weight"][2:])
    assert not torch.equal(new.parameters["fc1.weight"][:2], old.parameters["fc1.weight"][:2])
    assert (new.agent_step, new.env_id) == (old.agent_step, old.env_id)


def test_the_same_seed_draws_the_same_weights(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.pt" for name in ("one", "again", "other")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        assert dormancy("recycle", checkpoint, "--tau", 0, "--seed", seed, "-o", file).code == 0
    one, again, other = (load_checkpoint(file).parameters["fc1.weight"] for file in files)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_dry_run_writes_nothing(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    outcome = dormancy("recycle", checkpoint, "--dry-run", "-o", tmp_path / "recycled.pt")
    assert outcome.code == 0
    assert "fc2" in outcome.out
    assert "no checkpoint was written" in outcome.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--tau", "-1"), 2, "tau is a score"),
        (("--semantics", "papr"), 2, "did you mean 'paper'"),
        (("--rows", "1000"), 3, "the sample has 64"),
        (("--sample", "nowhere.h5"), 3, "nowhere.h5"),
        (("--layers", "conv"), 2, "conv"),
    ],
)
def test_what_cannot_be_is_one_line(
    dormancy: Dormancy, checkpoint: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    outcome = dormancy("recycle", checkpoint, *arguments)
    assert outcome.code == code
    assert word in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not outcome.out


def test_an_existing_file_is_kept(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious.pt"
    target.write_text("mine")
    outcome = dormancy("recycle", checkpoint, "-o", target)
    assert outcome.code == 3
    assert "--force" in outcome.err
    assert target.read_text() == "mine"
