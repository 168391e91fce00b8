"""Every figure as a PNG of publication size, drawn by matplotlib from the same plain data as the page."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dormancy.errors import OutputError
from dormancy.io.files import atomic_path, why_unwritable
from dormancy.report.axis import columns_of
from dormancy.report.content.report import ReportView, RunLabel, build_view
from dormancy.report.content.runs import Records, Seen
from dormancy.report.model import Figure, GalleryPanel, LinePanel, Panel, RasterPanel
from dormancy.report.palette import ERROR, LIGHT, PICTURE, blend
from dormancy.report.render.matplotlib_gallery import draw_gallery, gallery_rows
from dormancy.report.render.matplotlib_lines import DASHES, SOFT, STYLE, draw_lines, draw_raster
from dormancy.scanning.series import DormancySeries
from dormancy.text.escape import printable

__all__ = ["write_figure", "write_png"]

DPI = 200
PAGE_WIDTH = 7.2
"""The width of a page's text in inches: two columns of most journals."""


class _Grid(NamedTuple):
    """How the panels of a figure are laid out; `width` and `height` of one panel are in inches."""

    rows: int
    columns: int
    width: float
    height: float


def _columns(figure: Figure) -> tuple[int, float]:
    """Return how many panels stand side by side and how high each is."""
    first = figure.panels[0]
    if figure.wide:
        return 1, 2.9
    if isinstance(first, GalleryPanel):
        most = max(gallery_rows(panel) for panel in figure.panels if isinstance(panel, GalleryPanel))
        return (1, 0.32 * most + 0.3) if first.kind == "filters" else (2, 0.4 * most + 0.5)
    if isinstance(first, RasterPanel) and first.kind == "neurons":
        return min(len(figure.panels), 2), 2.4
    return (4, 2.6) if isinstance(first, RasterPanel) else (columns_of(len(figure.panels)), 1.9)


def _grid(figure: Figure) -> _Grid:
    columns, height = _columns(figure)
    return _Grid(math.ceil(len(figure.panels) / columns), columns, PAGE_WIDTH / columns, height)


def _title(panel: Panel) -> str:
    return "\n".join(filter(None, (panel.group, panel.title))) if isinstance(panel, RasterPanel) else panel.title


def _swatches(panel: Panel) -> list[Patch]:
    """Explain the ink of a picture, in the hue of its run."""
    if not isinstance(panel, RasterPanel):
        return []
    hue = PICTURE[panel.slot]
    return [
        Patch(fc=ERROR if one.error else blend(hue, one.ink), ec=SOFT, lw=0.4, label=one.label)
        for one in panel.scale.legend
        if panel.broken or not one.error
    ]


def _handles(figure: Figure, runs: Sequence[RunLabel]) -> list[Artist]:
    named = (
        len(runs) > 1 and figure.of_runs and isinstance(figure.panels[0], LinePanel)
    )  # a picture is titled with its run
    several = runs if named else ()
    colours = [Line2D([], [], color=LIGHT[run.slot], lw=2.5, label=run.label) for run in several]
    styles = [
        Line2D([], [], color=SOFT, ls=DASHES[style], label=meaning, alpha=0.5 if style == "faint" else 1, lw=1.2)
        for style, meaning in figure.legend
    ]
    return [*colours, *styles, *_swatches(figure.panels[0])]


def _heading(canvas: Canvas, figure: Figure, runs: Sequence[RunLabel]) -> None:
    tau = "" if figure.tau is None else f", tau = {figure.tau:g}"
    canvas.suptitle(f"{figure.title}{tau}", x=0.01, ha="left", fontsize=10, weight="bold")
    if handles := _handles(figure, runs):
        canvas.legend(
            handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=7, handlelength=1.6
        )


def _draw(figure: Figure, runs: Sequence[RunLabel]) -> Canvas:
    grid = _grid(figure)
    canvas = Canvas(figsize=(PAGE_WIDTH, grid.rows * grid.height + 0.5), layout="constrained")
    _heading(canvas, figure, runs)
    for place, panel in enumerate(figure.panels, start=1):
        axes = canvas.add_subplot(grid.rows, grid.columns, place)
        if isinstance(panel, RasterPanel):
            draw_raster(axes, panel)
        elif isinstance(panel, GalleryPanel):
            draw_gallery(axes, panel)
        else:
            draw_lines(axes, panel, grid.width, grid.height)
        if len(figure.panels) > 1:
            axes.set_title(_title(panel), loc="left", fontsize=8, weight="bold")
    return canvas


def _file_name(index: int, figure: Figure) -> str:
    tau = "" if figure.tau is None else f"-tau-{figure.tau:g}"
    return f"{index:02d}-{re.sub(r'[^a-z0-9]+', '-', figure.key)}{tau}.png"


def _files(view: ReportView, folder: Path) -> Iterator[tuple[Path, Figure]]:
    drawn = [figure for section in view.sections for figure in section.figures if figure.panels]
    for index, figure in enumerate(drawn, start=1):
        yield folder / _file_name(index, figure), figure


def write_figure(
    path: str | os.PathLike[str], figure: Figure, runs: Sequence[RunLabel] = (), force: bool = False
) -> None:
    """Write one figure as PNG; `runs` are named in its legend. Raises `OutputError` when the file cannot be written."""
    style: Any = STYLE
    # A font without some sign of a layer's name draws a box for it, and need not say so.
    with warnings.catch_warnings(), mpl.rc_context(style), atomic_path(path, force) as temporary:
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        _draw(figure, runs).savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(why_unwritable(folder, error)) from error
    return folder


def write_png(
    folder: str | os.PathLike[str],
    series: Sequence[DormancySeries],
    force: bool = False,
    *,
    prunings: Sequence[Mapping[str, Any]] = (),
    records: Records = (),
    seen: Seen = (),
    compare: str | None = None,
) -> list[Path]:
    """Write every figure of a report on these series into a folder, and return the files in the order of the report.

    Raises `OutputError` when a file exists and `force` is not given, before anything is written, and when the folder
    cannot be written to.
    """
    view = build_view(series, prunings=prunings, records=records, seen=seen, compare=compare)
    files = list(_files(view, _folder(folder)))
    taken = [path for path, _ in files if path.exists()]
    if taken and not force:
        raise OutputError(f"{printable(taken[0])}: already exists; choose another folder, or overwrite it with --force")
    for path, figure in files:
        write_figure(path, figure, view.runs, force)
    return [path for path, _ in files]
