"""The report as one self-contained page: no network, no plotting library, the same bytes for the same input."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from dormancy.errors import OutputError
from dormancy.io.files import atomic_path
from dormancy.report.axis import columns_of
from dormancy.report.content.report import ReportView, build_view
from dormancy.report.content.runs import Records, Seen
from dormancy.report.model import Cell, Column, Figure, GalleryPanel, LinePanel, RasterPanel
from dormancy.report.palette import DARK, LIGHT, PICTURE
from dormancy.report.render.cells import cell_text, thinned
from dormancy.report.render.markup import element
from dormancy.report.render.page_data import as_json, figure_id, payload
from dormancy.report.render.png import data_uri, tile_uri
from dormancy.report.render.svg import NARROW, SMALL, TINY, WIDE, draw_lines, sparkline
from dormancy.scanning.series import DormancySeries
from dormancy.text.escape import printable
from dormancy.text.numbers import compact

__all__ = ["MOST_BYTES", "render_html", "write_html"]

MOST_BYTES = 10_000_000
BAR_WIDTH = 60


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _colour_rules() -> str:
    """Return the custom properties of both themes: one colour per slot."""
    light = "".join(f"--run-{slot}:{colour};--picture-{slot}:{PICTURE[slot]};" for slot, colour in enumerate(LIGHT))
    dark = "".join(f"--run-{slot}:{colour};" for slot, colour in enumerate(DARK))
    slots = "".join(f".run-{s}{{--run:var(--run-{s});--picture:var(--picture-{s})}}" for s in range(len(LIGHT)))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{slots}"


def _policy(style: str, script: str) -> str:
    """Return a content security policy that lets nothing run or load but this style and this script."""

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    allowed = f"style-src {digest(style)}; script-src {digest(script)}; img-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _cell(column: Column, cell: Cell, slot: int | None) -> Markup:
    """Write one cell: text, a number, a share with its bar, or a course in a word's space."""
    if column.kind == "trend" and isinstance(cell, np.ndarray):
        return sparkline(cell, slot or 0)
    text = cell_text(column, cell)
    if column.kind != "share" or not isinstance(cell, float) or not np.isfinite(cell):
        return Markup.escape(text)
    whole = element("rect", class_="grid", width=BAR_WIDTH, height=8)
    part = element("rect", class_="bar", width=f"{BAR_WIDTH * cell:.1f}", height=8)
    bar = element("svg", whole, part, class_=f"share run-{slot or 0}", viewBox=f"0 0 {BAR_WIDTH} 8", aria_hidden="true")
    return Markup("{} {}").format(bar, text)


def _sort_value(cell: Cell) -> str | None:
    """Return what a column of numbers sorts by; None where the text itself does."""
    return f"{cell:.9g}" if isinstance(cell, (int, float)) else None


def _charts(identity: str, figure: Figure, panel: LinePanel, index: int) -> Markup:
    """Draw a panel in the sizes that its figure needs: a wide one has a second drawing for phones."""
    names = {"data_figure": identity, "data_panel": index, "tabindex": 0}
    if not figure.wide:
        return draw_lines(panel, TINY if columns_of(len(figure.panels)) == 4 else SMALL, **names)
    return Markup("").join(
        element("div", draw_lines(panel, paper, **names), class_=size)
        for paper, size in ((WIDE, "wide"), (NARROW, "narrow"))
    )


def _ends(values: Sequence[int], most: int) -> list[str]:
    """Return the labels of at most `most` evenly spread columns, the first and the last among them."""
    last = len(values) - 1
    return [compact(values[place]) for place in sorted({round(p) for p in np.linspace(0, last, min(last + 1, most))})]


def _is_raster(panel: object) -> bool:
    return isinstance(panel, RasterPanel)


def _is_gallery(panel: object) -> bool:
    return isinstance(panel, GalleryPanel)


def _grouped(panels: Sequence[RasterPanel]) -> list[tuple[str, list[tuple[int, RasterPanel]]]]:
    """Put panels of one group together, each with its place among all panels."""
    return [(name, list(members)) for name, members in groupby(enumerate(panels), key=lambda one: one[1].group)]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dormancy.report.render"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals.update(
        cell=_cell,
        charts=_charts,
        columns_of=columns_of,
        data_uri=data_uri,
        element=element,
        ends=_ends,
        grouped=_grouped,
        sort_value=_sort_value,
        sparkline=sparkline,
        thinned=thinned,
        tile_uri=tile_uri,
    )
    environment.tests["raster"], environment.tests["gallery"] = _is_raster, _is_gallery
    return environment


def _context(view: ReportView, refresh: int | None) -> dict[str, Any]:
    style, script = _asset("report.css") + _colour_rules(), _asset("report.js")
    return {
        "view": view,
        "figure_id": lambda figure: figure_id(view, figure),
        "policy": _policy(style, script),
        "style": Markup(style),  # noqa: S704 - our own files, and colours of our own
        "script": Markup(script),  # noqa: S704
        "data": Markup(as_json(payload(view))),  # noqa: S704 - as_json leaves nothing that could end the element
        "refresh": refresh,
    }


def render_html(
    series: Sequence[DormancySeries],
    *,
    title: str | None = None,
    refresh: int | None = None,
    prunings: Sequence[Mapping[str, Any]] = (),
    records: Records = (),
    seen: Seen = (),
    notes: Sequence[str] = (),
    compare: str | None = None,
) -> str:
    """Return a page about one run, or about several side by side.

    `refresh` makes the page load itself again every so many seconds, for a report on a run that is still training.
    Names from files stay text whatever they contain. Series without checkpoints give a page that says so. `prunings`
    are results of `dormancy prune`, schema ``dormancy.prune/1``; `records`, `seen`, `notes` and `compare` as for
    `build_view`.
    """
    return _render(
        build_view(series, title=title, prunings=prunings, records=records, seen=seen, notes=notes, compare=compare),
        refresh,
    )


def _render(view: ReportView, refresh: int | None) -> str:
    return _environment().get_template("report.html.j2").render(_context(view, refresh))


def write_html(
    path: str | os.PathLike[str],
    series: Sequence[DormancySeries],
    force: bool = False,
    allow_large: bool = False,
    *,
    title: str | None = None,
    refresh: int | None = None,
    prunings: Sequence[Mapping[str, Any]] = (),
    records: Records = (),
    seen: Seen = (),
    notes: Sequence[str] = (),
    compare: str | None = None,
) -> Path:
    """Write `render_html` to a file, whole or not at all.

    Raises `OutputError` when the file exists and `force` is not given, when it cannot be written, and when it would be
    larger than 10 MB and `allow_large` is not given.
    """
    view = build_view(series, title=title, prunings=prunings, records=records, seen=seen, notes=notes, compare=compare)
    page = _render(view, refresh).encode("utf-8")
    if len(page) > MOST_BYTES and not allow_large:
        size = f"{len(page) / 1e6:.0f} MB"
        raise OutputError(
            f"{printable(path)}: the report would take {size}; scan fewer checkpoints, or use --allow-large"
        )
    with atomic_path(path, force) as temporary:
        temporary.write_bytes(page)
    return Path(path)
