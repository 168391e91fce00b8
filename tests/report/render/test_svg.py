"""Curves as SVG: well-formed, where they belong, and silent about what is not there."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from dormancy.report.model import Axis, Line, LinePanel, Rule
from dormancy.report.render.markup import element
from dormancy.report.render.svg import NARROW, SMALL, TINY, WIDE, Paper, draw_lines, sparkline

X = np.array([0.0, 1.0, 2.0, 3.0, 4.0])


def panel(*y: list[float], rules: tuple[Rule, ...] = (), alt: str = "alt", label: str = "dqn") -> LinePanel:
    lines = tuple(Line(label, X[: len(values)], np.array(values), slot) for slot, values in enumerate(y))
    return LinePanel("t", alt, Axis("agent steps", 0, 4, "step"), Axis("share", 0, 1, "percent"), lines, rules)


def path_of(svg: str, slot: int) -> str:
    return re.search(rf'<g class="run-{slot} solid"><path class="line" d="([^"]*)"', svg).group(1)  # type: ignore[union-attr]


@pytest.mark.parametrize("paper", [WIDE, NARROW, SMALL, TINY])
def test_it_is_xml_with_its_numbers_in_words(paper: Paper) -> None:
    root = ElementTree.fromstring(draw_lines(panel([0, 0.5, 1, 0.5, 0.43], alt='43 % "now" <b>'), paper))
    assert root.get("aria-label") == '43 % "now" <b>'
    assert root.get("role") == "img"
    assert "43 %" in "".join(root.itertext())


def test_a_curve_runs_from_corner_to_corner() -> None:
    svg = draw_lines(panel([0, 0.25, 0.5, 0.75, 1]), SMALL)
    left, top, right, bottom = re.search('data-plot="([^"]*)"', svg).group(1).split()  # type: ignore[union-attr]
    path = path_of(svg, 0)
    assert path.startswith(f"M{left} {bottom}L")
    assert path.endswith(f"L{right} {top}")


def test_a_gap_stays_a_gap_and_a_lonely_value_is_a_dot() -> None:
    svg = draw_lines(panel([0.1, np.nan, 0.5, np.nan, np.nan]), SMALL)
    assert path_of(svg, 0).count("M") == 2
    assert svg.count("<circle") == 2


def test_a_curve_without_any_value_is_no_error() -> None:
    root = ElementTree.fromstring(draw_lines(panel([np.nan] * 5, [0.1] * 5), SMALL))
    assert "nan" not in ElementTree.tostring(root, encoding="unicode")


def test_labels_at_the_ends_do_not_collide() -> None:
    svg = draw_lines(panel([0.5] * 5, [0.5] * 5, [0.51] * 5), SMALL)
    places = sorted(float(y) for y in re.findall(r'class="value halo run-\d" x="[^"]*" y="([^"]*)"', svg))
    assert len(places) == 3
    assert np.all(np.diff(places) >= 13.9)


def test_rules_outside_the_axis_are_left_out() -> None:
    svg = draw_lines(panel([0.5] * 5, rules=(Rule("x", 2, "here"), Rule("x", 9, "elsewhere"))), SMALL)
    assert "here" in svg
    assert "elsewhere" not in svg


def test_an_interval_is_drawn_as_a_band() -> None:
    line = Line("dqn", X, np.full(5, 0.5), 0, low=np.full(5, 0.4), high=np.full(5, 0.6))
    base = panel([0.5] * 5)
    svg = draw_lines(LinePanel("t", "alt", base.x, base.y, (line,)), SMALL)
    assert svg.count('class="band"') == 1


def test_no_colour_is_written_into_a_chart() -> None:
    """The theme decides: the same drawing is read on white, on black and on paper."""
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb\(|style=", draw_lines(panel([0.5] * 5, [0.1] * 5), WIDE))


def test_attributes_and_text_are_escaped() -> None:
    assert element("text", "<script>", class_='"><script>') == (
        '<text class="&#34;&gt;&lt;script&gt;">&lt;script&gt;</text>'
    )


def test_a_sparkline_ends_in_its_last_value() -> None:
    root = ElementTree.fromstring(sparkline(np.array([0.0, 0.2, 0.4]), 1))
    (dot,) = root.iter("circle")
    assert float(dot.get("cy", "nan")) == pytest.approx(3.0)
    assert root.get("aria-hidden") == "true"


def test_a_line_that_ends_early_is_labelled_where_it_ends() -> None:
    svg = draw_lines(panel([0.5] * 5, [0.2, 0.2, 0.2]), SMALL)
    left, _, right, _ = map(float, re.search('data-plot="([^"]*)"', svg).group(1).split())  # type: ignore[union-attr]
    full, early = (float(x) for x in re.findall(r'class="value halo run-\d" x="([^"]*)"', svg))
    assert full == pytest.approx(right + 7, abs=0.1)
    assert early == pytest.approx((left + right) / 2 + 7, abs=0.1)
