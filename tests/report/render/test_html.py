"""The page as a file: self-contained, guarded, the same bytes for the same input, and never a crash."""

import base64
import hashlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dormancy.errors import OutputError, UsageError
from dormancy.metrics import Measurement
from dormancy.report import render_html, write_html
from dormancy.report.render import html
from dormancy.scanning.series import DormancySeries
from tests.report.runs import layer, made_up_run, scan_of

LAYERS = (("conv1", 8), ("fc1", 24))
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "x" * 10_000,
    "\u202eright to left\u2066",
    "</script><!--",
    "a\x00b\nc",
    "{{ 7 * 7 }}{% raw %}",
    "\ud800",
    "",
)


@pytest.fixture(autouse=True)
def _date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def twins(checkpoints: int = 9) -> list[DormancySeries]:
    cured = made_up_run("redo", checkpoints, layers=LAYERS, cured=True)
    return [made_up_run("dqn", checkpoints, layers=LAYERS), cured]


class Page(HTMLParser):
    """The elements of a page: (tag, attributes, text directly inside)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1][2].append(data)

    def all(self, tag: str) -> Iterator[tuple[dict[str, str | None], str]]:
        return ((attributes, "".join(text)) for name, attributes, text in self.elements if name == tag)


def data_of(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))  # type: ignore[union-attr]
    return loaded


def test_nothing_is_loaded_from_anywhere() -> None:
    page = Page(render_html(twins()))
    for tag, attributes, _ in page.elements:
        for name in ("src", "href", "data", "action", "poster", "srcset", "xlink:href"):
            target = attributes.get(name) or ""
            assert not target or target.startswith(("#", "data:")), (tag, name, target[:80])
    style = next(text for _, text in page.all("style"))
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    text = render_html(twins())
    page = Page(text)
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        body = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body[-1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert not any("style" in a or any(name.startswith("on") for name in a) for _, a, _ in page.elements)


def test_same_input_same_bytes() -> None:
    assert render_html(twins()) == render_html(twins())


def test_the_date_is_the_one_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "2023-11-14 22:13 UTC" in render_html(twins(1))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH='yesterday' is not a number of seconds"):
        render_html(twins(1))


def test_every_chart_has_its_number_in_words_and_its_table() -> None:
    text = render_html(twins())
    for figure in re.findall(r"<figure.*?</figure>", text, re.DOTALL):
        alts = re.findall(
            r'(?:aria-label|alt)="([^"]*)"', re.sub(r"<details.*?</details>|<ul.*?</ul>", "", figure, flags=re.DOTALL)
        )
        assert alts
        assert all(re.search(r"\d", alt) or "no value" in alt for alt in alts), alts
        assert "<details" in figure
        assert "<table" in figure


def test_headings_and_ids_are_in_order() -> None:
    page = Page(render_html(twins()))
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a, _ in page.all("a")]
    assert {link.removeprefix("#") for link in links if link} <= set(ids)


def test_the_data_is_in_the_page_as_json() -> None:
    series = twins()
    data = data_of(render_html(series))
    assert data["schema"] == "dormancy.report/1"
    lines = data["figures"]["dormancy-network-tau0"]["panels"][0]["lines"]
    np.testing.assert_allclose(lines[0]["y"], series[0].fractions(None, 0.1), rtol=1e-4)
    assert data["grids"][lines[0]["x"]] == list(series[0].steps)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_stay_text(name: str) -> None:
    def named(label: str) -> str:
        scans = [
            scan_of(
                layer(
                    label,
                    [0.0, 1.0, 2.0],
                    activation=label,
                    obstacle=f"at {label}",
                    caveat=f"of {label}",
                    penultimate=True,
                ),
                step=k,
                env_id=f"env {label}",
                warnings=(label,),
                measurements={label: Measurement(layers={label: 1.0}), "srank": Measurement(layers={label: 2.0})},
            )
            for k in range(3)
        ]
        series = DormancySeries.of(label, scans)
        return render_html([series, series], title=label)

    text, plain = named(name), named("fc1")
    text.encode("utf-8")
    tags = [tag for tag, _, _ in Page(text).elements]
    assert tags == [tag for tag, _, _ in Page(plain).elements]
    assert not any(character in text for character in "\u202e\u2066\x00")
    assert len(text) < 2 * len(plain)
    data_of(text)


def test_no_series_is_a_page_that_says_so() -> None:
    for series in ([], [DormancySeries.of("empty", [])]):
        text = render_html(series)
        assert "There is no checkpoint with neurons to report on" in text
        assert data_of(text)["figures"] == {}


def test_one_checkpoint_is_a_page_that_says_so() -> None:
    text = render_html([made_up_run(checkpoints=1, layers=LAYERS)])
    assert "Overlap compares checkpoints, and there is only one." in text
    assert "A course needs two or more." in text


def test_a_series_without_measurements_is_a_page_that_says_so() -> None:
    series = DormancySeries.of("bare", [scan_of(layer("fc1", [0.0, 2.0]), step=k) for k in range(3)])
    assert "No rank was measured in these scans" in render_html([series])


@pytest.mark.parametrize(
    "scores", [[np.nan] * 4, [0.0] * 4, [np.nan, 0.0, 1.0, 2.0], [1.0]], ids=["nan", "silent", "mixed", "one neuron"]
)
def test_odd_scores_are_a_page(scores: list[float]) -> None:
    rank = {"srank": Measurement(layers={"fc1": float("nan")}, detail={"singular_values": {"fc1": [0.0, 0.0]}})}
    scans = [scan_of(layer("fc1", scores, penultimate=True), step=k, measurements=rank) for k in range(3)]
    text = render_html([DormancySeries.of("odd", scans), made_up_run(checkpoints=4)])
    assert ("activations that are not finite" in text) == bool(np.isnan(scores).any())
    data_of(text)


def test_runs_of_different_networks_and_lengths_are_one_page() -> None:
    other = made_up_run("deep", 1, layers=(("conv1", 4), ("fc2", 6)))
    text = render_html([*twins(), other])
    assert "The runs are of different networks" in text
    assert "deep" in text


def test_fixture_sized_series_stay_small() -> None:
    series = [made_up_run("dqn", 12, taus=(0.1, 0.0)), made_up_run("redo", 12, taus=(0.1, 0.0), cured=True)]
    assert len(render_html(series).encode()) < 500_000


def test_five_thousand_neurons_at_five_hundred_checkpoints() -> None:
    layers = (("c1", 200), ("c2", 800), ("fc1", 4000))
    series = made_up_run(checkpoints=500, layers=layers, pace=0.008, taus=(0.1, 0.0), ranked=False)
    start = time.process_time()
    page = render_html([series]).encode()
    assert time.process_time() - start < 10
    assert len(page) < 3_000_000


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    assert write_html(target, twins(2)) == target
    before = target.read_bytes()
    assert before == render_html(twins(2)).encode()
    with pytest.raises(OutputError, match="already exists"):
        write_html(target, twins(3))
    assert target.read_bytes() == before
    write_html(target, twins(3), force=True)
    assert target.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_is_too_large_needs_to_be_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_BYTES", 1000)
    with pytest.raises(OutputError, match=r"report\.html: the report would take .* MB; .*--allow-large"):
        write_html(tmp_path / "report.html", twins(2))
    assert list(tmp_path.iterdir()) == []
    write_html(tmp_path / "report.html", twins(2), allow_large=True)


def test_a_live_page_loads_itself_again() -> None:
    assert '<meta http-equiv="refresh" content="30">' in render_html(twins(2), refresh=30)
    assert 'http-equiv="refresh"' not in render_html(twins(2))


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_text_has_enough_contrast_in_both_themes() -> None:
    """WCAG 2.2, 1.4.3 (AA): 4.5 for text, and 1.4.11: 3 for what a picture is made of."""
    style = next(text for _, text in Page(render_html(twins(1))).all("style"))
    light, dark = {}, {}
    for block in re.findall(
        r"(@media screen and \(prefers-color-scheme: ?dark\) ?{\s*)?:root ?{(.*?)}", style, re.DOTALL
    ):
        found = dict(re.findall(r"--([a-z]+(?:-\d)?): ?(#[0-9a-f]{6})", block[1]))
        (dark if block[0] else light).update(found)
    dark = {**light, **dark}
    for theme in (light, dark):
        for name in ("ink", "soft", "watch", "error", *(f"run-{slot}" for slot in range(6))):
            for paper in ("paper", "panel"):
                assert contrast(theme[name], theme[paper]) >= 4.5, (name, theme[name], theme[paper])
        for slot in range(6):
            assert contrast(theme[f"picture-{slot}"], theme["paper"]) >= 3, slot
