"""What `dormancy report` writes, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from dormancy.errors import UsageError
from dormancy_cli.report.gather import Gathered
from dormancy_cli.shared.console import Reporter, write_result
from dormancy_cli.shared.text import counted

__all__ = ["FORMATS", "Target", "target_path"]

FORMATS = ("html", "md", "json", "csv", "parquet")


@final
@dataclass(frozen=True)
class Target:
    """What is written, and where; a path of None is standard output. `refresh` makes the page load itself again."""

    format: str
    path: Path | None
    figures: Path | None
    title: str | None
    force: bool
    allow_large: bool
    prunings: tuple[Mapping[str, Any], ...] = ()
    compare: str | None = None
    refresh: int | None = None

    def check(self) -> None:
        """Raise `UsageError` for what cannot be written, before any work is done."""
        if self.format == "parquet" and self.path is None:
            raise UsageError("parquet is not text: name a file with --output FILE.parquet")
        if self.format == "parquet":
            _require_parquet()

    def write(self, gathered: Gathered, reporter: Reporter) -> None:
        """Write figures, then the page or the tables; say where they are."""
        from dormancy.report import write_html, write_png

        series, beside = gathered.series, self._beside(gathered)
        if self.figures is not None:
            figures = write_png(self.figures, series, force=self.force, **beside)
            reporter.note(f"{self.figures}: {counted(len(figures), 'figure')}")
        beside |= {"notes": tuple(f"Not in this report: {failure}" for failure in gathered.failures)}
        if self.format == "html" and self.path is not None:
            page: dict[str, Any] = {"title": self.title, "refresh": self.refresh}
            write_html(self.path, series, self.force, self.allow_large, **page, **beside)
        elif self.format == "parquet" and self.path is not None:
            _write_parquet(gathered, self.path, force=self.force)
        else:
            write_result(self._text(gathered, beside), self.path, force=self.force)
        if self.path is not None:
            reporter.note(self.path)

    def _beside(self, gathered: Gathered) -> dict[str, Any]:
        known = {"records": gathered.records, "seen": gathered.seen}
        return {"prunings": self.prunings, "compare": self.compare, **known}

    def _text(self, gathered: Gathered, beside: Mapping[str, Any]) -> str:
        from dormancy.report import to_csv, to_json, to_markdown

        if self.format == "csv":
            return to_csv(gathered.series)
        write = to_json if self.format == "json" else to_markdown
        return write(gathered.series, title=self.title, **beside)


def target_path(format: str, output: Path | None) -> Path | None:
    """Return where to write: a page lies here unless told otherwise, tables go to standard output."""
    return Path("report.html") if output is None and format == "html" else output


def _require_parquet() -> None:
    try:
        import pyarrow  # noqa: F401 - only to see whether it is there
    except ImportError as error:
        raise UsageError(
            "pandas writes parquet with pyarrow, which is not installed: pip install 'dormancy[parquet]', or use csv"
        ) from error


def _write_parquet(gathered: Gathered, path: Path, *, force: bool) -> None:
    from dormancy.io import atomic_path
    from dormancy.report import to_frame

    frame = to_frame(gathered.series)
    with atomic_path(path, force=force) as temporary:
        frame.to_parquet(temporary, engine="pyarrow", index=False)
