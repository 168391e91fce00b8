"""Series of scans in, something to look at out: a page, figures, Markdown, JSON and CSV from the same plain data.

`write_html` and `write_png` write files, the others return text. Each is imported when it is first used: only
`write_png` needs matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dormancy.report.render.html import render_html, write_html
    from dormancy.report.render.matplotlib_figures import write_png
    from dormancy.report.render.text import to_csv, to_frame, to_json, to_markdown

__all__ = ["render_html", "to_csv", "to_frame", "to_json", "to_markdown", "write_html", "write_png"]

_HOMES = {
    "render_html": "render.html",
    "to_csv": "render.text",
    "to_frame": "render.text",
    "to_json": "render.text",
    "to_markdown": "render.text",
    "write_html": "render.html",
    "write_png": "render.matplotlib_figures",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
