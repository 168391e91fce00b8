"""The run folder: never in anybody's way, and always consistent."""

import json
from pathlib import Path

import pytest

from dormancy.errors import OutputError
from dormancy_agents.run_folder.folder import RunFolder


def test_a_file_in_the_way_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    with pytest.raises(OutputError, match="choose another --out"), RunFolder(path, {}):
        pass
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot be made"), RunFolder(tmp_path / "file" / "run", {}):
        pass


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {"algorithm": "dqn"}) as run:
        assert json.loads((tmp_path / "run.json").read_text())["status"] == "running"
        run.row("episode", 10, 2, **{"return": 1.5})
        rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[0]) | {"wall_seconds": 0} == {
        "kind": "episode",
        "agent_step": 10,
        "gradient_step": 2,
        "wall_seconds": 0,
        "return": 1.5,
    }
    found = json.loads((tmp_path / "run.json").read_text())
    assert (found["schema"], found["algorithm"], found["status"]) == ("dormancy.run/1", "dqn", "finished")


def test_how_a_run_failed_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), RunFolder(tmp_path, {}):
        raise ValueError("boom")
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "failed: ValueError: boom"
