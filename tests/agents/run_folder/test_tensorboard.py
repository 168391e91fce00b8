"""Event files of a real run, read back by TensorBoard itself, against what the run wrote about itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dormancy.scanning.scanner import scan_checkpoint
from dormancy_agents.run_folder.tensorboard import TensorBoard, curves
from dormancy_cli.main import run
from tests.agents.conftest import CARTPOLE, SMALL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tensorboard") / "run"
    redo = ["--recycler", "redo", "--redo-period", "40", "--redo-tau", "0.3"]
    assert run(["train", "dqn", *CARTPOLE, *SMALL, *redo, "--tensorboard", "--out", str(out), "-q"]) == 0
    return out


@pytest.fixture(scope="module")
def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "histograms": 0})
    found.Reload()
    return found


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def curve(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def expect(events: EventAccumulator, tag: str, expected: list[tuple[int, float]]) -> None:
    found = curve(events, tag)
    assert expected
    assert [step for step, _ in found] == [step for step, _ in expected]
    np.testing.assert_allclose([value for _, value in found], [value for _, value in expected], rtol=1e-6)


def test_every_row_is_a_point(folder: Path, events: EventAccumulator) -> None:
    episodes, learning = rows(folder, "episode"), rows(folder, "learning")
    expect(events, "episode/return", [(row["agent_step"], row["return"]) for row in episodes])
    losses = [(row["agent_step"], row["loss"]) for row in learning if row["loss"] is not None]
    expect(events, "learning/loss", losses)
    recycled = [(row["agent_step"], row["recycled"]["fc1"]) for row in rows(folder, "recycling")]
    expect(events, "recycling/recycled/fc1", recycled)


def test_dormancy_is_that_of_the_rows(folder: Path, events: EventAccumulator) -> None:
    scans = rows(folder, "dormancy")
    tau = next(iter(scans[0]["dormant_fraction"]))
    expect(events, f"dormancy/fraction@{tau}", [(row["agent_step"], row["dormant_fraction"][tau]) for row in scans])
    expect(
        events,
        f"dormancy/fraction@{tau}/fc1",
        [(row["agent_step"], row["layers"]["fc1"]["dormant_fraction"][tau]) for row in scans],
    )


def test_histograms_hold_the_scores_of_a_layer(folder: Path, events: EventAccumulator) -> None:
    step, histogram = ((each.step, each.histogram_value) for each in events.Histograms("dormancy/scores/fc1")).send(
        None
    )
    scan = scan_checkpoint(folder / "checkpoints" / f"step_{step:09d}.pt")
    scores = next(layer.scores for layer in scan.layers if layer.name == "fc1")
    assert histogram.num == scores.size
    assert histogram.sum == pytest.approx(scores.sum())
    assert (histogram.min, histogram.max) == pytest.approx((scores.min(), scores.max()))


def test_it_changes_nothing_else(folder: Path, tmp_path: Path) -> None:
    redo = ["--recycler", "redo", "--redo-period", "40", "--redo-tau", "0.3"]
    assert run(["train", "dqn", *CARTPOLE, *SMALL, *redo, "--out", str(tmp_path / "plain"), "-q"]) == 0
    assert not (tmp_path / "plain" / "tensorboard").exists()
    for kind in ("episode", "dormancy"):
        plain, watched = (
            [{**row, "wall_seconds": 0} for row in rows(each, kind)] for each in (tmp_path / "plain", folder)
        )
        assert plain == watched


def test_without_tensorboard_it_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(["train", "dqn", *CARTPOLE, *SMALL, "--tensorboard", "--out", str(tmp_path / "run"), "-q"]) == 2
    assert "pip install 'dormancy[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_only_numbers_are_curves(tmp_path: Path) -> None:
    values = {"name": "x", "flag": True, "none": None, "n": 2, "nested": {"a": {"b": 1.5}}}
    assert list(curves("k", values)) == [("k/n", 2.0), ("k/nested/a/b", 1.5)]
    board = TensorBoard(tmp_path)
    board.row("dormancy", 1, {"observations": 3})
    board.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Tags()["scalars"] == []
