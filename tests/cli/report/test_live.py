"""`dormancy report --live`: beside a real trainer, and on folders as a trainer leaves them in between."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dormancy.scanning.scanner import scan_checkpoint
from dormancy_cli.report import live
from dormancy_cli.report.live import unfinished
from tests.cli.runs import Dormancy

RELOADS = 'http-equiv="refresh"'


def describe(run: Path, status: str) -> None:
    about = {"schema": "dormancy.run/1", "algorithm": "dqn", "config": {"agent_steps": 9000}, "status": status}
    (run / "run.json").write_text(json.dumps(about))


@pytest.fixture
def run(series_folder: Path, tmp_path: Path) -> Path:
    """A run that still trains: two checkpoints are there, and half a line."""
    folder = shutil.copytree(series_folder, tmp_path / "live")
    sorted((folder / "checkpoints").iterdir())[-1].rename(tmp_path / "later.pt")
    (folder / "metrics.jsonl").write_text('{"kind": "learning", "agent_step": 2000}\n{"kind": "epis')
    describe(folder, "running")
    return folder


def test_it_follows_a_run_to_its_end(
    dormancy: Dormancy, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    seen: list[str] = []

    def sleep(seconds: float) -> None:
        """Between two pages: a checkpoint half written by somebody who does not rename, then the rest, then the end."""
        seen.append(page.read_text())
        later = run / "checkpoints" / "step_00003000.pt"
        if len(seen) == 1:
            later.write_bytes((tmp_path / "later.pt").read_bytes()[:500])
        elif len(seen) == 2:
            shutil.copy(tmp_path / "later.pt", later)
        else:
            describe(run, "stopped by signal 15")

    monkeypatch.setattr(live.time, "sleep", sleep)
    result = dormancy("report", run, "--live", 7, "-o", page)
    assert result.code == 0
    assert len(seen) == 3
    assert all('<meta http-equiv="refresh" content="7">' in text for text in seen)
    assert all(
        "live was still training when this was written: agent step 2\u202f000 of 9\u202f000." in text for text in seen
    )
    assert ["Not in this report: " in text for text in seen] == [False, True, False]
    assert [int(re.findall(r"(\d) checkpoints", text)[0]) for text in seen] == [2, 2, 3]
    last = page.read_text()
    assert RELOADS not in last
    assert "live ended early, agent step 2\u202f000: stopped by signal 15." in last
    assert result.err.count("error:") == 1


def test_a_run_without_a_checkpoint_is_a_page_that_says_so(
    dormancy: Dormancy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fresh"
    (folder / "checkpoints").mkdir(parents=True)
    describe(folder, "running")
    texts: list[str] = []

    def sleep(seconds: float) -> None:
        texts.append((tmp_path / "page.html").read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(live.time, "sleep", sleep)
    result = dormancy("report", folder, "--live", 5, "-o", tmp_path / "page.html")
    assert result.code == 130
    assert "There is no checkpoint with neurons to report on" in texts[0]
    assert "no checkpoints (*.pt)" in texts[0]
    assert RELOADS in texts[0]
    assert RELOADS not in (tmp_path / "page.html").read_text()


def test_what_is_scanned_once_is_not_scanned_again(
    dormancy: Dormancy, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[object] = []
    rounds: list[float] = []

    def counted(path: object, *arguments: object, **options: object) -> object:
        scans.append(path)
        return scan_checkpoint(path, *arguments, **options)  # type: ignore[arg-type]  # as it was called

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 3:
            describe(run, "finished")

    monkeypatch.setattr("dormancy.scanning.scanner.scan_checkpoint", counted)
    monkeypatch.setattr(live.time, "sleep", sleep)
    assert dormancy("report", run, "--live", 1, "-o", tmp_path / "page.html", "-q").code == 0
    assert len(rounds) == 3
    assert len(scans) == 2


def test_finished_runs_are_written_once(dormancy: Dormancy, run: Path, tmp_path: Path) -> None:
    describe(run, "finished")
    assert not unfinished([str(run), str(tmp_path)])
    page = tmp_path / "page.html"
    assert dormancy("report", run, "--live", 1000, "-o", page).code == 0
    assert RELOADS not in page.read_text()
    refused = dormancy("report", run, "--live", 1000, "-o", page)
    assert refused.code == 3
    assert "--force" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [(["--format", "md"], 2, "--live writes a page"), (["nowhere"], 3, "no such file or folder")],
)
def test_what_cannot_be_followed(
    dormancy: Dormancy, run: Path, tmp_path: Path, arguments: list[str], code: int, reason: str
) -> None:
    result = dormancy("report", run, *arguments, "--live", 1, *([] if code == 2 else ["-o", tmp_path / "p.html"]))
    assert (result.code, result.err.count("\n")) == (code, 1)
    assert reason in result.err


def test_beside_a_real_trainer(dormancy: Dormancy, tmp_path: Path) -> None:
    """Pages are read all the while: each is whole, and the last one tells of the run's end."""
    run, page = tmp_path / "run", tmp_path / "page.html"
    steps = ["--steps", "1200", "--warmup", "100", "--checkpoint-period", "100", "--log-period", "30"]
    small = ["--sample-size", "64", "--threads", "1", "--set", "batch_size=8"]
    command = [sys.executable, "-m", "dormancy_cli", "train", "dqn", "--env", "CartPole-v1", *steps, *small, "-q"]
    trainer = subprocess.Popen([*command, "--out", str(run)])
    broken: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.05):
            if page.exists() and not (text := page.read_text()).rstrip().endswith("</html>"):
                broken.append(text[-100:])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while not (run / "run.json").exists():
            assert trainer.poll() is None
        result = dormancy("report", run, "--live", 1, "-o", page, "-q")
    finally:
        done.set()
        reader.join()
    assert trainer.wait(60) == 0
    assert (result.code, broken) == (0, [])
    text = page.read_text()
    assert RELOADS not in text
    assert "was still training" not in text
    assert "12 checkpoints" in text
