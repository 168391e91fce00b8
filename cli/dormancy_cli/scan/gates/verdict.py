"""What gates say of scans: passed, failed, or not to be judged, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

from dormancy_cli.scan.gates.gate import DORMANT, Gate
from dormancy_cli.shared.text import counted, number, percent

if TYPE_CHECKING:
    from dormancy.stats import Interval
    from dormancy_cli.scan.gates.baseline import Counterpart

__all__ = ["Outcome", "Verdict", "complaints"]

Outcome: TypeAlias = Literal["passed", "failed", "not judged"]
ROUNDING = 1e-12
"""A change of exactly the limit passes, though a difference of two shares is off by a rounding error."""


@final
@dataclass(frozen=True)
class Verdict:
    """One gate on one checkpoint.

    `value` is what was measured, `before` what the baseline has; `layer` is where: that of the gate, or the worst of
    those where a metric is measured, or None for the network. `nonfinite` neurons have no score; with any of them a
    gate on the dormant share never passes, and no gate passes on a value that is undefined. `interval` is that of the
    value, or of the change since the baseline. `problem` says why there is nothing to judge.
    """

    gate: Gate
    run: str
    checkpoint: str
    tau: float
    value: float = math.nan
    layer: str | None = None
    nonfinite: int = 0
    interval: Interval | None = None
    confidence: float | None = None
    before: float | None = None
    counterpart: Counterpart | None = None
    problem: str | None = None

    @property
    def amount(self) -> float:
        """What is held against the limit as it was measured: the value, or its change in the gate's direction."""
        if not self.gate.compares:
            return self.value
        change = self.value - (math.nan if self.before is None else self.before)
        return change if self.gate.option == "--fail-increase" else -change

    @property
    def judged(self) -> float:
        """The amount, or the end of its interval that is the kindest to the network: a gate fails beyond doubt only."""
        if self.interval is None:
            return self.amount
        if self.gate.option == "--fail-decrease":
            return -self.interval.high
        return self.interval.high if self.gate.option == "--fail-below" else self.interval.low

    @property
    def excess(self) -> float:
        """By how much the limit is passed, at most 0 where it is kept; without bound where there is no value."""
        if self.nonfinite or math.isnan(self.judged):
            return math.inf
        if self.gate.compares:
            return self.judged - self.gate.limit - ROUNDING
        return (self.judged - self.gate.limit) * (-1 if self.gate.option == "--fail-below" else 1)

    @property
    def outcome(self) -> Outcome:
        """Passed, failed, or not judged."""
        return "not judged" if self.problem else "passed" if self.excess <= 0 else "failed"

    @property
    def passed(self) -> bool:
        """Whether the limit is known to be kept."""
        return self.outcome == "passed"

    def __str__(self) -> str:
        return f"{self.gate}: {self.checkpoint}: {self.finding}"

    @property
    def finding(self) -> str:
        """What was found, in words, without the gate and the checkpoint."""
        if self.problem:
            return self.problem
        subject = self._subject
        if self.nonfinite:
            return f"{subject} has {counted(self.nonfinite, 'neuron')} whose activations are not finite"
        if math.isnan(self.amount):
            return f"{subject} is undefined"
        return f"{subject} is {self._measured}{self._sure}{self._since}{self._beyond}"

    @property
    def _subject(self) -> str:
        where = "the network" if self.layer is None else f"layer {self.layer!r}"
        return where if self.gate.metric == DORMANT else f"{self.gate.metric} of {where}"

    @property
    def _measured(self) -> str:
        if self.gate.metric != DORMANT:
            return number(self.value)
        return f"{percent(self.value)} dormant at tau {self.tau:g}"

    @property
    def _sure(self) -> str:
        if self.confidence is None or self.interval is None:
            return ""
        low, high = (f"{100 * end:+.1f}" if self.gate.compares else percent(end) for end in self.interval[1:])
        unit = " points of change" if self.gate.compares else ""
        return f" ({percent(self.confidence)} interval {low} to {high}{unit})"

    @property
    def _since(self) -> str:
        if self.before is None:
            return ""
        before = percent(self.before) if self.gate.metric == DORMANT else number(self.before)
        other = "" if self.counterpart is None or not self.counterpart.notes else " on other terms"
        return f", {before} in the baseline{other}"

    @property
    def _beyond(self) -> str:
        if self.excess <= 0:
            return ""
        far = f"{100 * self.excess:.1f} points" if self.gate.metric == DORMANT else number(self.excess)
        side = "below" if self.gate.option == "--fail-below" else "above"
        return f", {far} {side} the limit" if not self.gate.compares else f", {far} more change than the limit"

    def to_dict(self) -> dict[str, Any]:
        """Describe the verdict in JSON-able form; what is undefined is None."""
        dormant = self.gate.metric == DORMANT
        return {
            "option": self.gate.option.removeprefix("--"),
            "metric": self.gate.metric,
            "layer": self.gate.layer,
            "limit": self.gate.limit,
            "tau": self.tau,
            "run": self.run,
            "checkpoint": self.checkpoint,
            "value": _finite(self.value),
            "fraction": _finite(self.value) if dormant else None,
            "worst_layer": self.layer,
            "nonfinite": self.nonfinite,
            "confidence": self.confidence,
            "interval": None if self.interval is None else [self.interval.low, self.interval.high],
            "before": self.before,
            "baseline": None if self.counterpart is None else self.counterpart.to_dict(),
            "outcome": self.outcome,
            "passed": self.passed,
            "message": self.finding,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def complaints(verdicts: Sequence[Verdict], outcome: Outcome = "failed") -> Iterator[str]:
    """Say for each gate that failed where it did so worst, and on how many other checkpoints it failed."""
    found = [verdict for verdict in verdicts if verdict.outcome == outcome]
    for gate in dict.fromkeys(verdict.gate for verdict in found):
        of_gate = [verdict for verdict in found if verdict.gate == gate]
        others = f"; {counted(len(of_gate) - 1, 'other checkpoint')} too" if len(of_gate) > 1 else ""
        yield f"{max(of_gate, key=lambda verdict: verdict.excess)}{others}"
