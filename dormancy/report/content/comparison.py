"""The report on many runs as plain data: groups of runs take the place that single runs have in other reports."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dormancy.report.content.groups import SEED, Comparison, Group, Pairing, compare_runs
from dormancy.report.content.method import Definition, method, provenance, subject
from dormancy.report.content.runs import Inputs, Scope
from dormancy.report.content.sections.final_returns import final_iqm, improvement, returns_over_seeds, verdict
from dormancy.report.content.sections.over_seeds import GroupBand, dormancy_bands, measured_band, rank_bands, share_band
from dormancy.report.content.sections.rank import SRANK, rank_scopes
from dormancy.report.content.summary import Card, Finding, Summary
from dormancy.report.model import Cell, Column, Section, Table
from dormancy.stats import Interval
from dormancy.text.numbers import MISSING, compact, number, percent, plural, shown

__all__ = ["compared", "comparison_definitions", "comparison_layers", "comparison_sections", "comparison_summaries"]

DEFINITIONS = (
    Definition(
        "Interquartile mean (IQM)",
        "The mean over runs without the highest and the lowest quarter, each rounded down to whole runs: with fewer "
        "than four seeds the mean of all. Agarwal et al. 2021.",
    ),
    Definition(
        "95 % interval over seeds",
        "2 000 stratified bootstraps: whole runs are drawn anew within each group; 95 % of what comes out lies in the "
        "interval. It tells what other seeds might give, not what other observations might. With few seeds it "
        "is rather too narrow. Agarwal et al. 2021.",
    ),
    Definition(
        "Probability of improvement",
        "How often a run of the one group ends above a run of the other, over all pairs, ties counting half.",
        "P(X > Y) + P(X = Y) / 2",
    ),
)


def _last(found: GroupBand) -> Interval:
    known = np.flatnonzero(np.isfinite(found.band.estimate))
    return Interval(*(float(edge[known[-1]]) if known.size else np.nan for edge in found.band))


def _between(found: Interval, write: object) -> str:
    text = percent if write is percent else number
    return f"; 95 % interval {text(found.low)} to {text(found.high)}" if np.isfinite(found.low) else ""


def _rank_card(inputs: Inputs, pairing: Pairing, group: Group) -> Card:
    scopes = rank_scopes(inputs, SRANK)
    scope = next((one for one in scopes if one in inputs.penultimate), scopes[0] if scopes else None)
    if scope is None:
        return Card("Effective rank", MISSING, "not measured")
    found = measured_band(pairing, group, scope, SRANK)
    last = _last(found)
    return Card(
        "Effective rank", number(last.estimate), f"srank of {scope.label}{_between(last, number)}", found.band.estimate
    )


def _return_card(pairing: Pairing, group: Group) -> Card:
    found = final_iqm(pairing, group)
    if found is None:
        return Card("Final return", MISSING, "no run got to the end")
    seeds = plural(group.finals(pairing.horizon).size, "seed")
    return Card("Final return", number(found.estimate), f"IQM over {seeds}{_between(found, number)}")


def _improvement_card(pairing: Pairing, group: Group) -> Card:
    baseline = pairing.groups[0]
    if group is baseline:
        others = "the others are compared with these" if len(pairing.groups) > 1 else "that differ in their seeds alone"
        return Card("Runs", number(len(group.runs)), others)
    found = improvement(pairing, group, baseline)
    if found is None:
        return Card("Better return", MISSING, f"than {baseline.label}: no final returns")
    return Card(
        "Better return", percent(found.estimate), f"probability over {baseline.label}{_between(found, percent)}"
    )


def _findings(inputs: Inputs, pairing: Pairing, group: Group, tau: float) -> Iterator[Finding]:
    baseline = pairing.groups[0]
    if group is baseline:
        return
    ours, theirs = (_last(share_band(pairing, each, inputs.network, tau)) for each in (group, baseline))
    apart = ours.high < theirs.low or ours.low > theirs.high
    said = f"{percent(ours.estimate)} dormant against {percent(theirs.estimate)} of {baseline.label}"
    yield Finding(
        "note", f"{said}: the intervals {'do not overlap' if apart else 'overlap, so these seeds do not tell'}."
    )
    if found := improvement(pairing, group, baseline):
        words = {"better": "higher than", "worse": "lower than"}.get(verdict(found), "")
        told = (
            f"Final returns are {words} those of {baseline.label}."
            if words
            else "These seeds do not tell whose return is higher."
        )
        yield Finding("note", told)


def _summary(inputs: Inputs, pairing: Pairing, group: Group, tau: float) -> Summary:
    found = share_band(pairing, group, inputs.network, tau)
    last = _last(found)
    seeds = plural(len(group.runs), "run")
    shares = Card(
        "Dormant neurons", percent(last.estimate), f"IQM over {seeds}{_between(last, percent)}", found.band.estimate
    )
    cards = (
        shares,
        _return_card(pairing, group),
        _rank_card(inputs, pairing, group),
        _improvement_card(pairing, group),
    )
    headline = f"{percent(last.estimate)} of the neurons are dormant at tau = {tau:g} at the last checkpoint."
    label = " · ".join(filter(None, (group.label, pairing.label)))
    return Summary(label, group.slot, tau, headline, cards, tuple(_findings(inputs, pairing, group, tau)))


def comparison_summaries(inputs: Inputs, comparison: Comparison) -> tuple[Summary, ...]:
    """Return the verdict on every group at every tau."""
    places = [(pairing, group) for pairing in comparison.pairings for group in pairing.groups]
    return tuple(_summary(inputs, *place, tau) for tau in inputs.taus for place in places)


def _row(inputs: Inputs, pairing: Pairing, group: Group, scope: Scope) -> tuple[Cell, ...]:
    shares = [_last(share_band(pairing, group, scope, tau)) for tau in inputs.taus]
    others = (found.estimate for found in shares[1:])
    first = shares[0]
    return (scope.label, _place(pairing, group), first.estimate, first.low, first.high, *others, len(group.runs))


def _place(pairing: Pairing, group: Group) -> str:
    return " · ".join(filter(None, (group.label, pairing.label)))


def comparison_layers(inputs: Inputs, comparison: Comparison) -> Table:
    """Return one row per layer and group at the last checkpoint, and below them one per group for the network."""
    places = [(pairing, group) for pairing in comparison.pairings for group in pairing.groups]
    layers = [
        (*place, scope) for scope in inputs.layers for place in places if any(r.has(scope) for r in place[1].runs)
    ]
    networks = [(*place, inputs.network) for place in places]
    columns = (
        Column("layer", "text"),
        Column("runs", "text"),
        Column(
            f"dormant, tau {inputs.tau:g}", "share", "interquartile mean over seeds of the share of dormant neurons"
        ),
        Column("95 % from", "percent"),
        Column("to", "percent"),
        *(Column(f"tau {tau:g}", "percent") for tau in inputs.taus[1:]),
        Column("seeds", "count"),
    )
    return Table(
        f"Every layer at the last checkpoint, IQM over seeds, tau = {inputs.tau:g}",
        columns,
        tuple(_row(inputs, *one) for one in layers),
        slots=tuple(group.slot for _, group, _ in (*layers, *networks)),
        foot=tuple(_row(inputs, *one) for one in networks),
    )


def comparison_sections(inputs: Inputs, comparison: Comparison) -> tuple[Section, ...]:
    """Return the chapters on dormancy, returns and rank."""
    built = (dormancy_bands(inputs, comparison), returns_over_seeds(comparison), rank_bands(inputs, comparison))
    return tuple(section for section in built if section is not None)


def _runs_table(comparison: Comparison) -> Table:
    columns = (
        Column("runs", "text"),
        Column("run", "text"),
        Column("seed", "text"),
        Column("agent steps", "count"),
        Column("checkpoints", "count"),
        Column("episodes", "count"),
        Column("final return"),
    )
    rows: list[tuple[Cell, ...]] = []
    for pairing in comparison.pairings:
        for group in pairing.groups:
            for run in group.runs:
                record = run.record
                finals = Group("", 0, (run,)).finals(pairing.horizon)
                final = float(finals[0]) if finals.size else None
                if record is not None:
                    seed = shown(str(record.config.get("seed", "")))
                    rest = (record.last_step, run.checkpoints, record.returns.size, final)
                    rows.append((_place(pairing, group), run.label, seed, *rest))
    return Table("Runs", columns, tuple(rows))


def comparison_definitions(inputs: Inputs) -> tuple[Definition, ...]:
    """Return the definitions of a comparison, then those of every report."""
    return (*DEFINITIONS, *method(inputs))


def compared(inputs: Inputs, setting: str) -> tuple[Comparison, str, str, tuple[Table, ...]]:
    """Return the comparison, its title, its subtitle and the tables of where it comes from."""
    comparison = compare_runs(inputs, setting)
    runs = sum(len(group.runs) for group in comparison.groups)
    last = max(pairing.horizon for pairing in comparison.pairings)
    what = "over seeds" if setting == SEED else f"{shown(setting)} compared"
    title = " · ".join(filter(None, (subject(inputs), what)))
    reach = f"{compact(last)} agent steps" if last else ""
    subtitle = " · ".join(filter(None, (plural(runs, "run"), plural(len(comparison.groups), "group"), reach)))
    return comparison, title, subtitle, (_runs_table(comparison), *provenance(inputs))
