"""DormancyScan and series in, a page to look at out: HTML, PNG, Markdown, JSON and CSV from the same figures."""

from dormancy.report.html import render_html, write_html

__all__ = ["render_html", "write_html"]
