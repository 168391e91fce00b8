"""The example runs as its text says."""

import runpy
from pathlib import Path

import pytest

from dormancy_cli.main import run

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "cleanrl_style.py"


def test_the_loop_runs_and_its_file_becomes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "cartpole.jsonl"
    series = runpy.run_path(str(SCRIPT))["main"](["--steps", "2600", "--jsonl", str(lines)])
    assert series.steps == (1496, 2496)
    assert series.layer_names == ("network.0", "network.2")
    assert "neurons are dormant at tau 0.1" in capsys.readouterr().out
    assert len(lines.read_text().splitlines()) == 2
    page = tmp_path / "cartpole.html"
    assert run(["report", str(lines), "-o", str(page), "--quiet"]) == 0
    assert page.stat().st_size > 10_000
