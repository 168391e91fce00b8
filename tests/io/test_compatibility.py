"""Each row of docs/compatibility.md names a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dormancy.io.checkpoints.architecture.templates import TRUNKS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
HEADS = ("| file", "| templ", "| flag", "| what")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith(HEADS)]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split(" | ")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: cells(row)[0][:40])
def test_every_row_names_a_test_that_exists(row: str) -> None:
    found = re.fullmatch(r"`([\w/]+\.py)::(test_\w+)`", cells(row)[-1])
    assert found, row
    tree = ast.parse((ROOT / "tests" / found[1]).read_text(encoding="utf-8"))
    assert found[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_nothing_is_left_out() -> None:
    assert len(ROWS) >= 24
    assert all(re.search(rf"\b{name}\b", TEXT) for name in TRUNKS)
    flags = ("key", "arch", "activation", "input-scale", "layout", "model", "trust")
    assert all(any(cells(row)[0].startswith(f"`--{flag}") for row in ROWS) for flag in flags)
