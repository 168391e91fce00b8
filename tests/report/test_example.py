"""The example under docs/: small, about the fixtures, and what the fixtures still give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dormancy.scanning.scanner import scan_checkpoint

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example"


def test_the_example_is_small() -> None:
    assert (EXAMPLE / "report.html").stat().st_size < 500_000
    pictures = list(EXAMPLE.glob("*.png"))
    assert len(pictures) >= 2
    assert all(picture.stat().st_size < 150_000 for picture in pictures)
    readme = (ROOT / "README.md").read_text()
    assert all(f"docs/example/{picture.name}" in readme for picture in pictures)


def test_the_example_says_what_the_fixtures_give() -> None:
    page = (EXAMPLE / "report.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [run["label"] for run in data["runs"]] == ["breakout-dqn", "breakout-redo"]
    assert {"returns", "dormancy-network-tau0", "filters", "maps-0", "maps-1", "maps-2"} <= set(data["figures"])
    lines = data["figures"]["dormancy-network-tau0"]["panels"][0]["lines"]
    for line in lines:
        last = scan_checkpoint(ROOT / "fixtures" / line["label"] / "checkpoints" / "step_000042000.pt")
        assert line["y"][-1] == pytest.approx(last.fraction(0.1), abs=1e-4)


def test_the_example_does_not_tell_where_it_was_made() -> None:
    page = (EXAMPLE / "report.html").read_text()
    assert ">fixtures/breakout-dqn/samples/step_000042000.h5<" in page
    assert ">/" not in page  # no cell holds an absolute path
