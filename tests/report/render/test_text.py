"""Markdown, CSV, frame and JSON: the same numbers as the page."""

import csv
import io
import json

import numpy as np
import pytest

from dormancy.report import to_csv, to_frame, to_json, to_markdown
from dormancy.report.render.text import COLUMNS
from dormancy.scanning.series import DormancySeries
from tests.report.runs import layer, made_up_run, scan_of

LAYERS = (("conv1", 8), ("fc1", 24))


@pytest.fixture
def series() -> list[DormancySeries]:
    return [made_up_run("dqn", 5, layers=LAYERS), made_up_run("redo", 5, layers=LAYERS, cured=True)]


def test_csv_holds_every_share(series: list[DormancySeries]) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(series))))
    assert tuple(rows[0]) == COLUMNS
    wanted = {"run": "redo", "layer": "fc1", "metric": "dormant_fraction", "tau": "0.1"}
    found = [float(row["value"]) for row in rows if all(row[key] == value for key, value in wanted.items())]
    np.testing.assert_allclose(found, series[1].fractions("fc1", 0.1), rtol=1e-4)
    assert {row["layer"] for row in rows} == {"", "conv1", "fc1"}


def test_csv_quotes_names_that_would_break_it() -> None:
    name = 'a,"b"\nc'
    text = to_csv([DormancySeries.of("x", [scan_of(layer(name, [0.0, 2.0]))])])
    assert {row["layer"] for row in csv.DictReader(io.StringIO(text))} == {"", name}


def test_the_frame_is_the_csv(series: list[DormancySeries]) -> None:
    frame = to_frame(series)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == len(to_csv(series).splitlines()) - 1
    srank = frame[(frame.metric == "srank") & (frame.run == "dqn")]
    assert srank.value.tolist() == [scan.measurements["srank"].layers["fc1"] for scan in series[0].scans]


def test_json_holds_the_series_it_was_made_from(series: list[DormancySeries]) -> None:
    data = json.loads(to_json(series))
    assert data["schema"] == "dormancy.report/1"
    back = [DormancySeries.from_dict(one) for one in data["series"]]
    np.testing.assert_array_equal(back[0].dormant(None, 0.1), series[0].dormant(None, 0.1))


def test_markdown_tells_the_verdict_and_the_layers(series: list[DormancySeries]) -> None:
    text = to_markdown(series, title="A | B")
    assert text.startswith("# A \\| B\n")
    assert "**redo**: " in text
    header = next(line for line in text.splitlines() if line.startswith("| layer"))
    rule = text.splitlines()[text.splitlines().index(header) + 1]
    assert header.count("|") == rule.count("|")
    assert "| whole network | dqn |" in text


def test_markdown_of_hostile_names_is_still_one_table() -> None:
    name = "a|b`<script>\n| c |"
    text = to_markdown([DormancySeries.of(name, [scan_of(layer(name, [0.0, 2.0]))])])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    bars = {line.replace("\\|", "").count("|") for line in rows}
    assert len(bars) == 1
    assert "<script>" not in text.replace("\\<", "")


def test_nothing_is_told_as_nothing() -> None:
    assert "no checkpoint with neurons" in to_markdown([])
    assert to_csv([]).splitlines() == [",".join(COLUMNS)]
    assert json.loads(to_json([]))["series"] == []
