"""Going on with a run: the same numbers as without the break, and one line where that cannot be."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from dormancy.io import load_checkpoint
from dormancy_agents.run_folder.lock import FolderLock
from dormancy_cli.main import run
from tests.agents.conftest import CARTPOLE, SMALL, Run

OPTIONS = [*SMALL, *CARTPOLE, "--set", "hidden=16,16", "--resume-period", "150", "--quiet"]


def train(folder: Path, *arguments: str) -> int:
    return run(["train", "dqn", *OPTIONS, "--out", str(folder), *arguments])


def equal(first: Run, second: Run) -> bool:
    return all(torch.equal(value, second.weights()[name]) for name, value in first.weights().items())


def rows(found: Run) -> list[dict[str, object]]:
    times = ("wall_seconds", "agent_steps_per_second", "gradient_steps_per_second")
    lines = map(json.loads, (found.folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in times} for row in lines]


@pytest.fixture
def half(tmp_path: Path) -> Run:
    """A run of 300 agent steps that could go on."""
    assert train(tmp_path / "half", "--steps", "300") == 0
    return Run(tmp_path / "half")


def test_a_finished_run_can_be_made_longer(cartpole: Run, half: Run) -> None:
    assert train(half.folder, "--resume") == 0
    assert equal(cartpole, half)
    assert [row for row in rows(half) if row in rows(cartpole)] == rows(cartpole)
    assert half.description["config"]["agent_steps"] == 600
    assert half.description["wall_seconds"] >= rows_seconds(half)


def rows_seconds(found: Run) -> float:
    seconds = [json.loads(line)["wall_seconds"] for line in (found.folder / "metrics.jsonl").read_text().splitlines()]
    assert seconds == sorted(seconds)
    return float(seconds[-1])


def test_nothing_has_to_be_said_twice(cartpole: Run, half: Run) -> None:
    """The configuration comes from the folder; only what changes is given."""
    assert run(["train", "dqn", "--out", str(half.folder), "--resume", "--steps", "600", "--quiet"]) == 0
    assert equal(cartpole, half)


def test_resuming_a_finished_run_does_nothing(half: Run) -> None:
    before = {path: path.read_bytes() for path in half.folder.rglob("step_*")}
    assert run(["train", "dqn", "--out", str(half.folder), "--resume", "--quiet"]) == 0
    assert before == {path: path.read_bytes() for path in half.folder.rglob("step_*")}
    assert half.description["status"] == "finished"


def contents(folder: Path) -> dict[Path, bytes]:
    """Return what is in a run folder, but for the lock."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_finished_run_without_its_state_is_left_alone(half: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Deleting resume/ saves the space of a run that is done with; a job script gives --resume all the same."""
    shutil.rmtree(half.folder / "resume")
    before = contents(half.folder)
    assert run(["train", "dqn", "--out", str(half.folder), "--resume"]) == 0
    assert "is finished: 300 agent steps" in capsys.readouterr().err
    assert train(half.folder, "--resume", "--steps", "600") == 2
    assert "is finished and keeps no state to go on from" in complaint(capsys)
    assert contents(half.folder) == before


