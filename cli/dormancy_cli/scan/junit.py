"""Verdicts as JUnit XML, the form in which CI systems list tests: one suite a run, one case a gate and checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final
from xml.sax.saxutils import escape, quoteattr

from dormancy_cli.scan.collect import Collection, Group
from dormancy_cli.scan.gates.verdict import Verdict
from dormancy_cli.shared.paths import Failure
from dormancy_cli.shared.text import printable

if TYPE_CHECKING:
    from dormancy.scanning.result import DormancyScan

__all__ = ["to_junit"]

PREFIX = "dormancy"
UNREADABLE = "inputs that could not be scanned"


@final
@dataclass(frozen=True)
class _Case:
    """One test case. A `kind` of None passed; `text` is what was found."""

    suite: str
    name: str
    text: str
    kind: Literal["failure", "error"] | None = None
    type: str = ""

    def lines(self) -> Iterator[str]:
        head = f"    <testcase classname={_attribute(f'{PREFIX}.{self.suite}')} name={_attribute(self.name)}"
        if self.kind is None:
            yield f'{head} time="0"><system-out>{_text(self.text)}</system-out></testcase>'
            return
        yield f'{head} time="0">'
        shown = f"message={_attribute(self.text)} type={_attribute(self.type)}"
        yield f"      <{self.kind} {shown}>{_text(self.text)}</{self.kind}>"
        yield "    </testcase>"


def to_junit(collection: Collection, verdicts: Sequence[Verdict]) -> str:
    """Write one ``testsuites`` document.

    A failed gate is a ``failure``; a gate that cannot be judged and an input that cannot be scanned are an ``error``.
    A checkpoint without a gate on it is one case that passed. Names from files are escaped twice: what is not printable
    becomes a backslash escape, since XML has no word for control characters, and then what is markup to XML.
    """
    suites = [(group.name, list(_of_run(group, verdicts))) for group in collection.groups]
    if collection.failures:
        suites.append((UNREADABLE, [_of_failure(each) for each in collection.failures]))
    cases = [case for _, found in suites for case in found]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="{PREFIX}" {_counts(cases)}>']
    for name, found in suites:
        lines.append(f"  <testsuite name={_attribute(name)} {_counts(found)}>")
        lines += [line for case in found for line in case.lines()]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _of_run(group: Group, verdicts: Sequence[Verdict]) -> Iterator[_Case]:
    for scan in group.scans:
        path = scan.checkpoint.path if scan.checkpoint else "?"
        of_scan = [each for each in verdicts if each.run == group.name and each.checkpoint == path]
        yield from (_of_verdict(group.name, each) for each in of_scan)
        if not of_scan:
            yield _Case(group.name, path, _summary(scan))


def _of_verdict(suite: str, verdict: Verdict) -> _Case:
    name, text = f"{verdict.checkpoint} {verdict.gate}", verdict.finding
    notes = verdict.counterpart.notes if verdict.counterpart else ()
    told = "; ".join((text, *notes))
    if verdict.outcome == "passed":
        return _Case(suite, name, told)
    if verdict.outcome == "failed":
        return _Case(suite, name, told, "failure", "GateFailed")
    return _Case(suite, name, told, "error", "NotJudged")


def _of_failure(failure: Failure) -> _Case:
    return _Case(UNREADABLE, failure.path, str(failure), "error", type(failure.error).__name__)


def _summary(scan: DormancyScan) -> str:
    shares = ", ".join(f"{100 * scan.fraction(tau):.1f} % dormant at tau {tau:g}" for tau in scan.taus)
    return f"{scan.neurons} neurons, {shares}"


def _counts(cases: Sequence[_Case]) -> str:
    failures, errors = (sum(case.kind == kind for case in cases) for kind in ("failure", "error"))
    return f'tests="{len(cases)}" failures="{failures}" errors="{errors}" time="0"'


def _attribute(text: str) -> str:
    return quoteattr(printable(text))


def _text(text: str) -> str:
    return escape(printable(text))
