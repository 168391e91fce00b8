"""Curves as inline SVG: drawn once, on paper of a given size, coloured by the page's style sheet.

No colour is written into the picture: a line says which run it belongs to (``class="run-0"``) and the theme decides.
Axis titles stand upright above their axis, values stand at the ends of the lines, grids are faint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from markupsafe import Markup

from dormancy.metrics import FloatArray
from dormancy.report.axis import Scale, end_label, ends_early, spread, tick_label, ticks
from dormancy.report.model import Axis, Line, LinePanel, Rule
from dormancy.report.render.markup import element, places, polyline

__all__ = ["NARROW", "SMALL", "TINY", "WIDE", "Paper", "draw_lines", "sparkline"]

CHARACTER = 7.4
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


WIDE = Paper(960, 320, 8, 5, named=True)
NARROW = Paper(360, 250, 4, 5, named=False)
SMALL = Paper(320, 190, 4, 4, named=False)
TINY = Paper(240, 165, 3, 3, named=False)


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


def _plot(panel: LinePanel, paper: Paper) -> _Plot:
    longest = max((len(end_label(line, panel, paper.named)) for line in panel.lines), default=0)
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
        marks.append(
            element("text", label, class_="tick end", x=places(plot.left - 6), y=places(float(plot.y(tick)) + 4))
        )
    return Markup("").join(marks)


def _x_axis(panel: LinePanel, paper: Paper, plot: _Plot) -> Markup:
    marks = []
    for tick in ticks(panel.x, paper.x_ticks):
        x = float(plot.x(tick))
        marks.append(element("path", class_="base", d=f"M{places(x)} {places(plot.bottom)}v4"))
        marks.append(
            element("text", tick_label(panel.x, tick), class_="tick middle", x=places(x), y=places(plot.bottom + 17))
        )
    label = element(
        "text", panel.x.label, class_="axis middle", x=places((plot.left + plot.right) / 2), y=paper.height - 5
    )
    return Markup("").join([*marks, label])


def _rule(rule: Rule, index: int, plot: _Plot) -> Markup:
    if rule.axis == "y":
        y = float(plot.y(rule.value))
        path = f"M{places(plot.left)} {places(y)}H{places(plot.right)}"
        label = element("text", rule.label, class_="remark end halo", x=places(plot.right), y=places(y - 5))
    else:
        x = float(plot.x(rule.value))
        path = f"M{places(x)} {places(plot.top)}V{places(plot.bottom)}"
        close = x > plot.right - CHARACTER * len(rule.label) - 8
        anchor, shift = ("remark end halo", -4) if close else ("remark halo", 4)
        label = element(
            "text", rule.label, class_=anchor, x=places(x + shift), y=places(plot.top + 8 + LINE_HEIGHT * index)
        )
    return element(
        "g", element("path", class_="rule", d=path), label, class_=None if rule.slot is None else f"run-{rule.slot}"
    )


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
        element("circle", cx=places(x), cy=places(y), r=2.5)
        for (x, y), draw in zip(places_, wanted, strict=True)
        if draw
    )


def _curve(line: Line, plot: _Plot) -> Markup:
    points = [(float(x), float(y)) for x, y in zip(plot.x(line.x), plot.y(line.y), strict=True)]
    path = element("path", class_="line", d=polyline(points) or "M0 0")
    return element("g", _band(line, plot), path, _dots(line, points), class_=f"run-{line.slot} {line.style}")


def _end_labels(panel: LinePanel, paper: Paper, plot: _Plot) -> Markup:
    """Write what stands at the ends of the lines: in the margin, apart from one another, or where a line ends early."""
    labelled = [(line, end_label(line, panel, paper.named)) for line in panel.lines]
    labelled = [(line, label) for line, label in labelled if label]
    early = [(line, label) for line, label in labelled if ends_early(line, panel.x)]
    margin = [one for one in labelled if one not in early]
    wanted = [_end(line, plot)[1] for line, _ in margin]
    places_ = [(plot.right, y) for y in spread(wanted, LINE_HEIGHT, plot.top, plot.bottom)]
    marks = [_end_label(line, label, place) for (line, label), place in zip(margin, places_, strict=True)]
    return Markup("").join([*marks, *(_end_label(line, label, _end(line, plot)) for line, label in early)])


def _end(line: Line, plot: _Plot) -> tuple[float, float]:
    last = np.flatnonzero(np.isfinite(line.y))[-1]
    return float(plot.x(line.x[last])), float(plot.y(line.y[last]))


def _end_label(line: Line, label: str, place: tuple[float, float]) -> Markup:
    x, y = place
    return element("text", label, class_=f"value halo run-{line.slot}", x=places(x + 7), y=places(y + 4))


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
    """Draw the course of a value in a word's space, from 0 to its highest, beside the number that it decorates."""
    finite = values[np.isfinite(values)]
    top = axis.high if axis else max(float(finite.max()) if finite.size else 0.0, 1e-12)
    y = Scale(Axis("", 0.0, top), height - 3, 3)(values)
    x = np.linspace(3, width - 4, values.size) if values.size > 1 else np.array([width - 4])
    path = element("path", class_="line", d=polyline(zip(x.tolist(), y.tolist(), strict=True)) or "M0 0")
    end = [element("circle", cx=places(x[-1]), cy=places(y[-1]), r=2.5)] if finite.size and np.isfinite(y[-1]) else []
    base = element("path", class_="grid", d=f"M0 {places(height - 1)}H{places(width)}")
    box = f"0 0 {places(width)} {places(height)}"
    return element("svg", base, path, *end, class_=f"spark run-{slot}", viewBox=box, aria_hidden="true")
