"""The report as plain data: what `html`, `figures` and `text` render, each in its way."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from dormancy.errors import UsageError
from dormancy.report.content.comparison import (
    compared,
    comparison_definitions,
    comparison_layers,
    comparison_sections,
    comparison_summaries,
)
from dormancy.report.content.groups import Comparison
from dormancy.report.content.layer_table import layer_table
from dormancy.report.content.method import Definition, method, provenance, subject
from dormancy.report.content.runs import Inputs, Records, Seen, read_inputs
from dormancy.report.content.sections.activation_maps import convolutions_section
from dormancy.report.content.sections.dormancy import dormancy_section
from dormancy.report.content.sections.lifetimes import lifetimes_section
from dormancy.report.content.sections.neurons import neurons_section
from dormancy.report.content.sections.other_metrics import further_section
from dormancy.report.content.sections.overlap import overlap_section
from dormancy.report.content.sections.pruning import pruning_section
from dormancy.report.content.sections.rank import rank_section
from dormancy.report.content.sections.returns import returns_section
from dormancy.report.content.sections.tau_sweep import sweep_section
from dormancy.report.content.summary import Summary, summarise
from dormancy.report.model import Section, Table
from dormancy.scanning.series import DormancySeries
from dormancy.text.numbers import compact, listed, plural, shown

__all__ = ["ReportView", "RunLabel", "build_view"]


@final
@dataclass(frozen=True)
class RunLabel:
    """A run in the legend: its name, its colour slot, and how much there is of it."""

    label: str
    slot: int
    extent: str


@final
@dataclass(frozen=True, eq=False)
class ReportView:
    """Everything that a report says, nothing about how it looks. `created` is a UTC date and time."""

    title: str
    subtitle: str
    created: str
    runs: tuple[RunLabel, ...]
    step_unit: str
    taus: tuple[float, ...]
    summaries: tuple[Summary, ...]
    layers: Table | None
    sections: tuple[Section, ...]
    method: tuple[Definition, ...]
    provenance: tuple[Table, ...]
    notes: tuple[str, ...]


def _created() -> str:
    """Return the time, or the one that SOURCE_DATE_EPOCH sets for reproducible files."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    try:
        moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"SOURCE_DATE_EPOCH={shown(epoch)!r} is not a number of seconds; unset it or correct it"
        ) from error
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _title(inputs: Inputs) -> str:
    names = listed([run.label for run in inputs.runs], limit=3)
    return " · ".join(filter(None, (subject(inputs), names))) or "Nothing to show"


def _subtitle(inputs: Inputs) -> str:
    if not inputs.runs:
        return ""
    checkpoints = sum(run.checkpoints for run in inputs.runs)
    low, high = min(run.x[0] for run in inputs.runs), max(run.x[-1] for run in inputs.runs)
    span = (
        f"{inputs.step_unit}s {compact(low)} to {compact(high)}"
        if low < high
        else f"{inputs.step_unit} {compact(high)}"
    )
    return " · ".join((plural(len(inputs.runs), "run"), plural(checkpoints, "checkpoint"), span))


def _run_labels(inputs: Inputs) -> tuple[RunLabel, ...]:
    return tuple(RunLabel(run.label, run.slot, plural(run.checkpoints, "checkpoint")) for run in inputs.runs)


def _sections(inputs: Inputs, prunings: Sequence[Mapping[str, Any]]) -> tuple[Section, ...]:
    built = (
        dormancy_section(inputs),
        returns_section(inputs),
        neurons_section(inputs),
        convolutions_section(inputs),
        overlap_section(inputs),
        lifetimes_section(inputs),
        rank_section(inputs),
        sweep_section(inputs),
        pruning_section(prunings),
        further_section(inputs),
    )
    return tuple(section for section in built if section is not None)


def _empty_view(inputs: Inputs, title: str | None) -> ReportView:
    notes = (*inputs.notes, "There is no checkpoint with neurons to report on: scan some with `dormancy scan`.")
    return ReportView(title or _title(inputs), "", _created(), (), "", (), (), None, (), (), (), notes)


def _group_labels(comparison: Comparison) -> tuple[RunLabel, ...]:
    """Return one label per value of the compared setting."""
    runs: dict[tuple[str, int], int] = {}
    for group in comparison.groups:
        runs[group.label, group.slot] = runs.get((group.label, group.slot), 0) + len(group.runs)
    return tuple(RunLabel(label, slot, plural(number, "run")) for (label, slot), number in runs.items())


def _comparison_view(
    inputs: Inputs, title: str | None, prunings: Sequence[Mapping[str, Any]], setting: str
) -> ReportView:
    comparison, own_title, subtitle, tables = compared(inputs, setting)
    pruned = pruning_section(prunings)
    return ReportView(
        title=title or own_title,
        subtitle=subtitle,
        created=_created(),
        runs=_group_labels(comparison),
        step_unit=inputs.step_unit,
        taus=inputs.taus,
        summaries=comparison_summaries(inputs, comparison),
        layers=comparison_layers(inputs, comparison),
        sections=(*comparison_sections(inputs, comparison), *([pruned] if pruned else [])),
        method=comparison_definitions(inputs),
        provenance=tables,
        notes=(*inputs.notes, *comparison.notes),
    )


def build_view(
    series: Sequence[DormancySeries],
    *,
    title: str | None = None,
    prunings: Sequence[Mapping[str, Any]] = (),
    records: Records = (),
    seen: Seen = (),
    notes: Sequence[str] = (),
    compare: str | None = None,
) -> ReportView:
    """Compute everything that a report on these series shows; series without checkpoints become a note.

    `prunings` are results of `dormancy prune`, schema ``dormancy.prune/1``; they get a chapter. `records` hold what
    each series' run wrote about itself (`dormancy.io.read_training`), `seen` the convolutions of its last checkpoint
    (`dormancy.activation_maps.maps.see_convolutions`). `notes` are said on top. `compare` names a setting of their
    configurations: then the runs are grouped by it over their seeds. Raises `UsageError` when that cannot be done.
    """
    inputs = read_inputs(series, records, seen, grouped=compare is not None, notes=notes)
    named = shown(title, 160) if title else None
    if not inputs.runs:
        return _empty_view(inputs, named)
    if compare is not None:
        return _comparison_view(inputs, named, prunings, compare)
    return ReportView(
        title=named or _title(inputs),
        subtitle=_subtitle(inputs),
        created=_created(),
        runs=_run_labels(inputs),
        step_unit=inputs.step_unit,
        taus=inputs.taus,
        summaries=tuple(summarise(inputs, run, tau) for tau in inputs.taus for run in inputs.runs),
        layers=layer_table(inputs),
        sections=_sections(inputs, prunings),
        method=method(inputs),
        provenance=tuple(provenance(inputs)),
        notes=inputs.notes,
    )
