"""Curves as inline SVG: drawn once, on paper of a given size, coloured by the page's style sheet.

No colour is written into the picture: a line says which run it belongs to (``class="run-0"``) and the theme decides.
Axis titles stand upright above their axis, values stand at the ends of the lines, grids are faint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from markupsafe import Markup

from dormancy.metrics import FloatArray
from dormancy.report.charts import Axis, Line, LinePanel, Rule
from dormancy.report.markup import element, places, polyline
from dormancy.report.scales import Scale, tick_label, ticks
from dormancy.report.sections.common import written

__all__ = ["NARROW", "SMALL", "WIDE", "Paper", "draw_lines", "sparkline"]

CHARACTER = 6.6
LINE_HEIGHT = 14.0
MOST_DOTS = 16


@final
@dataclass(frozen=True)
class Paper:
    """How large a chart is in CSS pixels, how many ticks fit, and whether lines carry their names."""

    width: float
    height: float
    x_ticks: int
    y_ticks: int
    named: bool
    title: bool = False


WIDE = Paper(960, 320, 8, 5, named=True)
NARROW = Paper(360, 250, 4, 5, named=False)
SMALL = Paper(320, 190, 3, 4, named=False)


@final
@dataclass(frozen=True)
class _Plot:
    """The inner rectangle of a chart and its two scales."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale


def _end_label(line: Line, panel: LinePanel, paper: Paper) -> str:
    known = np.flatnonzero(np.isfinite(line.y))
    if line.style != "solid" or known.size == 0:
        return ""
    value = written(float(line.y[known[-1]]), panel.y.unit)
    several = len({one.label for one in panel.lines if one.style == "solid"}) > 1
    name = line.label if len(line.label) <= 18 else line.label[:17] + "…"
    return f"{name} {value}" if paper.named and several else value


def _plot(panel: LinePanel, paper: Paper) -> _Plot:
    longest = max((len(_end_label(line, panel, paper)) for line in panel.lines), default=0)
    widest = max(len(tick_label(panel.y, tick)) for tick in ticks(panel.y, paper.y_ticks))
    left, right = 8 + CHARACTER * widest, paper.width - 14 - CHARACTER * max(longest, 3)
    top, bottom = 26.0, paper.height - 38
    return _Plot(left, top, right, bottom, Scale(panel.x, left, right), Scale(panel.y, bottom, top))


def _y_axis(panel: LinePanel, paper: Paper, plot: _Plot) -> Markup:
    marks = [element("text", panel.y.label, class_="axis", x=0, y=11)]
    for tick in ticks(panel.y, paper.y_ticks):
        y = places(float(plot.y(tick)))
        base = "base" if tick == 0 or tick == panel.y.low else "grid"
        marks.append(element("path", class_=base, d=f"M{places(plot.left)} {y}H{places(plot.right)}"))
        label = tick_label(panel.y, tick)
        marks.append(element("text", label, class_="tick end", x=places(plot.left - 6), y=places(float(plot.y(tick)) + 4)))
    return Markup("").join(marks)


def _x_axis(panel: LinePanel, paper: Paper, plot: _Plot) -> Markup:
    marks = []
    for tick in ticks(panel.x, paper.x_ticks):
        x = float(plot.x(tick))
        marks.append(element("path", class_="base", d=f"M{places(x)} {places(plot.bottom)}v4"))
        marks.append(element("text", tick_label(panel.x, tick), class_="tick middle", x=places(x), y=places(plot.bottom + 17)))
    label = element("text", panel.x.label, class_="axis middle", x=places((plot.left + plot.right) / 2), y=paper.height - 5)
    return Markup("").join([*marks, label])


def _rule(rule: Rule, index: int, plot: _Plot) -> Markup:
    if rule.axis == "y":
        y = float(plot.y(rule.value))
        path = f"M{places(plot.left)} {places(y)}H{places(plot.right)}"
        label = element("text", rule.label, class_="note end halo", x=places(plot.right), y=places(y - 5))
    else:
        x = float(plot.x(rule.value))
        path = f"M{places(x)} {places(plot.top)}V{places(plot.bottom)}"
        close = x > plot.right - CHARACTER * len(rule.label) - 8
        anchor, shift = ("note end halo", -4) if close else ("note halo", 4)
        label = element("text", rule.label, class_=anchor, x=places(x + shift), y=places(plot.top + 8 + LINE_HEIGHT * index))
    return element("g", element("path", class_="rule", d=path), label)


def _rules(panel: LinePanel, plot: _Plot) -> Markup:
    inside = [rule for rule in panel.rules if rule.axis == "y" or panel.x.low <= rule.value <= panel.x.high]
    return Markup("").join(_rule(rule, index, plot) for index, rule in enumerate(inside))


