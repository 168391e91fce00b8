"""`--confidence`: gates on the lower end of the interval, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dormancy.errors import UsageError
from dormancy.metrics import METRICS, plasticity
from dormancy.networks import MLPNetwork
from dormancy.scanning.scanner import scan
from dormancy.stats import Interval
from dormancy_cli.scan.gates.check import check
from dormancy_cli.scan.gates.gate import parse
from dormancy_cli.scan.gates.verdict import Verdict
from tests.cli.runs import Dormancy


def verdict_of(share: float, interval: Interval | None = None) -> Verdict:
    confidence = None if interval is None else 0.95
    return Verdict(parse("--fail-above", "0.3"), "run", "a.pt", 0.1, share, interval=interval, confidence=confidence)


def test_the_kinder_end_is_judged() -> None:
    verdict = verdict_of(0.35, Interval(0.35, 0.28, 0.41))
    assert verdict.passed
    assert not verdict_of(0.35).passed
    assert verdict.to_dict()["interval"] == [0.28, 0.41]


def test_a_failure_says_how_sure_it_is() -> None:
    verdict = verdict_of(0.45, Interval(0.45, 0.4, 0.5))
    assert not verdict.passed
    assert "45.0 % dormant at tau 0.1 (95.0 % interval 40.0 % to 50.0 %)" in str(verdict)
    assert "10.0 points above the limit" in str(verdict)


def test_a_gate_takes_the_interval_of_its_layer() -> None:
    rows = np.random.default_rng(0).standard_normal((200, 4)).astype("float32")
    found = scan(MLPNetwork(4, 2, hidden=(16, 8)), rows, 0.3, metrics=["uncertainty"])
    for layer in (None, "fc1", "fc2"):
        verdict = check(parse("--fail-above", f"{layer}=0.5" if layer else "0.5"), found, 0.3, confidence=0.9)
        assert verdict.interval == found.interval(0.3, layer, 0.9)
        assert verdict.interval is not None
        assert verdict.interval.low <= verdict.value == verdict.interval.estimate <= verdict.interval.high


def test_without_resampling_there_is_no_interval() -> None:
    rows = np.ones((5, 4), "float32")
    found = scan(MLPNetwork(4, 2), rows, 0.1, metrics=[])
    with pytest.raises(UsageError, match="scan again with the metric 'uncertainty'"):
        found.interval()
    resampled = scan(MLPNetwork(4, 2), rows, 0.1, metrics=["uncertainty"])
    with pytest.raises(UsageError, match=r"no interval at tau 0\.2: this scan resampled at 0\.1"):
        resampled.interval(0.2)
    with pytest.raises(UsageError, match="did you mean 'fc1'"):
        resampled.interval(layer="fc11")


def test_a_gate_with_confidence_fails_only_beyond_doubt(dormancy: Dormancy, checkpoint: Path) -> None:
    result = dormancy("scan", checkpoint, "--tau", 0.1, "--confidence", 0.95, "--fail-above", 0.3, "--format", "json")
    (verdict,) = json.loads(result.out)["gates"]
    low, high = verdict["interval"]
    assert low <= verdict["fraction"] <= high
    assert verdict["passed"] == (low <= 0.3)
    assert result.code == (0 if verdict["passed"] else 1)


@pytest.mark.parametrize("confidence", [0, 1, 95, "much"])
def test_a_confidence_that_is_none_is_a_usage_error(dormancy: Dormancy, checkpoint: Path, confidence: object) -> None:
    result = dormancy("scan", checkpoint, "--confidence", confidence)
    assert (result.code, result.out) == (2, "")


def test_all_metrics_are_measured_and_those_that_compare_where_there_is_a_reference(
    dormancy: Dormancy, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plasticity, "STEPS", 2)
    reference = checkpoint.with_name("step_00001000.pt")
    names = {}
    for arguments in ((), ("--reference", reference)):
        result = dormancy("scan", checkpoint, "--metrics", "all", *arguments, "--format", "json")
        assert result.code == 0
        names[bool(arguments)] = set(json.loads(result.out)["runs"][0]["scans"][0]["measurements"])
    assert names[True] == set(METRICS) - {"score", "dr3"}  # this sample does not tell what followed
    assert names[True] - names[False] == {"drift", "churn"}


def test_a_metric_that_compares_asks_for_a_reference(dormancy: Dormancy, checkpoint: Path) -> None:
    result = dormancy("scan", checkpoint, "--metrics", "drift")
    assert result.code == 2
    assert "--reference CKPT" in result.err


def test_where_the_sample_is_too_small_a_gate_is_not_judged(dormancy: Dormancy, checkpoint: Path) -> None:
    result = dormancy("scan", checkpoint, "--tau", 0, "--confidence", 0.95, "--fail-above", 1, "--format", "json")
    assert result.code == 3
    (verdict,) = json.loads(result.out)["gates"]
    assert (verdict["outcome"], verdict["passed"]) == ("not judged", False)
    assert "at tau 0 no sample shows that a neuron is silent everywhere" in verdict["message"]
    assert verdict["interval"][0] == 0
    few = dormancy("scan", checkpoint, "--tau", 0.05, "--confidence", 0.95, "--fail-above", 1)
    assert few.code == 3
    assert "64 transitions are too few for tau 0.05" in few.err
    assert "take at least 100; or gate without --confidence" in few.err


def test_a_lower_end_is_given_where_the_sample_can_tell() -> None:
    rows = np.random.default_rng(0).standard_normal((100, 4)).astype("float32")
    found = scan(MLPNetwork(4, 2, hidden=(32,)), rows, (0.3, 0.05, 0.04), metrics=["uncertainty"])
    assert found.unresolved(0.3) is found.unresolved(0.05) is None
    assert "take at least 125" in str(found.unresolved(0.04))
    assert found.interval(0.04).low == 0
    assert any("take at least 125" in text for text in found.warnings)
