"""The verdict: one sentence and four numbers per run, and what deserves attention, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from dormancy.metrics import FloatArray
from dormancy.report.content.runs import Inputs, Run, Scope
from dormancy.report.content.sections.rank import attainable
from dormancy.scanning.lifetimes import current_streaks
from dormancy.scanning.result import DormancyScan
from dormancy.text.numbers import MISSING, count, number, percent, plural, shown

__all__ = ["NOTABLE_SHARE", "Card", "Finding", "Summary", "long_share", "long_streak", "summarise"]

NOTABLE_SHARE = 0.1
"""A layer with at least this share of dormant neurons is named in the findings."""

LONG_STREAK = 5
SRANK_LOSS = 0.1


@final
@dataclass(frozen=True, eq=False)
class Card:
    """One number of the verdict: what it is, the number, what it means, and its course over the checkpoints."""

    label: str
    value: str
    detail: str
    trend: FloatArray | None = None


@final
@dataclass(frozen=True)
class Finding:
    """One sentence that deserves attention. "error": a number is not to be trusted; "watch": look at it; "note"."""

    level: Literal["error", "watch", "note"]
    text: str


@final
@dataclass(frozen=True, eq=False)
class Summary:
    """The verdict on one run at one tau."""

    label: str
    slot: int
    tau: float
    headline: str
    cards: tuple[Card, ...]
    findings: tuple[Finding, ...]


def long_streak(run: Run) -> int:
    """Return n such that "dormant for more than n checkpoints" says something in a series of this length."""
    return min(LONG_STREAK, max(run.checkpoints - 1, 1))


def long_share(run: Run, scope: Scope, tau: float) -> float:
    """Return which share of the now dormant neurons has been so for more than `long_streak` checkpoints.

    NaN when none is dormant, and for a single checkpoint.
    """
    dormant = run.dormant(scope, tau)
    now = int(dormant[-1].sum())
    if not now or run.checkpoints < 2:
        return float("nan")
    return float((current_streaks(dormant) > long_streak(run)).sum() / now)


def _change(run: Run, values: FloatArray) -> str:
    if run.checkpoints < 2:
        return ""
    first, last = float(values[0]), float(values[-1])
    if percent(first) == percent(last):
        return ", as at the first checkpoint"
    return f", {'up' if last > first else 'down'} from {percent(first)} at the first checkpoint"


def _headline(inputs: Inputs, run: Run, tau: float) -> str:
    shares = run.shares(inputs.network, tau)
    return f"{percent(float(shares[-1]))} of the neurons are dormant at tau = {tau:g}{_change(run, shares)}."


def _share_card(inputs: Inputs, run: Run, tau: float) -> Card:
    shares = run.shares(inputs.network, tau)
    dormant, total = int(run.dormant(inputs.network, tau)[-1].sum()), run.size(inputs.network)
    mean = np.mean([run.shares(scope, tau)[-1] for scope in inputs.layers if run.has(scope)])
    detail = f"{count(dormant)} of {plural(total, 'neuron')}; mean of the layers {percent(float(mean))}"
    if (band := run.interval(inputs.network, tau)) and np.isfinite(band[0][-1]):
        detail += f"; 95 % interval {percent(float(band[0][-1]))} to {percent(float(band[1][-1]))}"
    return Card("Dormant neurons", percent(float(shares[-1])), detail, shares)


def _layer_card(inputs: Inputs, run: Run, tau: float) -> Card:
    scopes = [scope for scope in inputs.layers if run.has(scope)]
    worst = max(scopes, key=lambda scope: run.shares(scope, tau)[-1])
    shares = run.shares(worst, tau)
    if shares[-1] == 0:
        return Card("Most dormant layer", "none", "no layer has a dormant neuron")
    dormant = int(run.dormant(worst, tau)[-1].sum())
    detail = f"of {worst.label}: {count(dormant)} of {plural(run.size(worst), 'neuron')}"
    return Card("Most dormant layer", percent(float(shares[-1])), detail, shares)


def _stay_card(inputs: Inputs, run: Run, tau: float) -> Card:
    share, n = long_share(run, inputs.network, tau), long_streak(run)
    if run.checkpoints < 2:
        return Card("Stay dormant", MISSING, "one checkpoint cannot tell")
    if np.isnan(share):
        return Card("Stay dormant", MISSING, "no neuron is dormant now")
    return Card("Stay dormant", percent(share), f"of them have been dormant for more than {plural(n, 'checkpoint')}")


def _rank_scope(inputs: Inputs, run: Run) -> Scope | None:
    measured = [scope for scope in inputs.layers if np.isfinite(run.measured("srank", scope)[-1])]
    return next((scope for scope in measured if scope in inputs.penultimate), measured[0] if measured else None)


def _rank_card(inputs: Inputs, run: Run) -> Card:
    scope = _rank_scope(inputs, run)
    if scope is None:
        return Card("Effective rank", MISSING, "not measured at the last checkpoint")
    values = run.measured("srank", scope)
    detail = f"of {count(attainable(run, scope))} attainable (srank of {scope.label})"
    return Card("Effective rank", number(float(values[-1])), detail, values)


def _layer_sentence(run: Run, scope: Scope, tau: float) -> str:
    parts = [f"{scope.label}: {percent(float(run.shares(scope, tau)[-1]))} dormant at the last checkpoint"]
    long = long_share(run, scope, tau)
    if np.isfinite(long):
        parts.append(f", {percent(long)} of them for more than {plural(long_streak(run), 'checkpoint')}")
    rank = run.measured("srank", scope)[-1]
    if np.isfinite(rank):
        parts.append(f"; effective rank {number(float(rank))} of {count(attainable(run, scope))}")
    return "".join(parts) + "."


def _layer_findings(inputs: Inputs, run: Run, tau: float) -> list[Finding]:
    scopes = [scope for scope in inputs.layers if run.has(scope)]
    notable = [scope for scope in scopes if run.shares(scope, tau)[-1] >= NOTABLE_SHARE]
    notable.sort(key=lambda scope: -run.shares(scope, tau)[-1])
    if notable:
        return [Finding("watch", _layer_sentence(run, scope, tau)) for scope in notable]
    highest = max(scopes, key=lambda scope: run.shares(scope, tau)[-1])
    share = percent(float(run.shares(highest, tau)[-1]))
    return [
        Finding(
            "note", f"No layer has {percent(NOTABLE_SHARE)} or more dormant neurons; highest: {highest.label}, {share}."
        )
    ]


def _rank_findings(inputs: Inputs, run: Run) -> list[Finding]:
    found = []
    for scope in (scope for scope in inputs.layers if run.has(scope)):
        values = run.measured("srank", scope)
        first, last = float(values[0]), float(values[-1])
        if first > 0 and (first - last) / first >= SRANK_LOSS:
            lost = percent((first - last) / first)
            text = f"{scope.label}: effective rank fell by {lost}, from {number(first)} to {number(last)}."
            found.append(Finding("watch", text))
    return found


def _nonfinite_findings(inputs: Inputs, run: Run) -> list[Finding]:
    found = []
    for scope in (scope for scope in inputs.layers if run.has(scope)):
        broken = np.isnan(run.scores(scope)).sum(axis=1)
        if broken.any():
            most, when = plural(int(broken.max()), "neuron"), plural(int((broken > 0).sum()), "checkpoint")
            text = f"{scope.label}: up to {most} gave activations that are not finite, at {when} of {run.checkpoints}; "
            found.append(Finding("error", text + "they count as neither dormant nor alive."))
    return found


def _said_already(scan: DormancyScan, text: str) -> bool:
    """Tell whether a warning is about the non-finite neurons of a layer, which have a finding of their own."""
    return any(repr(one.name) in text and str(one.nonfinite) in text for one in scan.layers if one.nonfinite)


def _scan_findings(run: Run) -> list[Finding]:
    """Repeat what the scans warned of: warnings that differ in numbers only are one, in its latest wording."""
    latest: dict[str, str] = {}
    times: dict[str, int] = {}
    for scan in run.scans:
        for text in (text for text in dict.fromkeys(scan.warnings) if not _said_already(scan, text)):
            kind = re.sub(r"\d+", "#", text)
            latest[kind], times[kind] = text, times.get(kind, 0) + 1
    return [Finding("watch", _counted(latest[kind], times[kind], run.checkpoints)) for kind in latest]


def _counted(text: str, times: int, checkpoints: int) -> str:
    where = "" if times == checkpoints else f" ({'similarly ' if times > 1 else ''}at {plural(times, 'checkpoint')})"
    return shown(text[:1].upper() + text[1:], 400).rstrip(".") + where + "."


def summarise(inputs: Inputs, run: Run, tau: float) -> Summary:
    """Return the verdict on one run at one tau."""
    cards = (
        _share_card(inputs, run, tau),
        _layer_card(inputs, run, tau),
        _stay_card(inputs, run, tau),
        _rank_card(inputs, run),
    )
    findings = [
        *_nonfinite_findings(inputs, run),
        *_layer_findings(inputs, run, tau),
        *_rank_findings(inputs, run),
        *_scan_findings(run),
    ]
    return Summary(run.label, run.slot, tau, _headline(inputs, run, tau), cards, tuple(findings))