def test_a_stopped_run_without_its_state_is_left_alone(half: Run, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(half.folder / "resume")
    about = half.description | {"status": "stopped by signal 15"}
    (half.folder / "run.json").write_text(json.dumps(about))
    before = contents(half.folder)
    assert train(half.folder, "--resume") == 2
    assert "is stopped by signal 15 and keeps no state" in complaint(capsys)
    assert contents(half.folder) == before


def test_a_run_that_was_killed_without_a_state_begins_anew(
    cartpole: Run, half: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(half.folder / "resume")
    (half.folder / "run.json").write_text(json.dumps(half.description | {"status": "running"}))
    assert train(half.folder, "--resume") == 0
    assert "has no state to resume from (resume/): it begins anew" in capsys.readouterr().err
    assert equal(cartpole, half)


@pytest.mark.parametrize(("wanted", "taken"), [(299, 300), (400, 450)])
def test_a_run_cannot_be_made_shorter(wanted: int, taken: int, half: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither than its state nor than its last checkpoint, which may be newer in a run that was killed."""
    if taken > 300:
        shutil.copy(half.checkpoints[-1], half.folder / "checkpoints" / f"step_{taken:09d}.pt")
    before = contents(half.folder)
    assert train(half.folder, "--resume", "--steps", str(wanted)) == 2
    assert f"has taken {taken} agent steps already, more than {wanted}: give --steps {taken}" in complaint(capsys)
    assert contents(half.folder) == before


def test_resuming_nothing_begins(cartpole: Run, tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--resume") == 0
    assert equal(cartpole, Run(tmp_path / "run"))


def test_rows_after_the_saved_state_are_written_once(cartpole: Run, half: Run) -> None:
    with (half.folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"kind": "episode", "agent_step": 310, "gradient_step": 50, "return": 1.0}\n{"kind": "torn')
    assert train(half.folder, "--resume") == 0
    assert [row for row in rows(half) if row in rows(cartpole)] == rows(cartpole)
    assert len(rows(half)) == len(rows(cartpole)) + 1  # the checkpoint at step 300


def test_what_a_killed_writer_left_is_removed(half: Run) -> None:
    left = [half.folder / ".run.json.0123456789abcdef.tmp", half.folder / "samples" / ".x.h5.0123456789abcdef.tmp"]
    for path in left:
        path.write_bytes(b"half")
    (half.folder / "resume" / "state_000000299.pt").write_bytes(b"never named")
    assert train(half.folder, "--resume") == 0
    assert not any(path.exists() for path in left)
    assert [path.name for path in (half.folder / "resume").glob("state*")] == ["state_000000600.pt"]


def test_no_period_no_state(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--resume-period", "0") == 0
    assert not (tmp_path / "run" / "resume").exists()


def test_pruned_neurons_stay_off(tmp_path: Path) -> None:
    pruning = ["--prune-dormant", "--prune-period", "10", "--prune-tau", "0.4", "--set", "prune_sample_size=64"]
    assert train(tmp_path / "run", "--steps", "300", *pruning) == 0
    found = Run(tmp_path / "run")
    before = load_checkpoint(found.checkpoints[-1]).metadata["pruned"]
    assert sum(map(len, before.values())) > 0
    assert train(tmp_path / "run", "--resume", *pruning) == 0
    last = load_checkpoint(found.checkpoints[-1])
    assert last.agent_step == 600
    assert all(set(neurons) <= set(last.metadata["pruned"][layer]) for layer, neurons in before.items())
    assert not last.parameters["fc2.weight"][:, last.metadata["pruned"]["fc1"]].any()
    assert not last.parameters["head.weight"][:, last.metadata["pruned"]["fc2"]].any()
    assert [row["gradient_step"] for row in found.rows("pruning")] == list(range(10, 126, 10))
    assert found.rows("pruning")[-1]["off"] == {name: len(off) for name, off in last.metadata["pruned"].items()}


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "gamma=0.5"], "was trained with gamma = 0.99, not 0.5"),
        (["--seed", "3"], "was trained with seed = 0, not 3"),
        (["--env", "Acrobot-v1"], "was trained with env_id = CartPole-v1, not Acrobot-v1"),
    ],
)
def test_another_configuration_is_refused(
    arguments: list[str], message: str, half: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(half.folder)
    assert train(half.folder, "--resume", *arguments) == 2
    assert message in complaint(capsys)
    assert contents(half.folder) == before


def test_other_versions_are_refused(half: Run, capsys: pytest.CaptureFixture[str]) -> None:
    about = half.description
    about["versions"]["torch"] = "1.0"
    (half.folder / "run.json").write_text(json.dumps(about))
    assert train(half.folder, "--resume") == 2
    assert "was trained with torch = 1.0" in complaint(capsys)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert train(tmp_path, "--resume") == 3
    assert "'thesis.tex', which no run leaves" in complaint(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latest.json", b"{", "cannot be read"),
        ("latest.json", b'{"schema": "other"}', "not a resume state"),
        ("latest.json", b'{"schema": "dormancy.resume/1", "agent_step": 300, "shards": [[3, 1]]}', "no shard has"),
        ("latest.json", b'{"schema": "dormancy.resume/1", "agent_step": 300, "shards": []}', None),
        ("state_000000300.pt", b"PK\x03\x04", None),
        ("replay_*.npz", b"PK\x03\x04", "no shard of this replay"),
        ("replay_*.npz", None, "no such file"),
        ("../metrics.jsonl", b"", "shorter than when the run was saved"),
        ("../run.json", b"[]", "not the description of a run"),
    ],
)
def test_a_damaged_state_is_told_in_one_line(
    name: str, content: bytes | None, message: str | None, half: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (half.folder / "resume").glob(name):
        path.unlink() if content is None else path.write_bytes(content)
    assert train(half.folder, "--resume") == 3
    assert (message or str(half.folder)) in complaint(capsys)


def test_two_trainers_in_one_folder(half: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with FolderLock(half.folder):
        assert train(half.folder, "--resume") == 3
        assert f"process {os.getpid()} is training in this folder" in complaint(capsys)
    assert train(half.folder, "--resume") == 0


class FullDisk:
    """Every flush to the disk fails from the first to the last of these calls."""

    def __init__(self, first: int, last: float) -> None:
        self.first, self.last, self.calls, self.flush = first, last, 0, os.fsync

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        if self.first <= self.calls <= self.last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.flush(descriptor)


@pytest.mark.parametrize("first", [5, 8, 11, 14, 17, 20, 23])
def test_a_disk_that_is_full_for_a_while(
    first: int, cartpole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training goes on, tries again, and says what happened; what was there before stays."""
    monkeypatch.setattr(os, "fsync", FullDisk(first, first + 4))
    assert train(tmp_path / "run") == 0
    message = capsys.readouterr().err
    assert "disk full; free some space or write elsewhere; training goes on and tries again" in message
    found = Run(tmp_path / "run")
    assert equal(cartpole, found)
    assert all(load_checkpoint(path).agent_step for path in found.checkpoints)
    assert not list(found.folder.rglob("*.tmp"))


def test_a_disk_that_stays_full(
    cartpole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", FullDisk(17, float("inf")))
        assert train(tmp_path / "run") == 3
    assert "disk full" in capsys.readouterr().err.splitlines()[-1]
    found = Run(tmp_path / "run")
    assert len(found.checkpoints) >= 1
    assert all(load_checkpoint(path).agent_step for path in found.checkpoints)
    assert train(tmp_path / "run", "--resume") == 0
    assert equal(cartpole, found)


def test_a_run_that_diverges_keeps_its_last_good_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "run", "--learning-rate", "1e30", "--resume-period", "50") == 4
    message = capsys.readouterr().err
    assert "the loss became" in message
    assert "the first weights that are not finite: fc1.weight of online" in message
    assert [path.name for path in (tmp_path / "run" / "resume").glob("state*")] == ["state_000000100.pt"]
