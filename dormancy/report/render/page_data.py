"""The numbers of a report once more, as JSON-able data: for the page's script, and for whoever wants to compute on.

Pictures are not repeated: their levels are in the PNG of the page, and the scores in the series themselves.
"""

from __future__ import annotations

import json
import math
from typing import Any

from dormancy.metrics import FloatArray
from dormancy.report.content.report import ReportView
from dormancy.report.content.summary import Summary
from dormancy.report.model import Axis, Figure, GalleryPanel, LevelScale, Line, Panel, RasterPanel

__all__ = ["SCHEMA", "as_json", "figure_id", "payload"]

SCHEMA = "dormancy.report/1"
DIGITS = 5


def plain(value: float) -> float | int | None:
    """Return a number as JSON can hold it: whole numbers whole, others to 5 digits, None for what is not finite.

    >>> plain(250000.0), plain(0.123456789), plain(float("nan"))
    (250000, 0.12346, None)
    """
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(f"{value:.{DIGITS}g}")


def _numbers(values: FloatArray) -> list[float | int | None]:
    return [plain(float(value)) for value in values]


def _axis(axis: Axis) -> dict[str, Any]:
    return {"label": axis.label, "low": axis.low, "high": axis.high, "unit": axis.unit, "kind": axis.kind}


class _Grids:
    """The x values of all lines, each distinct set of them once."""

    def __init__(self) -> None:
        self.known: dict[tuple[float | int | None, ...], int] = {}

    def place(self, x: FloatArray) -> int:
        """Return the place of these values in the list of all grids."""
        return self.known.setdefault(tuple(_numbers(x)), len(self.known))


def _line(line: Line, grids: _Grids) -> dict[str, Any]:
    data = {
        "label": line.label,
        "slot": line.slot,
        "style": line.style,
        "x": grids.place(line.x),
        "y": _numbers(line.y),
    }
    if line.low is not None and line.high is not None:
        data |= {"low": _numbers(line.low), "high": _numbers(line.high)}
    return data


def _scale(scale: LevelScale) -> dict[str, Any]:
    # Edges in full precision: a level is tau-dormant when its edge is at most tau.
    edges = [float(edge) if math.isfinite(edge) else None for edge in scale.edges]
    return {"first": scale.first, "specials": list(scale.specials), "edges": edges}


def _scales(view: ReportView) -> dict[str, Any]:
    panels = (panel for section in view.sections for figure in section.figures for panel in figure.panels)
    return {panel.kind: _scale(panel.scale) for panel in panels if isinstance(panel, RasterPanel)}


def _gallery(panel: GalleryPanel) -> dict[str, Any]:
    items = [{"neuron": item.neuron, "note": item.note} for item in panel.items]
    return {"title": panel.title, "alt": panel.alt, "slot": panel.slot, "kind": panel.kind, "items": items}


def _panel(panel: Panel, grids: _Grids) -> dict[str, Any]:
    if isinstance(panel, RasterPanel):
        places = {"rows": list(panel.rows), "columns": list(panel.columns)}
        return {"title": panel.title, "alt": panel.alt, "slot": panel.slot, "kind": panel.kind, **places}
    if isinstance(panel, GalleryPanel):
        return _gallery(panel)
    lines = [_line(line, grids) for line in panel.lines]
    return {
        "title": panel.title,
        "alt": panel.alt,
        "kind": "lines",
        "x": _axis(panel.x),
        "y": _axis(panel.y),
        "lines": lines,
    }


def _figure(figure: Figure, grids: _Grids) -> dict[str, Any]:
    return {"title": figure.title, "tau": figure.tau, "panels": [_panel(panel, grids) for panel in figure.panels]}


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "run": summary.label,
        "tau": summary.tau,
        "headline": summary.headline,
        "numbers": {card.label: f"{card.value} {card.detail}" for card in summary.cards},
        "findings": [{"level": one.level, "text": one.text} for one in summary.findings],
    }


def figure_id(view: ReportView, figure: Figure) -> str:
    """Return a name for a figure that is unique in its report and safe in HTML and file names."""
    return figure.key if figure.tau is None else f"{figure.key}-tau{view.taus.index(figure.tau)}"


def payload(view: ReportView) -> dict[str, Any]:
    """Return a report as JSON-able data, schema dormancy.report/1; a line's `x` is a place in `grids`."""
    grids = _Grids()
    drawn = [figure for section in view.sections for figure in section.figures]
    figures = {figure_id(view, figure): _figure(figure, grids) for figure in drawn}
    return {
        "schema": SCHEMA,
        "title": view.title,
        "created": view.created,
        "unit": view.step_unit,
        "taus": list(view.taus),
        "runs": [{"label": run.label, "slot": run.slot, "extent": run.extent} for run in view.runs],
        "notes": list(view.notes),
        "summaries": [_summary(summary) for summary in view.summaries],
        "scales": _scales(view),
        "figures": figures,
        "grids": [list(grid) for grid in grids.known],
    }


def as_json(data: dict[str, Any]) -> str:
    """Write data as compact JSON that may stand inside a ``<script>`` element: no ``<``, no NaN."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
