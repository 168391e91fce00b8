"""`dormancy prune`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dormancy.io import load_checkpoint, sha256_file
from tests.cli.runs import Dormancy, write_checkpoint


@pytest.fixture
def loud(tmp_path: Path) -> Path:
    """A checkpoint whose neurons score unevenly, so that pruning at tau .9 moves the outputs."""
    return write_checkpoint(tmp_path / "loud", 3000, (2, 1), hidden=(8, 6))


def as_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_masking_at_tau_0_is_exact(dormancy: Dormancy, checkpoint: Path) -> None:
    outcome = dormancy("prune", checkpoint, "--max-delta", 0, "--min-agreement", "100%", "--format", "json")
    assert outcome.code == 0
    found = as_json(outcome.out)
    assert found["schema"] == "dormancy.prune/1"
    assert (found["pruned"], found["neurons"], found["mode"], found["tau"]) == (5, 12, "mask", 0.0)
    assert found["effect"]["sample"]["largest"] == 0.0
    assert found["effect"]["held_out"]["unseen"]["observations"] == 32
    assert len(found["effect"]["controls"]["random"]) == 5
    assert [gate["passed"] for gate in found["gates"]] == [True, True]
    assert found["written"] is None


@pytest.mark.parametrize("mode", ["mask", "remove"])
def test_the_pruned_file_is_scanned_inspected_and_reported(
    dormancy: Dormancy, checkpoint: Path, tmp_path: Path, mode: str
) -> None:
    before = sha256_file(checkpoint)
    pruned = tmp_path / "pruned.pt"
    outcome = dormancy("prune", checkpoint, "--mode", mode, "-o", pruned, "--copy-sample", "--format", "json")
    assert outcome.code == 0
    assert as_json(outcome.out)["written"]["sha256"] == sha256_file(pruned)
    assert sha256_file(checkpoint) == before
    scan = as_json(dormancy("scan", pruned, "--tau", 0, "--format", "json").out)["runs"][0]["scans"][0]
    assert scan["network"][0]["dormant"] == (5 if mode == "mask" else 0)
    done = "masked" if mode == "mask" else "taken out"
    assert f"5 of 12 neurons {done} at tau 0.0, from the file of sha256 {before}" in dormancy("inspect", pruned).out
    assert dormancy("report", pruned, "-o", tmp_path / "report.html").code == 0
    assert load_checkpoint(pruned).metadata["pruning"][0]["source"]["sha256"] == before


def test_the_table_tells_layers_effect_controls_and_cost(dormancy: Dormancy, checkpoint: Path) -> None:
    outcome = dormancy("prune", checkpoint, "--mode", "remove", "-v")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["fc2", "4", "3", "3", "75.0", "%"] in lines
    assert any(line[:1] == ["parameters"] for line in lines)
    assert "5 neurons of 12 taken out (41.7 %)" in outcome.out
    assert "control: 5 random ones, mean of 5" in outcome.out
    assert "control: the 5 with the highest scores" in outcome.out
    assert sha256_file(checkpoint) in outcome.out
    assert "no checkpoint was written; name one with --output FILE" in outcome.err


def test_a_failed_gate_says_so_and_writes_nothing(dormancy: Dormancy, loud: Path, tmp_path: Path) -> None:
    pruned = tmp_path / "pruned.pt"
    outcome = dormancy("prune", loud, "--tau", 0.9, "--max-delta", 1e-9, "--min-agreement", "held-out=0", "-o", pruned)
    assert outcome.code == 1
    assert "error: gate failed: --max-delta 1e-09: outputs move by up to " in outcome.err
    assert "no checkpoint was written" in outcome.err
    assert not pruned.exists()


def test_a_dry_run_writes_nothing(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    pruned = tmp_path / "pruned.pt"
    assert dormancy("prune", checkpoint, "-o", pruned, "--dry-run").code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_as_table_json_markdown_and_picture(dormancy: Dormancy, loud: Path, tmp_path: Path) -> None:
    picture = tmp_path / "sweep.png"
    outcome = dormancy("prune", loud, "--grid", "0.9,0,2", "--png", picture, "--format", "json", "--draws", 2)
    assert outcome.code == 0
    points = as_json(outcome.out)["sweep"]["points"]
    assert [point["tau"] for point in points] == [0.0, 0.9, 2.0]
    assert points[0]["change"]["largest"] == 0.0
    assert points[2]["pruned"] >= points[1]["pruned"] >= points[0]["pruned"] == 3
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = dormancy("prune", loud, "--sweep", "--draws", 1).out
    assert "0.0025" in table
    markdown = dormancy("prune", loud, "--grid", "0,1", "--format", "md").out
    assert "| 0 | 3 | 21.4 % | 0 |" in markdown


def test_a_result_is_a_chapter_of_the_report(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    result, page = tmp_path / "prune.json", tmp_path / "report.html"
    result.write_text(dormancy("prune", checkpoint, "--grid", "0,1", "--draws", 1, "--format", "json").out)
    assert dormancy("report", checkpoint, "--pruning", result, "-o", page).code == 0
    assert "Does the network need its dormant neurons?" in page.read_text()
    markdown = dormancy("report", checkpoint, "--pruning", result, "--format", "md").out
    assert "How far pruning moved the outputs" in markdown
    assert dormancy("report", checkpoint, "--pruning", result, "--format", "json", "--png", tmp_path / "png").code == 0
    assert [path for path in (tmp_path / "png").iterdir() if path.name.endswith("-pruning-sweep.png")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ('{"schema": "dormancy.scan/1"}', "no prune result; write one with dormancy prune --format json"),
        ('{"schema": "dormancy.prune/1"}', "not a whole prune result (KeyError: "),
        ("[]", "no prune result"),
    ],
)
def test_what_is_no_prune_result(
    dormancy: Dormancy, checkpoint: Path, tmp_path: Path, content: str, words: str
) -> None:
    result = tmp_path / "prune.json"
    result.write_text(content)
    outcome = dormancy("report", checkpoint, "--pruning", result, "-o", tmp_path / "report.html")
    assert (outcome.code, outcome.err.count("\n")) == (3, 1)
    assert words in outcome.err
    assert dormancy("report", checkpoint, "--pruning", tmp_path / "missing.json").code == 3


def test_episodes_before_and_after(dormancy: Dormancy, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "run", 1000, (2, 1), inputs=4)
    outcome = dormancy("prune", path, "--episodes", 3, "--format", "json")
    assert outcome.code == 0
    returns = as_json(outcome.out)["returns"]
    assert returns["env_id"] == "CartPole-v1"
    assert returns["returns"]["before"] == returns["returns"]["after"]  # equal outputs, equal episodes
    assert len(returns["returns"]["before"]) == 3
    assert returns["before"]["low"] <= returns["before"]["estimate"] <= returns["before"]["high"]
    assert returns["difference"] == {"estimate": 0.0, "low": 0.0, "high": 0.0}


def test_a_network_that_does_not_play_the_environment(dormancy: Dormancy, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "run", 1000, (2, 1), inputs=4)
    acrobot = dormancy("prune", path, "--episodes", 1, "--env", "Acrobot-v1")
    assert (acrobot.code, acrobot.out) == (3, "")
    assert "does not take observations of shape (1, 6)" in acrobot.err
    unknown = dormancy("prune", path, "--episodes", 1, "--env", "CartPoel-v1")
    assert unknown.code == 2
    assert "did you mean 'CartPole-v" in unknown.err


def test_layers_that_are_left_alone_are_named(
    dormancy: Dormancy, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks that can be built from a file have no such layer yet, so one is made up."""
    from dormancy.pruning import planner as planning
    from dormancy.pruning.anatomy import Anatomy, LayerAnatomy, dissect

    def with_obstacle(model: Any, inputs: Any) -> Anatomy:
        found = dissect(model, inputs)
        fc2 = found.layers["fc2"]
        return Anatomy(found.graph, {**found.layers, "fc2": LayerAnatomy(fc2.layer, fc2.slices, "it hums", None)})

    monkeypatch.setattr(planning, "dissect", with_obstacle)
    outcome = dormancy("prune", checkpoint)
    assert outcome.code == 0
    assert "warning: layer 'fc2' is left as it is, 3 of its neurons are dormant: it hums" in outcome.err
    assert "refused: it hums" in outcome.out
    allowed = dormancy("prune", checkpoint, "--inexact")
    assert "not exact: it hums" in allowed.out


