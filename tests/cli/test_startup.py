"""What starting the program costs: torch and its kin are loaded by work, not by questions about usage."""

import os
import resource
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


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    """Processor time, the best of five: what the program takes, not what the machine is busy with."""
    times = []
    for _ in range(5):
        before = processor_seconds()
        fresh("import sys; from dormancy_cli.main import run; run(['--help'])")
        times.append(processor_seconds() - before)
    assert min(times) < 0.3


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert fresh(f"import sys, dormancy; dormancy.__all__; {LOOK}").stdout.strip() == "loaded:"


def test_using_a_name_loads_what_it_needs() -> None:
    assert "torch" in fresh(f"import sys, dormancy; dormancy.scan; {LOOK}").stdout
