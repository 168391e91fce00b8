"""Gates: what passes, what does not, and how it is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.errors import UsageError
from dormancy_cli.gates import Gate, Verdict, complaints, parse


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("0", Gate(None, 0.0)),
        ("0.3", Gate(None, 0.3)),
        ("30%", Gate(None, 0.3)),
        ("1", Gate(None, 1.0)),
        ("fc1=0.5", Gate("fc1", 0.5)),
        ("body.0=act=5%", Gate("body.0=act", 0.05)),
    ],
)
def test_a_limit_is_read(text: str, gate: Gate) -> None:
    assert parse(text) == gate


@pytest.mark.parametrize("text", ["", "many", "1.2", "-0.1", "nan", "inf", "120%", "fc1=", "=0.5", "fc1", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--fail-above"):
        parse(text)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_gate_passes_exactly_up_to_its_limit(limit: float, fraction: float) -> None:
    assert Verdict(Gate(None, limit), "a.pt", 0.1, fraction, 0).passed == (fraction <= limit)


def test_a_diverged_network_never_passes() -> None:
    verdict = Verdict(Gate("fc1", 1.0), "a.pt", 0.1, 0.0, 3)
    assert not verdict.passed
    assert "3 neurons whose activations are not finite" in str(verdict)


def test_a_failure_says_which_gate_by_how_much_and_where() -> None:
    message = str(Verdict(Gate("fc1", 0.3), "run/step_5.pt", 0.1, 0.432, 0))
    for part in ("fc1=0.3", "run/step_5.pt", "layer 'fc1'", "43.2 %", "tau 0.1", "13.2 points"):
        assert part in message


def test_each_failed_gate_is_one_line_about_its_worst_checkpoint() -> None:
    network, layer = Gate(None, 0.5), Gate("fc1", 0.9)
    verdicts = [
        Verdict(network, "a.pt", 0.1, 0.6, 0),
        Verdict(network, "b.pt", 0.1, 0.8, 0),
        Verdict(network, "c.pt", 0.1, 0.2, 0),
        Verdict(layer, "a.pt", 0.1, 0.2, 0),
        Verdict(layer, "c.pt", 0.1, 0.1, 1),
    ]
    first, second = complaints(verdicts)
    assert "b.pt" in first
    assert "30.0 points" in first
    assert first.endswith("; 1 other checkpoint too")
    assert "c.pt" in second
    assert "1 neuron whose" in second
