"""Final returns, group against group: score distributions and the probability of improvement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dormancy.report.axis import nice_ceiling
from dormancy.report.content.groups import Comparison, Group, Pairing
from dormancy.report.content.sections.over_seeds import evaluation_bands, return_bands
from dormancy.report.model import Axis, Cell, Column, Figure, Line, LinePanel, Section, Table
from dormancy.stats import Interval, iqm_band, performance_profile, probability_of_improvement
from dormancy.text.numbers import number, percent

__all__ = ["final_iqm", "improvement", "returns_over_seeds"]

THRESHOLDS = 101


def final_iqm(pairing: Pairing, group: Group) -> Interval | None:
    """Return the IQM over seeds of the final return, or None where no run has one."""
    finals = group.finals(pairing.horizon)
    if not finals.size:
        return None
    band = iqm_band(finals[:, None])
    return Interval(*(float(edge[0]) for edge in band))


def improvement(pairing: Pairing, group: Group, baseline: Group) -> Interval | None:
    """Return how probably a run of a group ends with a higher return than one of the baseline; None without runs."""
    ours, theirs = group.finals(pairing.horizon), baseline.finals(pairing.horizon)
    return probability_of_improvement([ours], [theirs]) if ours.size and theirs.size else None


def _scored(comparison: Comparison) -> list[Pairing]:
    return [one for one in comparison.pairings if all(group.finals(one.horizon).size for group in one.groups)]


def _profile(pairing: Pairing) -> LinePanel:
    finals = [group.finals(pairing.horizon) for group in pairing.groups]
    every = np.concatenate(finals)
    low, high = min(0.0, -nice_ceiling(-every.min()) if every.min() < 0 else 0.0), nice_ceiling(max(every.max(), 1e-9))
    thresholds = np.linspace(low, high, THRESHOLDS)
    lines, said = [], []
    for group, scores in zip(pairing.groups, finals, strict=True):
        band = performance_profile([scores], thresholds)
        low_end, high_end = (band.low, band.high) if scores.size > 1 else (None, None)
        lines.append(Line(group.label, thresholds, band.estimate, group.slot, low=low_end, high=high_end))
        said.append(f"{group.label}: {scores.size} runs between {number(scores.min())} and {number(scores.max())}.")
    x, y = Axis("final return", low, high), Axis("runs above it", 0.0, 1.0, "percent")
    title = pairing.label or "all runs"
    return LinePanel(title, f"Share of runs with more than each final return. {' '.join(said)}", x, y, tuple(lines))


def _finals(pairings: list[Pairing]) -> Table:
    columns = (
        Column("of", "text"),
        Column("runs", "text"),
        Column("seeds", "count"),
        Column("IQM"),
        Column("95 % from"),
        Column("to"),
        Column("lowest"),
        Column("highest"),
    )
    rows: list[tuple[Cell, ...]] = []
    for pairing in pairings:
        for group in pairing.groups:
            scores, found = group.finals(pairing.horizon), final_iqm(pairing, group)
            if found:
                ends = (float(scores.min()), float(scores.max()))
                rows.append((pairing.label or "all runs", group.label, scores.size, *found, *ends))
    slots = tuple(group.slot for pairing in pairings for group in pairing.groups)
    return Table("Final return of each group", columns, tuple(rows), slots=slots)


def _profile_figure(pairings: list[Pairing]) -> Figure:
    return Figure(
        key="returns-profile",
        title="Performance profile",
        panels=tuple(_profile(pairing) for pairing in pairings),
        table=_finals(pairings),
        caption="Which share of the runs ends above each return: the higher line is better. A final return is a run's "
        "mean over the last tenth of its agent steps. Bands: 95 % interval, bootstrapped over runs.",
        wide=len(pairings) == 1,
    )


def verdict(found: Interval) -> str:
    """Say what an interval of a probability of improvement allows to say."""
    if found.low > 0.5:
        return "better"
    return "worse" if found.high < 0.5 else "these runs do not tell"


def _improvements(pairings: list[Pairing]) -> Iterator[tuple[Cell, ...]]:
    for pairing in pairings:
        baseline = pairing.groups[0]
        for group in pairing.groups[1:]:
            if found := improvement(pairing, group, baseline):
                sizes = f"{group.finals(pairing.horizon).size} and {baseline.finals(pairing.horizon).size}"
                yield (
                    pairing.label or "all runs",
                    f"{group.label} over {baseline.label}",
                    sizes,
                    *found,
                    verdict(found),
                )


def _improvement_figure(pairings: list[Pairing]) -> Figure:
    shares = (Column("probability", "percent"), Column("95 % from", "percent"), Column("to", "percent"))
    columns = (Column("of", "text"), Column("which", "text"), Column("seeds", "text"), *shares, Column("", "text"))
    rows = tuple(_improvements(pairings))
    said = "; ".join(f"{row[1]}: {percent(float(row[3]))}" for row in rows)  # type: ignore[arg-type]  # a number
    return Figure(
        key="returns-improvement",
        title="Probability of improvement",
        panels=(),
        table=Table(
            "Probability that a run of the one ends with a higher return than a run of the other", columns, rows
        ),
        caption=f"{said}. 50 % is no difference; with few seeds the interval is wide.",
    )


def returns_over_seeds(comparison: Comparison) -> Section | None:
    """Return what the groups earned, or None where no run has episodes."""
    records = [run.record for group in comparison.groups for run in group.runs if run.record is not None]
    evaluations, pairings = evaluation_bands(comparison), _scored(comparison)
    figures = [return_bands(comparison)] if any(record.returns.size for record in records) else []
    figures += [evaluations] if evaluations else []
    figures += [_profile_figure(pairings)] if pairings else []
    figures += [_improvement_figure(pairings)] if any(len(pairing.groups) > 1 for pairing in pairings) else []
    if not figures:
        return None
    return Section("returns", "Returns", "Returns", comparison.asked("Did the agents learn"), figures)
