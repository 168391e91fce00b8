"""What starting the program costs: torch and its kin are loaded by work, not by questions about usage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "h5py", "pandas", "matplotlib", "jinja2", "gymnasium", "ale_py", "rich")
LOOK = f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, with the three packages importable."""
    paths = os.pathsep.join(str(ROOT / folder) for folder in (".", "cli", "agents"))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], [], ["scan", "--help"], ["train", "--help"], ["report", "--help"], ["scna"], ["scan"]],
    ids=" ".join,
)
def test_questions_about_usage_load_nothing_heavy(arguments: list[str]) -> None:
    result = fresh(f"import sys; from dormancy_cli.main import run; run({arguments!r}); {LOOK}")
    assert result.stdout.splitlines()[-1] == "loaded:"


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert fresh(f"import sys, dormancy; dormancy.__all__; {LOOK}").stdout.strip() == "loaded:"


def test_using_a_name_loads_what_it_needs() -> None:
    assert "torch" in fresh(f"import sys, dormancy; dormancy.scan; {LOOK}").stdout
