"""docs/audits.md as it stands: the script, the Python and the CI job are cut out and run, before and after a change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.runs import write_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "audits.md").read_text()
GOOD, WORSE = (1, 1), (4, 2)
"""Silent neurons of fc1 and fc2, of 8 and 4: 17 % and 50 % of the network."""


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def step(name: str) -> str:
    """The script of a step of the CI job: what lies below its ``run: |``, without the indent."""
    (found,) = re.findall(rf"- name: {name}\n +run: \|\n((?: {{10}}.*\n)+)", block("yaml"))
    return "".join(line[10:] for line in found.splitlines(keepends=True))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two runs, and with `dormancy` on the path: the one that is tested."""
    for seed in (0, 1):
        for index in (1, 2):
            write_checkpoint(tmp_path / "runs" / f"seed{seed}", 1000 * index, GOOD)
    program = tmp_path / "bin" / "dormancy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dormancy_cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "audit.sh").write_text(block("sh"))
    (tmp_path / "audit.py").write_text(block("python"))
    (tmp_path / "step.sh").write_text(step("audit"))
    return tmp_path


def worsen(place: Path) -> None:
    for path in place.glob("runs/seed1/*/step_00002000.*"):
        path.unlink()
    write_checkpoint(place / "runs" / "seed1", 2000, WORSE)


def run(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    sources = [str(ROOT / part) for part in (".", "cli", "agents")]
    environment = os.environ | {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sources),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def junit(place: Path) -> ElementTree.Element:
    return ElementTree.fromstring((place / "audit" / "junit.xml").read_text())


def test_the_shell_script(place: Path) -> None:
    first = run(place, "sh", "audit.sh")
    assert (first.returncode, first.stderr) == (0, "")
    kept = (place / "audit" / "last.json").read_text()
    assert (junit(place).attrib["tests"], junit(place).attrib["failures"]) == ("12", "0")

    worsen(place)
    second = run(place, "sh", "audit.sh", "runs")
    assert second.returncode == 1
    assert "gate failed: --fail-increase 0.05: runs/seed1/checkpoints/step_00002000.pt" in second.stderr
    assert (place / "audit" / "last.json").read_text() == kept
    (failure,) = junit(place).iter("failure")
    assert "50.0 % dormant" in str(failure.text)
    assert "16.7 % in the baseline" in str(failure.text)


def test_the_python(place: Path) -> None:
    first = run(place, sys.executable, "audit.py")
    assert (first.returncode, first.stderr) == (0, "")
    assert "4 checkpoints, nothing to complain of" in first.stdout
    worsen(place)
    second = run(place, sys.executable, "audit.py", "runs")
    assert (second.returncode, second.stderr) == (1, "")
    assert second.stdout == "seed1, step 2000: 50.0% dormant, 16.7% in the last audit\n"


def test_the_ci_job(place: Path) -> None:
    assert run(place, "bash", "-e", "step.sh").returncode == 0
    (place / "runs" / "seed0" / "checkpoints" / "step_00003000.pt").write_bytes(b"half a file")
    half = run(place, "bash", "-e", "step.sh")
    assert half.returncode == 0
    assert half.stdout == "::warning::some checkpoints could not be scanned or judged\n"
    worsen(place)
    assert run(place, "bash", "-e", "step.sh").returncode == 1
