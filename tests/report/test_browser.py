"""The page in a real Chromium: what it loads, what it says, how it behaves. Runs in `make test-browser`.

Screenshots are kept in the folder that DORMANCY_SCREENSHOTS names, for somebody to look at.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect, sync_playwright

from dormancy.io import TrainingRecord
from dormancy.report import write_html
from dormancy.scanning.series import DormancySeries
from tests.report.content.test_activation_maps_section import made_up_view
from tests.report.runs import layer, made_up_run, scan_of

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 120_000
"""Milliseconds: a busy machine is no reason to fail."""

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
expect.set_options(timeout=20_000)
Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    assert executable, "no Chromium found; install one (Debian, Ubuntu: apt-get install chromium)"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = [made_up_run("breakout-dqn", 24), made_up_run("breakout-redo", 24, pace=0.05, cured=True)]
    seen = [made_up_view(run, seed) for seed, run in enumerate(runs)]
    return write_html(tmp_path_factory.mktemp("report") / "report.html", runs, seen=seen)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Open pages; when the test is over, none of them may have complained or asked for anything."""
    complaints: list[str] = []

    def complain(what: ConsoleMessage | Error | Request) -> None:
        complaints.append(str(getattr(what, "text", None) or getattr(what, "url", None) or what)[:300])

    def asked(request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")) and not request.is_navigation_request():
            complain(request)

    def opened(path: Path, width: int = 1200, scheme: str = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page.on("console", complain)
        page.on("pageerror", complain)
        page.on("request", asked)
        page.goto(path.as_uri())
        return page

    yield opened
    for context in browser.contexts:
        context.close()
    assert complaints == []


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("DORMANCY_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True, timeout=PATIENCE)


def column(page: Page, label: str) -> list[str]:
    heads = [re.sub(r"\s+", " ", head) for head in page.locator("table.sortable thead th").all_inner_texts()]
    return page.locator(f"table.sortable tbody td:nth-child({heads.index(label) + 1})").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 768, 360])
def test_it_fits_every_width_in_both_themes(open_page: Opener, report: Path, width: int, scheme: str) -> None:
    page = open_page(report, width, scheme)
    assert page.evaluate(OVERFLOW) <= 0
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    assert page.locator("svg.chart:visible").count() > 10
    keep(page, f"{scheme}-{width}")


def test_pictures_are_decoded(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    sizes = page.evaluate("[...document.images].map((image) => [image.naturalWidth, image.naturalHeight])")
    assert [24, 512] in sizes
    assert all(width > 0 and height > 0 for width, height in sizes)


def test_text_is_never_too_small_nor_cut_off(open_page: Opener, report: Path) -> None:
    """Every label of every chart is drawn at 7.5 pixels or more, and inside the window."""
    measure = """() => [...document.querySelectorAll("svg.chart text")].filter((t) => t.getClientRects().length)
        .map((t) => [t.textContent, t.getBoundingClientRect().height, t.getBoundingClientRect().right])"""
    for width in (1200, 768, 360):
        found = open_page(report, width).evaluate(measure)
        assert found
        assert [text for text, height, right in found if height < 7.5 or right > width] == []


def test_tau_switches_every_number(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    assert page.locator(".taus input:checked").get_attribute("value") == "0.1"
    before = page.locator(".headline:visible").all_inner_texts()
    page.locator(".taus input[value='0.1']").press("ArrowLeft")
    after = page.locator(".headline:visible").all_inner_texts()
    assert all("tau = 0.1" in text for text in before)
    assert all("tau = 0.025" in text for text in after)
    expect(page.locator("#dormancy-network-tau0")).to_be_hidden()
    expect(page.locator("#dormancy-network-tau2")).to_be_visible()
    keep(page, "tau")


def test_the_table_sorts_by_number_and_by_name(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    head = page.locator("table.sortable th", has_text="dormant, tau")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    shares = [float(text.replace("<", "").split()[0]) for text in column(page, "dormant, tau 0.1")]
    assert shares == sorted(shares, reverse=True)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    shares = [float(text.replace("<", "").split()[0]) for text in column(page, "dormant, tau 0.1")]
    assert shares == sorted(shares)
    page.locator("table.sortable th button", has_text="layer").click()
    assert column(page, "layer") == sorted(column(page, "layer"))
    assert page.locator("table.sortable tfoot tr").first.inner_text().startswith("whole network")


def test_rows_without_a_number_come_last(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    for _ in range(2):
        page.locator("table.sortable th button", has_text="srank").click()
        assert [text == "–" for text in column(page, "srank")] == [False, False] + [True] * 6


def test_the_neuron_under_the_pointer_is_named_with_its_history(open_page: Opener, tmp_path: Path) -> None:
    scores = [[0.0, 2.0, 1.0], [0.05, 2.0, 0.5], [1.5, 1.0, 0.5], [0.0, 2.0, 1.0]]
    scans = [scan_of(layer("fc1", row), step=1000 * k) for k, row in enumerate(scores)]
    page = open_page(write_html(tmp_path / "r.html", [DormancySeries.of("dqn", scans)]))
    image = page.locator("#neurons-0 img")
    box = image.bounding_box()
    assert box
    output = page.locator("#neurons-0 output")
    image.hover(position={"x": box["width"] * 0.4, "y": box["height"] * 0.1})
    expect(page.locator(".tip")).to_contain_text(re.compile(r"neuron 0.*agent step 1.000: score 0\.0\d* to 0\.05\d*"))
    expect(output).to_have_text(
        re.compile(r"Neuron 0: dormant at 3 of 4 checkpoints at tau = 0.1, since agent step 3.000 \(1 in a row\)")
    )
    image.click(position={"x": 5, "y": box["height"] * 0.9})
    expect(page.locator("#neurons-0 input")).to_have_value("1")
    expect(output).to_contain_text("Neuron 1: never dormant at tau = 0.1")
    expect(page.locator("#neurons-0 .mark")).to_have_count(1)


def test_a_neuron_can_be_picked_with_the_keyboard(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    field, output = page.locator("#neurons-3 input"), page.locator("#neurons-3 output")
    field.press("Tab")
    field.fill("137")
    expect(output).to_contain_text("breakout-dqn. Neuron 137: ")
    expect(page.locator("#neurons-3 svg.history")).to_be_visible()
    page.locator("#neurons-3 select").select_option("1")
    expect(output).to_contain_text("breakout-redo. Neuron 137: ")
    field.fill("9999")
    expect(output).to_contain_text("No neuron 9999: they are numbered 0 to 511.")


def test_a_picked_neuron_shows_its_filter_and_its_maps(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    row = page.locator("tr[data-of='neurons-0'][data-panel='1']").first
    neuron, maps = row.get_attribute("data-neuron"), row.locator("img").count()
    assert neuron is not None
    page.locator("#neurons-0 select").select_option("1")
    page.locator("#neurons-0 input").fill(neuron)
    shown = page.locator("#neurons-0 .close img")
    expect(shown).to_have_count(1 + maps)
    expect(page.locator("#neurons-0 .close figcaption").first).to_have_text(re.compile(f"Filter of neuron {neuron}: "))
    expect(page.locator("#neurons-0 .close figcaption").last).to_have_text(re.compile(rf"Map of neuron {neuron} .*\d"))
    keep(page, "picked")
    drawn = {one.get_attribute("data-neuron") for one in page.locator("tr[data-of='neurons-0'][data-panel='1']").all()}
    other = next(str(one) for one in range(32) if str(one) not in drawn)
    page.locator("#neurons-0 input").fill(other)
    expect(shown).to_have_count(1)
    expect(page.locator("#neurons-0 .close")).to_contain_text(f"--neurons LAYER:{other}")
    page.locator("#neurons-3 input").fill("5")
    expect(page.locator("#neurons-3 .close")).to_have_count(0)


def test_a_neuron_that_woke_again_can_be_picked(open_page: Opener, tmp_path: Path) -> None:
    scans = [scan_of(layer("fc1", row), step=k) for k, row in enumerate([[0.0, 2.0], [1.0, 1.0]])]
    page = open_page(write_html(tmp_path / "r.html", [DormancySeries.of("dqn", scans)]))
    page.locator("#neurons-0 input").fill("0")
    expect(page.locator("#neurons-0 output")).to_contain_text("dormant at 1 of 2 checkpoints at tau = 0.1, not now;")


def test_the_history_that_is_told_is_that_of_the_series(open_page: Opener, report: Path) -> None:
    """The script reads the pixels of the picture; what it says must be what the scores say."""
    page, run = open_page(report), made_up_run("breakout-dqn", 24)
    times = run.dormant("fc1", 0.1).sum(axis=0)
    for neuron in (0, 99, 511, int(times.argmax())):
        page.locator("#neurons-3 input").fill(str(neuron))
        told = f"dormant at {times[neuron]} of 24 checkpoints" if times[neuron] else "never dormant"
        expect(page.locator("#neurons-3 output")).to_contain_text(f"Neuron {neuron}: {told}")


def test_values_can_be_read_off_a_curve(open_page: Opener, report: Path) -> None:
    page, run = open_page(report), made_up_run("breakout-dqn", 24)
    chart = page.locator("#dormancy-network-tau0 .wide svg")
    chart.focus()
    chart.press("ArrowLeft")
    last = f"breakout-dqn: {100 * run.fractions(None, 0.1)[-1]:.0f} %"
    expect(page.locator(".tip")).to_contain_text(last)
    chart.press("ArrowLeft")
    expect(page.locator(".tip")).to_contain_text("agent step 1\u202f100\u202f000")
    chart.press("Escape")
    expect(page.locator(".tip")).to_be_hidden()
    chart.hover()
    expect(page.locator(".tip")).to_be_visible()
    keep(page, "curve")


def test_overlaps_can_be_read_off_a_picture(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    image = page.locator("#overlap-pairs-tau0 img").first
    box = image.bounding_box()
    assert box
    image.hover(position={"x": box["width"] - 3, "y": 3})
    expect(page.locator(".tip")).to_contain_text(re.compile(r"0 with 1.150.000measured: \d+ %"))
    image.hover(position={"x": 3, "y": box["height"] - 3})
    expect(page.locator(".tip")).to_contain_text(re.compile(r"by chance: \d+ %"))


def test_everything_can_be_reached_by_keyboard(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName.toLowerCase()"))
    assert {"a", "input", "button", "svg", "summary"} <= seen


def test_it_prints_light_and_whole(open_page: Opener, report: Path) -> None:
    page = open_page(report, scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(page.locator("nav")).to_be_hidden()
    page.set_viewport_size({"width": 718, "height": 1040})  # A4 without its margins
    assert page.evaluate(OVERFLOW) <= 0
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) < 15
    keep(page, "print")


def test_it_can_be_read_without_scripts(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    expect(page.locator(".headline:visible")).to_have_count(2)
    expect(page.locator("#dormancy-network-tau0")).to_be_visible()
    expect(page.locator("fieldset.taus")).to_be_hidden()
    context.close()


@pytest.mark.parametrize("width", [1200, 360])
def test_hostile_names_run_nothing_and_break_nothing(open_page: Opener, tmp_path: Path, width: int) -> None:
    names = (
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(1)</script>",
        "x" * 10_000,
        "\u202eabc",
        "long name " * 9,
    )
    found = tuple(layer(name, [0.0, 1.0, 2.0], obstacle=name) for name in names)
    runs = [DormancySeries.of(name, [scan_of(*found, step=k, env_id=name) for k in range(4)]) for name in names[:3]]
    page = open_page(write_html(tmp_path / "hostile.html", runs, title=names[1]), width)
    page.on("dialog", lambda dialog: pytest.fail(f"a name opened a dialogue: {dialog.message}"))
    assert page.evaluate(OVERFLOW) <= 0
    assert page.locator("script").count() == 2
    assert page.locator("table.sortable tbody tr").count() == 15
    keep(page, f"hostile-{width}")


@pytest.mark.parametrize("width", [1200, 360])
def test_a_comparison_over_seeds(open_page: Opener, tmp_path: Path, width: int) -> None:
    runs = [made_up_run(f"run{k}", 8, seed=k, cured=k > 2) for k in range(6)]
    steps = np.linspace(4_000.0, 400_000.0, 100)
    records = [
        TrainingRecord({"seed": k % 3, "redo": k > 2}, steps, steps * (1 + 0.1 * k) / 1e5, 400_000) for k in range(6)
    ]
    page = open_page(write_html(tmp_path / "compared.html", runs, records=records, compare="redo"), width)
    assert page.evaluate(OVERFLOW) <= 0
    expect(page.locator("#returns-improvement td", has_text="redo true over redo false")).to_be_visible()
    chart = page.locator("#returns .wide svg" if width > 600 else "#returns .narrow svg").first
    chart.focus()
    chart.press("ArrowLeft")
    expect(page.locator(".tip")).to_contain_text("redo false")
    keep(page, f"compared-{width}")


def test_a_live_page_keeps_what_was_chosen_and_can_be_paused(open_page: Opener, tmp_path: Path) -> None:
    page = open_page(write_html(tmp_path / "live.html", [made_up_run("dqn", 4, layers=(("fc1", 8),))], refresh=9))
    with page.expect_navigation(timeout=PATIENCE):
        page.locator("#neurons-0 input").fill("5")
        page.locator(".taus input[value='0.1']").press("ArrowLeft")
    expect(page.locator("#neurons-0 input")).to_have_value("5")
    expect(page.locator(".taus input:checked")).to_have_value("0.025")
    page.locator(".live input").check()
    loaded = page.evaluate("performance.timeOrigin")
    page.wait_for_timeout(11_000)
    assert page.evaluate("performance.timeOrigin") == loaded


def test_thin_reports_have_no_complaint(open_page: Opener, tmp_path: Path) -> None:
    bare = DormancySeries.of("bare", [scan_of(layer("fc1", [float("nan"), 0.0]), step=None)])
    for name, runs in {"empty": [], "one": [made_up_run(checkpoints=1)], "bare": [bare]}.items():
        page = open_page(write_html(tmp_path / f"{name}.html", runs), 360)
        assert page.evaluate(OVERFLOW) <= 0
        keep(page, name)