def _band(line: Line, plot: _Plot) -> Markup:
    if line.low is None or line.high is None:
        return Markup("")
    known = np.isfinite(line.low) & np.isfinite(line.high)
    x = plot.x(line.x[known])
    around = [*zip(x, plot.y(line.high[known]), strict=True), *zip(x[::-1], plot.y(line.low[known])[::-1], strict=True)]
    return element("path", class_="band", d=polyline(around) + "Z") if around else Markup("")


def _alone(y: FloatArray) -> FloatArray:
    """Return where a value has no neighbour, so that no stroke would show it."""
    known = np.isfinite(y)
    before, after = np.r_[False, known[:-1]], np.r_[known[1:], False]
    return np.asarray(known & ~before & ~after)


def _dots(line: Line, places_: list[tuple[float, float]]) -> Markup:
    known = np.isfinite(line.y)
    wanted = known if line.style == "solid" and known.sum() <= MOST_DOTS else _alone(line.y)
    return Markup("").join(
        element("circle", cx=places(x), cy=places(y), r=2.5) for (x, y), draw in zip(places_, wanted, strict=True) if draw
    )


def _curve(line: Line, plot: _Plot) -> Markup:
    points = [(float(x), float(y)) for x, y in zip(plot.x(line.x), plot.y(line.y), strict=True)]
    path = element("path", class_="line", d=polyline(points) or "M0 0")
    return element("g", _band(line, plot), path, _dots(line, points), class_=f"run-{line.slot} {line.style}")


def _spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Move label positions apart until they are a line height from one another, in their order, within low..high."""
    order = np.argsort(wanted, kind="stable")
    placed = np.asarray(wanted, dtype=np.float64)[order]
    for index in range(1, placed.size):
        placed[index] = max(placed[index], placed[index - 1] + LINE_HEIGHT)
    overflow = max(0.0, placed[-1] - high) if placed.size else 0.0
    for index in range(placed.size - 1, -1, -1):
        limit = high if index == placed.size - 1 else placed[index + 1] - LINE_HEIGHT
        placed[index] = min(placed[index], limit) if overflow else placed[index]
    result = np.empty_like(placed)
    result[order] = np.maximum(placed, low)
    return [float(y) for y in result]


def _end_labels(panel: LinePanel, paper: Paper, plot: _Plot) -> Markup:
    labelled = [(line, _end_label(line, panel, paper)) for line in panel.lines]
    labelled = [(line, label) for line, label in labelled if label]
    ends = [np.flatnonzero(np.isfinite(line.y))[-1] for line, _ in labelled]
    wanted = [float(plot.y(line.y[end])) for (line, _), end in zip(labelled, ends, strict=True)]
    marks = []
    for (line, label), y in zip(labelled, _spread(wanted, plot.top, plot.bottom), strict=True):
        marks.append(element("text", label, class_=f"value run-{line.slot}", x=places(plot.right + 7), y=places(y + 4)))
    return Markup("").join(marks)


def draw_lines(panel: LinePanel, paper: Paper, **attributes: object) -> Markup:
    """Draw a panel on paper; `attributes` go to the root element."""
    plot = _plot(panel, paper)
    # Dashed and faint lines lie below the solid ones.
    curves = [_curve(line, plot) for line in sorted(panel.lines, key=lambda line: line.style == "solid")]
    parts = (_y_axis(panel, paper, plot), _x_axis(panel, paper, plot), _rules(panel, plot))
    return element(
        "svg",
        *parts,
        *curves,
        _end_labels(panel, paper, plot),
        class_="chart",
        viewBox=f"0 0 {places(paper.width)} {places(paper.height)}",
        role="img",
        aria_label=panel.alt,
        data_plot=" ".join(map(places, (plot.left, plot.top, plot.right, plot.bottom))),
        **attributes,
    )


def sparkline(values: FloatArray, slot: int, axis: Axis | None = None, width: float = 96, height: float = 22) -> Markup:
    """Draw the course of a value in a word's space, from 0 to its highest; decoration of a number that stands beside it."""
    finite = values[np.isfinite(values)]
    top = axis.high if axis else max(float(finite.max()) if finite.size else 0.0, 1e-12)
    y = Scale(Axis("", 0.0, top), height - 3, 3)(values)
    x = np.linspace(3, width - 4, values.size) if values.size > 1 else np.array([width - 4])
    path = element("path", class_="line", d=polyline(zip(x.tolist(), y.tolist(), strict=True)) or "M0 0")
    end = [element("circle", cx=places(x[-1]), cy=places(y[-1]), r=2.5)] if finite.size and np.isfinite(y[-1]) else []
    base = element("path", class_="grid", d=f"M0 {places(height - 1)}H{places(width)}")
    box = f"0 0 {places(width)} {places(height)}"
    return element("svg", base, path, *end, class_=f"spark run-{slot}", viewBox=box, aria_hidden="true")
