"""Rows are appended whole, whatever the disk does."""

import errno
import json
import os
from pathlib import Path

import pytest

from dormancy.errors import FileError
from dormancy_agents.run_folder.metrics_file import MetricsFile


def opened(path: Path, size: int = 0) -> tuple[MetricsFile, list[str]]:
    warnings: list[str] = []
    return MetricsFile(path, warnings.append, size), warnings


def test_rows_wait_for_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "metrics.jsonl", os.write
    metrics, warnings = opened(path)
    metrics.append({"row": 1})

    def half(descriptor: int, data: bytes) -> int:
        write(descriptor, bytes(data)[:4])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        metrics.append({"row": 2})
        assert path.read_text() == '{"row": 1}\n'
    assert len(warnings) == 1
    assert "disk full" in warnings[0]
    metrics.append({"row": 3})
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == [1, 2, 3]
    assert metrics.size == path.stat().st_size
    metrics.close()


def test_later_rows_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"row": 1}\n{"row": 2}\n{"ro')
    metrics, _ = opened(path, size=11)
    metrics.append({"row": 3})
    metrics.flush()
    metrics.close()
    assert path.read_text() == '{"row": 1}\n{"row": 3}\n'


def test_a_file_that_lost_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("{}\n")
    with pytest.raises(FileError, match="shorter"):
        opened(path, size=10)


def test_what_cannot_be_written_at_the_end_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, warnings = opened(tmp_path / "metrics.jsonl")

    def refused(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refused)
    metrics.append({"row": 1})
    metrics.close()
    assert "rows wait in memory" in warnings[0]
    assert "its last rows are lost" in warnings[1]
