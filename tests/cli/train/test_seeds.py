"""Several seeds by one command: what one run leaves, once a seed; one line when one fails."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dormancy.io import load_checkpoint
from dormancy_cli.main import run
from tests.agents.conftest import CARTPOLE, SMALL

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = [*SMALL, *CARTPOLE, "--set", "hidden=8", "--steps", "200"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(ROOT / part) for part in (".", "cli", "agents")))


def test_each_seed_has_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "dqn", *OPTIONS, "--seeds", "2", "--seed", "3", "--out", str(tmp_path / "runs")]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["seed3", "seed4"]
    for number in (3, 4):
        (last,) = (tmp_path / "runs" / f"seed{number}" / "checkpoints").glob("step_000000200.pt")
        assert load_checkpoint(last).metadata["seed"] == number
    assert capsys.readouterr().err.count("finished") == 2
    assert run(["train", "dqn", *OPTIONS, "--seed", "4", "--out", str(tmp_path / "alone")]) == 0
    alone = load_checkpoint(tmp_path / "alone" / "checkpoints" / "step_000000200.pt").parameters
    together = load_checkpoint(tmp_path / "runs" / "seed4" / "checkpoints" / "step_000000200.pt").parameters
    assert all(value.equal(together[name]) for name, value in alone.items())


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs" / "seed0").mkdir(parents=True)
    (tmp_path / "runs" / "seed0" / "mine").write_text("mine")
    assert run(["train", "dqn", *OPTIONS, "--seeds", "2", "--out", str(tmp_path / "runs"), "--quiet"]) == 4
    error = capsys.readouterr().err
    assert error.startswith("error: 1 of 2 seeds failed: ")
    assert "seed0 exists and is kept as it is" in error
    assert error.count("\n") == 1
    assert (tmp_path / "runs" / "seed1" / "checkpoints" / "step_000000200.pt").exists()


def test_a_count_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "dqn", *OPTIONS, "--seeds", "0"]) == 2
    assert "--seeds counts processes" in capsys.readouterr().err


def test_a_signal_reaches_all_seeds_and_they_resume(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dormancy_cli", "train", "dqn", *OPTIONS, "--seeds", "2", "--out", str(tmp_path)]
    process = subprocess.Popen([*command, "--steps", "100000000"], stderr=subprocess.PIPE)
    begun = [(tmp_path / name / "checkpoints") for name in ("seed0", "seed1")]
    while not all(any(folder.glob("step_*.pt")) for folder in begun) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    message = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 143, message
    for folder in (tmp_path / "seed0", tmp_path / "seed1"):
        assert '"stopped by signal 15"' in (folder / "run.json").read_text()
        assert (folder / "resume" / "latest.json").exists()
    taken = max(_taken(tmp_path / name) for name in ("seed0", "seed1"))
    again = ["train", "dqn", "--seeds", "2", "--out", str(tmp_path), "--resume", "--quiet", "--steps"]
    assert run([*again, str(taken + 50)]) == 0  # the configuration comes from the folders
    assert [_taken(tmp_path / name) for name in ("seed0", "seed1")] == [taken + 50] * 2


def _taken(folder: Path) -> int:
    return int(json.loads((folder / "resume" / "latest.json").read_text())["agent_step"])
