"""Our statistics over seeds against rliable's own numbers; tests/reference/make_rliable.py says how these were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dormancy.stats import iqm, performance_profile, probability_of_improvement, stratified_bootstrap

REFERENCE = json.loads((Path(__file__).parent / "reference" / "rliable.json").read_text())
CASES = list(REFERENCE["cases"].values())


def strata(rows: list[list[float]]) -> list[np.ndarray]:
    """Return one array of runs a task from rliable's (runs, tasks)."""
    return list(np.array(rows).T)


def allowed(values: list[float]) -> float:
    """Return by how much two bootstraps of 2000 replicates may differ at an end: a fifth of the interval's width."""
    _, low, high = values
    return 0.2 * (high - low)


@pytest.mark.parametrize("case", CASES, ids=list(REFERENCE["cases"]))
def test_interquartile_means_and_intervals(case: dict[str, Any]) -> None:
    found = stratified_bootstrap(strata(case["ours"]), iqm)
    assert found.estimate == pytest.approx(case["iqm"][0], rel=1e-12)
    np.testing.assert_allclose(found[1:], case["iqm"][1:], atol=allowed(case["iqm"]))


@pytest.mark.parametrize("case", CASES, ids=list(REFERENCE["cases"]))
def test_performance_profiles(case: dict[str, Any]) -> None:
    found = performance_profile(strata(case["ours"]), REFERENCE["thresholds"])
    np.testing.assert_allclose(found.estimate, case["profile"], atol=1e-12)
    low, high = case["profile_band"]
    runs = np.size(case["ours"])
    np.testing.assert_allclose(found.low, low, atol=1.01 / runs)
    np.testing.assert_allclose(found.high, high, atol=1.01 / runs)


@pytest.mark.parametrize("case", CASES, ids=list(REFERENCE["cases"]))
def test_probabilities_of_improvement(case: dict[str, Any]) -> None:
    found = probability_of_improvement(strata(case["ours"]), strata(case["theirs"]))
    assert found.estimate == pytest.approx(case["improvement"][0], rel=1e-12)
    np.testing.assert_allclose(found[1:], case["improvement"][1:], atol=allowed(case["improvement"]))


def test_the_intervals_are_wide_enough_to_tell() -> None:
    """A tolerance of a fifth of the width says something only where there is a width."""
    assert all(case[name][2] - case[name][1] > 0.1 for case in CASES for name in ("iqm", "improvement"))
