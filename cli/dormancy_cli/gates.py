"""Limits that a scan must keep: `--fail-above 0.3` for the whole network, `--fail-above fc1=0.5` for one layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from dormancy.errors import UsageError
from dormancy.registry import nearest
from dormancy_cli.text import counted, percent

if TYPE_CHECKING:
    from dormancy.result import DormancyScan, LayerScore
    from dormancy.stats import Interval

__all__ = ["Gate", "Verdict", "check", "complaints", "parse"]


@final
@dataclass(frozen=True)
class Gate:
    """The largest dormant share that passes, in one layer or (None) in the network."""

    layer: str | None
    limit: float

    @property
    def subject(self) -> str:
        """What the gate looks at, in words."""
        return "the network" if self.layer is None else f"layer {self.layer!r}"

    def __str__(self) -> str:
        return f"{self.limit:g}" if self.layer is None else f"{self.layer}={self.limit:g}"


@final
@dataclass(frozen=True)
class Verdict:
    """One gate on one checkpoint. `nonfinite` neurons have no score; with any of them a gate never passes."""

    gate: Gate
    checkpoint: str
    tau: float
    fraction: float
    nonfinite: int
    interval: Interval | None = None
    confidence: float | None = None

    @property
    def judged(self) -> float:
        """What is held against the limit: the share, or the lower end of its interval where one was asked for."""
        return self.fraction if self.interval is None else self.interval.low

    @property
    def passed(self) -> bool:
        """Whether what is judged is within the limit and every neuron has a score."""
        return self.nonfinite == 0 and self.judged <= self.gate.limit

    @property
    def excess(self) -> float:
        """By how much the limit is passed; without bound where there is no score."""
        return math.inf if self.nonfinite else self.judged - self.gate.limit

    def __str__(self) -> str:
        where = f"--fail-above {self.gate}: {self.checkpoint}: {self.gate.subject}"
        if self.nonfinite:
            return f"{where} has {counted(self.nonfinite, 'neuron')} whose activations are not finite"
        over = f"{100 * self.excess:.1f} points above the limit"
        at_least = f"at least {percent(self.judged)} by its {percent(self.confidence or 0)} interval"
        sure = "" if self.confidence is None else f" ({at_least})"
        return f"{where} is {percent(self.fraction)} dormant{sure} at tau {self.tau:g}, {over}"

    def to_dict(self) -> dict[str, Any]:
        """Describe the verdict in JSON-able form."""
        return {
            "layer": self.gate.layer,
            "limit": self.gate.limit,
            "tau": self.tau,
            "checkpoint": self.checkpoint,
            "fraction": self.fraction,
            "nonfinite": self.nonfinite,
            "confidence": self.confidence,
            "interval": None if self.interval is None else [self.interval.low, self.interval.high],
            "passed": self.passed,
        }


def parse(text: str) -> Gate:
    """Read ``0.3``, ``30%`` or ``layer=0.5``; raises `UsageError` for anything else.

    >>> parse("fc1=50%")
    Gate(layer='fc1', limit=0.5)
    """
    layer, separator, amount = text.rpartition("=")
    if separator and not layer:
        raise UsageError(f"--fail-above {text!r} names no layer; write 0.3 or fc1=0.5")
    return Gate(layer or None, _share(text, amount))


def _share(text: str, amount: str) -> float:
    try:
        limit = float(amount.removesuffix("%")) / (100 if amount.endswith("%") else 1)
    except ValueError:
        limit = math.nan
    if not 0 <= limit <= 1:
        raise UsageError(f"--fail-above {text!r} is not a share between 0 and 1; write 0.3, 30% or fc1=0.5")
    return limit


def check(gate: Gate, checkpoint: str, scan: DormancyScan, tau: float, confidence: float | None = None) -> Verdict:
    """Hold one scan against one gate; raises `UsageError` when the network has no such layer.

    With a `confidence` the lower end of the interval is judged: the gate fails only where the sample leaves no doubt.
    """
    layer = None if gate.layer is None else _layer(gate.layer, scan.layers)
    fraction, nonfinite = (scan if layer is None else layer).fraction(tau), (scan if layer is None else layer).nonfinite
    interval = None if confidence is None else scan.interval(tau, gate.layer, confidence)
    return Verdict(gate, checkpoint, tau, fraction, nonfinite, interval, confidence)


def complaints(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Say for each gate that failed where it did so worst, and on how many other checkpoints it failed."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    for gate in dict.fromkeys(verdict.gate for verdict in failed):
        of_gate = [verdict for verdict in failed if verdict.gate == gate]
        others = f"; {counted(len(of_gate) - 1, 'other checkpoint')} too" if len(of_gate) > 1 else ""
        yield f"{max(of_gate, key=lambda verdict: verdict.excess)}{others}"


def _layer(name: str, layers: Sequence[LayerScore]) -> LayerScore:
    for layer in layers:
        if layer.name == name:
            return layer
    names = [layer.name for layer in layers]
    raise UsageError(f"--fail-above names an unknown layer {name!r}{nearest(name, names)}; layers: {', '.join(names)}")
