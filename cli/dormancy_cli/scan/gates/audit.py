"""From limits on a command line to verdicts on scans, and from those to an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from dormancy.errors import InputError, PartialFailure, UsageError
from dormancy_cli.scan.collect import Collection, failure_code
from dormancy_cli.scan.gates.baseline import Baseline, read_baseline
from dormancy_cli.scan.gates.check import check
from dormancy_cli.scan.gates.gate import DORMANT, Gate, Option, parse
from dormancy_cli.scan.gates.verdict import Verdict, complaints
from dormancy_cli.shared.console import Reporter

if TYPE_CHECKING:
    from dormancy.scanning.result import DormancyScan

__all__ = ["Audit", "exit_code", "limits"]

GATE_FAILED = 1


@final
@dataclass(frozen=True)
class Audit:
    """What a scan is held against."""

    gates: tuple[Gate, ...]
    baseline: Baseline | None = None
    confidence: float | None = None

    @property
    def metrics(self) -> list[str]:
        """The metrics that must be measured for it."""
        named = [gate.metric for gate in self.gates if gate.metric != DORMANT]
        return [*named, *(["uncertainty"] if self.confidence is not None else [])]

    def refuse(self, option: str) -> None:
        """Raise `UsageError` when there is anything to judge: `option` gives no scans to hold against limits."""
        if self.gates or self.confidence is not None:
            given = self.gates[0].option if self.gates else "--confidence"
            raise UsageError(f"{option} compares two samples and has no gates: leave out {given}, or {option}")

    def judge(self, collection: Collection, tau: float) -> list[Verdict]:
        """Hold every scan against every gate, run after run. Raises `UsageError` for a layer that there is not."""
        return [
            self._check(gate, group.name, scan, tau, only_run=len(collection.groups) == 1)
            for group in collection.groups
            for scan in group.scans
            for gate in self.gates
        ]

    def _check(self, gate: Gate, run: str, scan: DormancyScan, tau: float, *, only_run: bool) -> Verdict:
        other = None
        if gate.compares and self.baseline is not None:
            other = self.baseline.counterpart(run, scan, only_run=only_run)
        return check(gate, scan, tau, run=run, confidence=self.confidence, counterpart=other)


def limits(
    given: dict[Option, list[str] | None], baseline: Path | None, confidence: float | None, *, same_sample: bool
) -> Audit:
    """Read all limits and the baseline before any work is done.

    Raises `UsageError` for limits that are none, for a change without a baseline and a baseline without a change.
    """
    gates = tuple(parse(option, text) for option, texts in given.items() for text in texts or [])
    compared = next((gate for gate in gates if gate.compares), None)
    if compared is not None and baseline is None:
        raise UsageError(f"{compared.option} compares with an earlier result; give it with --baseline FILE.json")
    if compared is None and baseline is not None:
        raise UsageError("--baseline is for --fail-increase and --fail-decrease; give one of them, such as 0.05")
    return Audit(gates, read_baseline(baseline, same_sample=same_sample) if baseline else None, confidence)


def exit_code(collection: Collection, verdicts: Sequence[Verdict], reporter: Reporter) -> int:
    """Return 1 where a gate failed, else 3 or 4 where an input or a gate could not be used; say why.

    A failed gate outranks failed inputs: it is what was asked, and the failures have been told.
    """
    for complaint in complaints(verdicts):
        reporter.error(f"gate failed: {complaint}")
    for complaint in complaints(verdicts, "not judged"):
        reporter.error(f"gate not judged: {complaint}")
    for note in _notes(verdicts):
        reporter.warning(note)
    outcomes = {verdict.outcome for verdict in verdicts}
    if "failed" in outcomes:
        return GATE_FAILED
    if "not judged" in outcomes:
        return PartialFailure.exit_code if "passed" in outcomes else InputError.exit_code
    return failure_code(collection)


def _notes(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Say each note on the baseline once, and on how many checkpoints."""
    about: dict[str, dict[str, None]] = {}
    for verdict in verdicts:
        for note in verdict.counterpart.notes if verdict.counterpart else ():
            about.setdefault(note, {})[verdict.checkpoint] = None
    for note, checkpoints in about.items():
        first = next(iter(checkpoints))
        others = f" and {len(checkpoints) - 1} more" if len(checkpoints) > 1 else ""
        yield f"{first}{others}: {note}"
