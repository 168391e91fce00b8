"""One panel on one pair of matplotlib axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dormancy.report.axis import Scale, end_label, ends_early, spread, tick_label, ticks
from dormancy.report.model import Axis, Line, LinePanel, RasterPanel, Rule
from dormancy.report.palette import LIGHT, rgba_table
from dormancy.text.numbers import compact, plural

__all__ = ["DASHES", "SOFT", "STYLE", "draw_lines", "draw_raster"]

SOFT, GRID, BASE = "#56606b", "#e9ecef", "#9aa3ad"
POINTS_PER_INCH = 72
MOST_DOTS = 16
LABEL_HEIGHT = 9.0
STYLE: dict[str, object] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "text.parse_math": False,  # a layer may be called $\alpha$
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.edgecolor": BASE,
    "axes.axisbelow": True,
    "xtick.color": BASE,
    "xtick.labelcolor": SOFT,
    "ytick.left": False,
    "ytick.labelcolor": SOFT,
    "axes.labelcolor": SOFT,
}
DASHES: dict[str, Any] = {"solid": "-", "dashed": (0, (4, 3)), "faint": "-"}


def _scale_axis(axes: Axes, name: str, axis: Axis, most: int) -> None:
    """Set the scale, the limits, our own ticks and the label of one axis."""

    def put(what: str, *values: object, **options: object) -> None:
        getattr(axes, f"set_{name}{what}")(*values, **options)

    if axis.kind == "log":
        put("scale", "log")
    elif axis.kind == "zerolog":
        put("scale", "symlog", linthresh=axis.low, linscale=0.25)
    low = 0.0 if axis.kind == "zerolog" else axis.low
    places = ticks(axis, most)
    put("lim", low, axis.high if axis.high > low else low + 1)
    put("ticks", places, labels=[tick_label(axis, place) for place in places])
    put("ticks", [], minor=True)
    put("label", axis.label)


def _draw_line(axes: Axes, line: Line) -> None:
    look: dict[str, Any] = {"color": LIGHT[line.slot], "ls": DASHES[line.style], "clip_on": False}
    look["lw"], look["alpha"] = {"solid": (1.5, 1.0), "dashed": (1.0, 1.0), "faint": (0.9, 0.5)}[line.style]
    if line.style == "solid" and np.isfinite(line.y).sum() <= MOST_DOTS:
        look |= {"marker": "o", "ms": 2.5}
    axes.plot(line.x, line.y, **look)
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=LIGHT[line.slot], alpha=0.16, lw=0)


def _draw_rule(axes: Axes, rule: Rule, index: int, panel: LinePanel) -> None:
    colour = SOFT if rule.slot is None else LIGHT[rule.slot]
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": colour, "ha": "right"}
    if rule.axis == "y":
        axes.axhline(rule.value, color=colour, lw=0.8, ls=":")
        axes.annotate(rule.label, (panel.x.high, rule.value), xytext=(0, 1), va="bottom", **look)
    elif panel.x.low <= rule.value <= panel.x.high:
        axes.axvline(rule.value, color=colour, lw=0.8, ls=":")
        axes.annotate(rule.label, (rule.value, panel.y.high), xytext=(-3, -LABEL_HEIGHT * index), va="top", **look)


def _draw_end_labels(axes: Axes, panel: LinePanel, height: float, named: bool) -> None:
    """Write what stands at the ends of the lines, in the margin apart from one another; `height` is in points."""
    labelled = [(line, end_label(line, panel, named)) for line in panel.lines]
    labelled = [(line, label) for line, label in labelled if label]
    scale = Scale(panel.y, 0.0, height)
    ends = [_last_point(line) for line, _ in labelled]
    margin = spread([float(scale(y)) for _, y in ends], LABEL_HEIGHT, 0.0, height)
    look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    look |= {"weight": "bold", "fontsize": 7.5, "xytext": (4, 0)}
    for (line, label), end, place in zip(labelled, ends, margin, strict=True):
        where, kind = (end, "data") if ends_early(line, panel.x) else ((1, place / height), "axes fraction")
        axes.annotate(label, where, xycoords=kind, color=LIGHT[line.slot], **look)


def _last_point(line: Line) -> tuple[float, float]:
    last = np.flatnonzero(np.isfinite(line.y))[-1]
    return float(line.x[last]), float(line.y[last])


def draw_lines(axes: Axes, panel: LinePanel, width: float, height: float) -> None:
    """Draw curves on axes that take about width x height inches, decorations included."""
    wide = width > 5
    _scale_axis(axes, "x", panel.x, 8 if wide else round(1.6 * width))
    _scale_axis(axes, "y", panel.y, 5)
    axes.grid(axis="y", color=GRID, lw=0.8)
    for line in sorted(panel.lines, key=lambda one: one.style == "solid"):
        _draw_line(axes, line)
    for index, rule in enumerate(panel.rules):
        _draw_rule(axes, rule, index, panel)
    _draw_end_labels(axes, panel, (height - 0.75) * POINTS_PER_INCH, wide)


def draw_raster(axes: Axes, panel: RasterPanel) -> None:
    """Draw a picture of levels on white paper."""
    table = rgba_table(panel.scale, panel.slot) / 255
    colours = table[:, :3] * table[:, 3:] + (1 - table[:, 3:])
    pairs = panel.kind == "pairs"
    axes.imshow(colours[panel.levels], aspect="equal" if pairs else "auto", interpolation="nearest")
    places = sorted({round(place) for place in np.linspace(0, len(panel.columns) - 1, 2 if pairs else 4)})
    axes.set_xticks(places, labels=[compact(panel.columns[place]) for place in places])
    axes.set_yticks([])
    axes.set_xlabel(panel.note or panel.x_label)
    axes.set_ylabel("" if pairs else plural(len(panel.rows), "neuron"))
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.6)