BAD = [
    (["--tau", "50"], 3, "all 8 neurons of layer 'fc1' are to be pruned, which would leave a constant"),
    (["--tau", "-1"], 2, "tau is a score, 0 or more, not -1"),
    (["--tau", "nan"], 2, "tau is a score, 0 or more, not nan"),
    (["--mode", "remvoe"], 2, "'remvoe' is not known (did you mean 'remove'?)"),
    (["--layers", "conv"], 2, "no layer matches 'conv'; layers: fc1, fc2"),
    (["--layers", "("], 2, "is not a regular expression"),
    (["--sample", "missing.h5"], 3, "missing.h5: no such file"),
    (["--max-delta", "x"], 2, "--max-delta 'x' is not a number of 0 or more"),
    (["--min-agreement", "2"], 2, "--min-agreement '2' is not a share between 0 and 1"),
    (["--min-agreement", "heldout=1"], 2, "did you mean 'held-out'?"),
    (["--grid", "0,x"], 2, "--grid '0,x' is no list of taus"),
    (["-o", "no/such/folder/p.pt"], 3, "no/such/folder/p.pt: its folder does not exist; create it first"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "words"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_one_line(
    dormancy: Dormancy, checkpoint: Path, arguments: list[str], code: int, words: str
) -> None:
    before = sha256_file(checkpoint)
    outcome = dormancy("prune", checkpoint, *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert sha256_file(checkpoint) == before


def test_a_sample_of_another_environment(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    import numpy as np

    from dormancy.io import ReplaySample, save_sample

    foreign = tmp_path / "acrobot.h5"
    save_sample(foreign, ReplaySample(np.zeros((4, 3), np.float32), provenance={"env_id": "Acrobot-v1"}))
    outcome = dormancy("prune", checkpoint, "--sample", foreign)
    assert (outcome.code, outcome.out) == (3, "")
    assert f"{foreign}: a sample of Acrobot-v1, but {checkpoint} was trained on CartPole-v1" in outcome.err


def test_no_sample(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.pt"
    alone.write_bytes(checkpoint.read_bytes())
    outcome = dormancy("prune", alone)
    assert outcome.code == 3
    assert "no sample lies beside it; give one with --sample FILE" in outcome.err


def test_nothing_that_exists_is_replaced_without_force(dormancy: Dormancy, checkpoint: Path, tmp_path: Path) -> None:
    pruned = tmp_path / "pruned.pt"
    pruned.write_text("mine")
    outcome = dormancy("prune", checkpoint, "-o", pruned)
    assert outcome.code == 3
    assert "exists; give --force to replace it" in outcome.err
    assert pruned.read_text() == "mine"
    assert dormancy("prune", checkpoint, "-o", pruned, "--force").code == 0
    assert load_checkpoint(pruned).metadata["pruning"]


def test_the_checkpoint_itself_is_never_replaced(dormancy: Dormancy, checkpoint: Path) -> None:
    before = sha256_file(checkpoint)
    outcome = dormancy("prune", checkpoint, "-o", checkpoint, "--force")
    assert outcome.code == 2
    assert "is the checkpoint itself, which is kept as it is" in outcome.err
    assert sha256_file(checkpoint) == before


def test_a_full_disk(dormancy: Dormancy, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    outcome = dormancy("prune", checkpoint, "-o", tmp_path / "pruned.pt")
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == f"error: {tmp_path / 'pruned.pt'}: disk full; free some space or write elsewhere\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(
    dormancy: Dormancy, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may be allowed everything, so the system's refusal is played."""
    opened = os.open

    def refuse(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    outcome = dormancy("prune", checkpoint, "-o", tmp_path / "pruned.pt")
    assert outcome.code == 3
    assert "permission denied; choose a folder that can be written to" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_library_is_written_back(dormancy: Dormancy, tmp_path: Path) -> None:
    import numpy as np

    from dormancy.io import ReplaySample, save_sample

    foreign = Path(__file__).parents[3] / "fixtures" / "foreign" / "sb3_dqn.zip"
    with np.load(foreign.with_name("expected.npz")) as expected:
        save_sample(tmp_path / "s.h5", ReplaySample(expected["sb3_dqn.zip|q_net|observations"]))
    common = ("prune", foreign, "--sample", tmp_path / "s.h5", "--tau", 0.5, "--keep-one", "--format", "json")
    outcome = dormancy(*common, "-o", tmp_path / "a.zip")
    assert outcome.code == 0
    assert as_json(outcome.out)["written"]["format"] == "stable-baselines3"
    assert "no place for a record of the pruning" in outcome.err
    assert dormancy("scan", tmp_path / "a.zip", "--sample", tmp_path / "s.h5").code == 0
    narrower = dormancy(*common, "-o", tmp_path / "b.pt", "--mode", "remove")
    assert as_json(narrower.out)["written"]["format"] == "dormancy.checkpoint"
    assert "a narrower one does not fit in: written in dormancy's own format" in narrower.err
    native = dormancy(*common, "-o", tmp_path / "c.pt", "--native", "--key", "q_net")
    assert as_json(native.out)["written"]["format"] == "dormancy.checkpoint"
    critic = dormancy(*common, "--episodes", 1, "--key", "nonsense")
    assert critic.code == 3
