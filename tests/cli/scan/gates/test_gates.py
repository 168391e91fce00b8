"""Limits as they are written, and verdicts on scans whose numbers are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.errors import UsageError
from dormancy.io import Source
from dormancy.metrics import Measurement
from dormancy.scanning.result import DormancyScan, LayerScore
from dormancy_cli.scan.gates.baseline import Counterpart
from dormancy_cli.scan.gates.check import check
from dormancy_cli.scan.gates.gate import DORMANT, Gate, Option, parse
from dormancy_cli.scan.gates.verdict import Verdict, complaints

OPTIONS: tuple[Option, ...] = ("--fail-above", "--fail-below", "--fail-increase", "--fail-decrease")


def share(limit: float, layer: str | None = None, option: Option = "--fail-above") -> Gate:
    return Gate(option, DORMANT, layer, limit)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("0", share(0.0)),
        ("0.3", share(0.3)),
        ("30%", share(0.3)),
        ("1", share(1.0)),
        ("fc1=0.5", share(0.5, "fc1")),
        ("body.0=act=5%", share(0.05, "body.0=act")),
        ("dormant=0.3", share(0.3)),
        ("dormant@srank=0.3", share(0.3, "srank")),
        ("grama=0.2", Gate("--fail-above", "grama", None, 0.2)),
        ("srank@body.0=100", Gate("--fail-above", "srank", "body.0", 100.0)),
        ("weight_norm=-1e3", Gate("--fail-above", "weight_norm", None, -1000.0)),
    ],
)
def test_a_limit_is_read(text: str, gate: Gate) -> None:
    assert parse("--fail-above", text) == gate
    assert parse("--fail-above", str(gate).partition(" ")[2]) == gate


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "text",
    ["", "many", "1.2", "-0.1", "nan", "inf", "120%", "fc1=", "=0.5", "fc1", "%", "srank=", "srank=nan", "srank=5%",
     "srank@=5", "srnk@fc1=5", "fc1=7"],
)  # fmt: skip
def test_what_is_no_limit_is_refused(option: Option, text: str) -> None:
    with pytest.raises(UsageError, match=option):
        parse(option, text)


def test_a_change_has_no_sign() -> None:
    assert parse("--fail-below", "srank=-5").limit == -5
    with pytest.raises(UsageError, match="--fail-decrease"):
        parse("--fail-decrease", "srank=-5")


def test_a_mistyped_metric_is_answered_with_the_right_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'srank'"):
        parse("--fail-below", "srnk@fc1=100")


def scan_of(*dormant: int, size: int = 10, srank: float = 5.0, sha: str = "a", step: int = 100) -> DormancyScan:
    """One layer for each number, with so many silent neurons; srank of the last layer, drift of the network."""
    layers = tuple(
        LayerScore(f"fc{n + 1}", "relu", np.where(np.arange(size) < count, 0.0, 1.0), None, None, n + 1 == len(dormant))
        for n, count in enumerate(dormant)
    )
    measured = {"srank": Measurement(layers={layers[-1].name: srank}), "drift": Measurement(network=0.5)}
    source = Source(f"run/step_{step}.pt", "native", sha)
    return DormancyScan(layers, (0.1,), measured, 64, source, Source("s.h5", "hdf5", "sample"), agent_step=step)


@given(st.floats(0, 1), st.integers(0, 10))
def test_a_gate_passes_exactly_up_to_its_limit(limit: float, dormant: int) -> None:
    scan = scan_of(dormant)
    assert check(share(limit), scan, 0.1).passed == (dormant / 10 <= limit)
    assert check(share(limit, option="--fail-below"), scan, 0.1).passed == (dormant / 10 >= limit)


@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10))
def test_a_change_passes_exactly_up_to_its_limit(before: int, now: int, limit: int) -> None:
    other = Counterpart(scan_of(before))
    for option, change in (("--fail-increase", now - before), ("--fail-decrease", before - now)):
        verdict = check(parse(option, f"{limit / 10}"), scan_of(now), 0.1, counterpart=other)  # type: ignore[arg-type]
        assert verdict.passed == (change <= limit), option


def test_a_metric_is_judged_where_it_is_measured() -> None:
    scan = scan_of(1, 2, srank=40.0)
    below = check(parse("--fail-below", "srank=50"), scan, 0.1)
    assert (below.outcome, below.layer, below.value, below.excess) == ("failed", "fc2", 40.0, 10.0)
    assert check(parse("--fail-below", "srank@fc2=40"), scan, 0.1).passed
    assert check(parse("--fail-above", "drift=0.4"), scan, 0.1).outcome == "failed"
    with pytest.raises(UsageError, match="says nothing of layer 'fc1'; it speaks of fc2"):
        check(parse("--fail-below", "srank@fc1=50"), scan, 0.1)
    with pytest.raises(UsageError, match="pca_rank was not measured"):
        check(parse("--fail-below", "pca_rank=50"), scan, 0.1)
    with pytest.raises(UsageError, match="did you mean 'fc2'"):
        check(share(0.5, "fc22"), scan, 0.1)


def test_several_layers_are_judged_by_the_worst() -> None:
    scan = scan_of(1, 2)
    ranks = Measurement(layers={"fc1": 7.0, "fc2": 3.0})
    found = check(parse("--fail-below", "srank=9"), replace(scan, measurements={"srank": ranks}), 0.1)
    assert (found.layer, found.excess) == ("fc2", 6.0)


def test_what_is_not_finite_never_passes() -> None:
    scan = scan_of(0)
    diverged = replace(scan, layers=(replace(scan.layers[0], scores=np.array([np.nan, np.nan, np.nan, 1.0])),))
    verdict = check(share(1.0, "fc1"), diverged, 0.1)
    assert verdict.outcome == "failed"
    assert "3 neurons whose activations are not finite" in str(verdict)
    for option in ("--fail-above", "--fail-below"):
        undefined = check(parse(option, "srank=5"), scan_of(0, srank=math.nan), 0.1)  # type: ignore[arg-type]
        assert undefined.outcome == "failed"
        assert "is undefined" in str(undefined)
        assert undefined.to_dict()["value"] is None


def test_without_a_counterpart_nothing_is_judged() -> None:
    gate = parse("--fail-increase", "0.1")
    assert check(gate, scan_of(1), 0.1).outcome == "not judged"
    told = check(gate, scan_of(1), 0.1, counterpart=Counterpart(None, "no such run"))
    assert (told.outcome, told.passed, told.finding) == ("not judged", False, "no such run")
    unmeasured = replace(scan_of(1), measurements={})
    assert (
        "the baseline has no srank"
        in check(parse("--fail-decrease", "srank=1"), scan_of(1), 0.1, counterpart=Counterpart(unmeasured)).finding
    )


def test_a_failure_says_which_gate_by_how_much_and_where() -> None:
    message = str(Verdict(share(0.3, "fc1"), "run", "run/step_5.pt", 0.1, 0.432, "fc1"))
    for part in ("--fail-above fc1=0.3", "run/step_5.pt", "layer 'fc1'", "43.2 %", "tau 0.1", "13.2 points above"):
        assert part in message
    grown = check(parse("--fail-increase", "10%"), scan_of(5), 0.1, counterpart=Counterpart(scan_of(2)))
    assert "50.0 % dormant at tau 0.1, 20.0 % in the baseline, 20.0 points more change than the limit" in str(grown)


def test_each_failed_gate_is_one_line_about_its_worst_checkpoint() -> None:
    network, layer = share(0.5), share(0.9, "fc1")
    verdicts = [
        Verdict(network, "run", "a.pt", 0.1, 0.6),
        Verdict(network, "run", "b.pt", 0.1, 0.8),
        Verdict(network, "run", "c.pt", 0.1, 0.2),
        Verdict(layer, "run", "a.pt", 0.1, 0.2, "fc1"),
        Verdict(layer, "run", "c.pt", 0.1, 0.1, "fc1", nonfinite=1),
    ]
    first, second = complaints(verdicts)
    assert "b.pt" in first
    assert "30.0 points" in first
    assert first.endswith("; 1 other checkpoint too")
    assert "c.pt" in second
    assert "1 neuron whose" in second
