"""The report as Markdown to paste, CSV and a frame to compute on, JSON to archive."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dormancy.report.content.report import ReportView, build_view
from dormancy.report.content.runs import Inputs, Records, Run, Scope, Seen, read_inputs
from dormancy.report.content.summary import Summary
from dormancy.report.model import Table
from dormancy.report.render.cells import cell_text, thinned
from dormancy.report.render.page_data import payload, plain
from dormancy.scanning.series import DormancySeries

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "to_csv", "to_frame", "to_json", "to_markdown"]

COLUMNS = ("run", "agent_step", "gradient_step", "layer", "metric", "tau", "value")
MARKDOWN_ROWS = 24
MARKDOWN_FIGURES = (
    "dormancy-layers",
    "rank-srank",
    "returns",
    "returns-profile",
    "returns-improvement",
    "pruning-effect",
    "pruning-returns",
    "pruning-sweep",
)
_MARKED = re.compile(r"([\\`*_{}\[\]<>|#~])")


def _escaped(text: str) -> str:
    return _MARKED.sub(r"\\\1", text)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _markdown_table(table: Table) -> Iterator[str]:
    short = thinned(table, MARKDOWN_ROWS)
    kept = [place for place, column in enumerate(short.columns) if column.kind != "trend"]
    columns = [short.columns[place] for place in kept]
    yield _markdown_row([column.label for column in columns])
    yield "|" + "|".join(" --- " if column.kind in ("text", "prose", "mono") else " ---: " for column in columns) + "|"
    for row in (*short.rows, *short.foot):
        yield _markdown_row([cell_text(short.columns[place], row[place]) for place in kept])
    if short.note:
        yield from ("", _escaped(short.note))


def _markdown_summary(summary: Summary, several: bool) -> Iterator[str]:
    name = f"**{_escaped(summary.label)}**: " if several else ""
    yield f"{name}{_escaped(summary.headline)}"
    yield ""
    for card in summary.cards:
        yield f"- {_escaped(card.label)}: **{_escaped(card.value)}** {_escaped(card.detail)}"
    for finding in summary.findings:
        yield f"- {finding.level.capitalize()}: {_escaped(finding.text)}"
    yield ""


def _markdown(view: ReportView) -> Iterator[str]:
    yield from (f"# {_escaped(view.title)}", "")
    yield from (" · ".join(filter(None, (_escaped(view.subtitle), view.created))), "")
    for note in view.notes:
        yield from (f"> {_escaped(note)}", "")
    for summary in view.summaries:
        yield from _markdown_summary(summary, len(view.runs) > 1)
    tables = [view.layers]
    tables += [
        figure.table for section in view.sections for figure in section.figures if figure.key in MARKDOWN_FIGURES
    ]
    for table in filter(None, tables):
        yield from (f"## {_escaped(table.caption)}", "", *_markdown_table(table), "")


def to_markdown(
    series: Sequence[DormancySeries],
    *,
    title: str | None = None,
    prunings: Sequence[Mapping[str, Any]] = (),
    records: Records = (),
    seen: Seen = (),
    notes: Sequence[str] = (),
    compare: str | None = None,
) -> str:
    """Return the verdict, the table of layers and the course of dormancy and rank as Markdown."""
    view = build_view(series, title=title, prunings=prunings, records=records, seen=seen, notes=notes, compare=compare)
    return "\n".join(_markdown(view))


def to_json(
    series: Sequence[DormancySeries],
    *,
    title: str | None = None,
    prunings: Sequence[Mapping[str, Any]] = (),
    records: Records = (),
    seen: Seen = (),
    notes: Sequence[str] = (),
    compare: str | None = None,
) -> str:
    """Return everything the report shows, schema dormancy.report/1, and under "series" the scans it was made from."""
    view = build_view(series, title=title, prunings=prunings, records=records, seen=seen, notes=notes, compare=compare)
    data: dict[str, Any] = payload(view)
    data["series"] = [one.to_dict() for one in series]
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _values(inputs: Inputs, run: Run, scope: Scope) -> Iterator[tuple[str, float | None, Any]]:
    """Give the name, the tau and the values, shape (K,), of everything that is known of a layer or the network."""
    for tau in inputs.taus:
        yield "dormant_fraction", tau, run.shares(scope, tau)
    for name in inputs.metric_names():
        yield name, None, run.measured(name, scope)


def _rows(series: Sequence[DormancySeries]) -> Iterator[tuple[Any, ...]]:
    """Give one row per number, in the order of `COLUMNS`; the layer of a number that speaks of the network is empty."""
    inputs = read_inputs(series)
    for run in inputs.runs:
        for scope in (scope for scope in inputs.scopes if run.has(scope)):
            for name, tau, values in _values(inputs, run, scope):
                for scan, value in zip(run.scans, values, strict=True):
                    if (number := plain(float(value))) is not None:
                        steps = (scan.agent_step, scan.gradient_step)
                        yield (run.label, *steps, scope.key or "", name, tau, number)


def to_csv(series: Sequence[DormancySeries]) -> str:
    """Return every share and every measurement as CSV, one number a row; numbers that are undefined are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(series))
    return text.getvalue()


def to_frame(series: Sequence[DormancySeries]) -> pd.DataFrame:
    """Return what `to_csv` writes as a frame."""
    import pandas as pd  # takes long to import, and the page does not need it

    return pd.DataFrame(list(_rows(series)), columns=list(COLUMNS))
