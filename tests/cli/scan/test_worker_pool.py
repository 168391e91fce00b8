"""`--jobs`: the same result in the same order, whatever happens to a process; nothing is left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from dormancy.errors import InputError
from dormancy_cli.scan.tasks import Done, ScanOptions, Task
from dormancy_cli.scan.worker_pool import run_all
from tests.cli.runs import Dormancy, write_checkpoint


def test_several_processes_give_the_same_bytes_and_the_same_errors(
    dormancy: Dormancy, series_folder: Path, broken: Path
) -> None:
    arguments = ("scan", broken, series_folder, "no-such-file.pt", "--format", "json")
    alone, together = dormancy(*arguments), dormancy(*arguments, "--jobs", 2)
    assert together == alone
    assert together.code == 4
    assert not multiprocessing.active_children()


def test_a_wrong_option_ends_all_processes(dormancy: Dormancy, series_folder: Path) -> None:
    result = dormancy("scan", series_folder, "--layers", "conv", "--jobs", 2)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert not multiprocessing.active_children()


class Fatal:
    """A task that ends the process which takes it, as one that runs out of memory is ended."""

    path = Path("fatal.pt")

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return os._exit, (9,)


def test_a_process_that_dies_takes_only_its_checkpoint(series_folder: Path) -> None:
    paths = sorted((series_folder / "checkpoints").iterdir())
    tasks = [Task(path, ScanOptions()) for path in paths]
    tasks.insert(1, cast(Task, Fatal()))
    answers = [answer for _, answer in run_all(tasks, 2)]
    assert [type(answer) for answer in answers] == [Done, InputError, Done, Done]
    assert "ended with code 9" in str(answers[1])
    steps = [json.loads(answer.text)["agent_step"] for answer in answers if isinstance(answer, Done)]
    assert steps == [1000, 2000, 3000]


def test_a_bug_in_a_process_keeps_its_traceback(series_folder: Path) -> None:
    (path,) = (series_folder / "checkpoints").glob("*1000.pt")
    odd = Task(path, ScanOptions(batch_size=cast(int, "many")))
    with pytest.raises(RuntimeError, match=r"(?s)in a process of --jobs:.*Traceback"):
        list(run_all([odd, odd], 2))
    assert not multiprocessing.active_children()


@pytest.fixture
def long_run(tmp_path: Path) -> Path:
    """A run of forty checkpoints: long enough to be interrupted."""
    for step in range(40):
        write_checkpoint(tmp_path / "long", step, (step % 8, step % 4))
    return tmp_path / "long"


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dormancy_cli", "scan", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_scans(folder: Path, count: int, process: subprocess.Popen[str]) -> list[Path]:
    """Wait until so many scans are kept; fails where the process ends before."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        found = list(folder.glob("*.scan.json"))
        if len(found) >= count:
            return found
        assert process.poll() is None, "it was done before it could be interrupted"
        time.sleep(0.001)
    raise AssertionError("nothing was kept")


def is_gone(group: int) -> bool:
    """Whether no process of a group is left, also of those that end a moment later."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_scan_that_is_killed_goes_on_where_it_was(dormancy: Dormancy, long_run: Path, tmp_path: Path) -> None:
    output, partial = tmp_path / "out.json", tmp_path / "out.json.partial"
    process = start(long_run, "-o", output, "--jobs", 2)
    wait_for_scans(partial, 3, process)
    process.kill()
    process.communicate()
    assert is_gone(process.pid)
    kept = {path: path.stat().st_mtime_ns for path in partial.glob("*.scan.json")}
    assert 3 <= len(kept) < 40
    assert not output.exists()

    expected = dormancy("scan", long_run, "--format", "json").out
    result = dormancy("scan", long_run, "-o", output)
    assert result.code == 0
    assert f"out.json.partial: {len(kept)} of 40 scans were taken from there" in result.err
    assert output.read_text() == expected
    assert not partial.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"long", "out.json"}


def test_an_interrupt_is_clean(long_run: Path, tmp_path: Path) -> None:
    output, partial = tmp_path / "out.json", tmp_path / "out.json.partial"
    process = start(long_run, "-o", output, "--jobs", 2)
    wait_for_scans(partial, 1, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines() == [
        f"{partial}: what was scanned is kept; the same command goes on from there",
        "error: interrupted",
    ]
    assert is_gone(process.pid)
    assert not output.exists()
