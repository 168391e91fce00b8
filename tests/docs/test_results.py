"""docs/results.md names every field of every result that `dormancy scan` and the library write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from dormancy.networks import MLPNetwork
from dormancy.scanning.sample_comparison import compare_samples
from dormancy.scanning.scanner import scan
from dormancy.scanning.series import DormancySeries
from dormancy_cli.scan.gates.baseline import Counterpart
from dormancy_cli.scan.gates.check import check
from dormancy_cli.scan.gates.gate import parse

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text()


def results() -> dict[str, Mapping[str, object]]:
    rows = np.random.default_rng(0).standard_normal((40, 4)).astype("float32")
    found = scan(MLPNetwork(4, 2), rows, 0.1, metrics=["srank"])
    compared = compare_samples(found, found).to_dict()
    return {
        "scan": found.to_dict(),
        "layer": found.to_dict()["layers"][0],
        "series": DormancySeries.of("run", [found]).to_dict(),
        "comparison": compared,
        "compared layer": compared["layers"][0],
        "verdict": check(parse("--fail-above", "0.5"), found, 0.1).to_dict(),
        "counterpart": Counterpart(found).to_dict(),
    }


@pytest.mark.parametrize(("kind", "document"), list(results().items()))
def test_every_field_is_named(kind: str, document: Mapping[str, object]) -> None:
    missing = [name for name in document if not any(f"`{name}{end}" in PAGE for end in ("`", "[]`", ".", "[]."))]
    assert not missing, kind


def test_every_schema_is_named() -> None:
    for schema in ("results/1", "scan/1", "series/1", "samples/1", "comparisons/1"):
        assert f"`dormancy.{schema}`" in PAGE
