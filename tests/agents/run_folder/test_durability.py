"""A few of the kills that `benchmarks/durability.py` makes by the dozen (`make test-durability`)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_killed_runs_come_to_the_same_end(algorithm: str) -> None:
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "cli", "agents"))
    script = [sys.executable, str(ROOT / "benchmarks" / "durability.py"), "--algorithm", algorithm]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [*script, "--kills", "4", "--signals", "1"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every run came to the same end, bit for bit" in done.stdout
