"""`dormancy inspect` and `dormancy scan` on other people's files: partial sheets, the flags they name, `--trust`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dormancy.io import ReplaySample, save_sample
from tests.cli.runs import Dormancy
from tests.io.checkpoints.recorded_outputs import FOLDER, inputs


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A sample of the observations and actions that the small networks were asked about."""
    given = {name: values.numpy() for name, values in inputs("script_critic.pt|").items()}
    path = tmp_path / "rows.h5"
    save_sample(path, ReplaySample(given["observations"], actions=given["actions"]))
    return path


def test_a_file_that_cannot_be_placed_gets_a_partial_sheet(dormancy: Dormancy) -> None:
    result = dormancy("inspect", FOLDER / "td3.cleanrl_model")
    assert (result.code, result.err) == (3, "")
    assert "cannot be told without more flags" in result.out
    assert f"look at it with: dormancy scan {FOLDER / 'td3.cleanrl_model'} --key 0" in result.out
    assert "needs: its nonlinearity cannot be told from parameters" in result.out
    assert "fc1.weight" in result.out
    assert "choose one with --key: '0', '1'" in result.out


def test_the_partial_sheet_as_json(dormancy: Dormancy) -> None:
    result = dormancy("inspect", FOLDER / "td3.cleanrl_model", "--format", "json")
    (found,) = json.loads(result.out)["files"]
    assert (result.code, found["complete"], found["format"]) == (3, False, "state_dict")
    assert [network["key"] for network in found["networks"]] == ["0", "1"]
    assert found["networks"][0]["missing"] is None
    assert found["networks"][0]["command"] == f"dormancy scan {FOLDER / 'td3.cleanrl_model'} --key 0"
    assert found["networks"][0]["parameters"][0]["name"] == "action_scale"


def test_the_flags_that_the_sheet_names_are_enough(dormancy: Dormancy, rows: Path) -> None:
    path = FOLDER / "td3.cleanrl_model"
    assert dormancy("inspect", path, "--key", "1", "--activation", "relu").code == 0
    assert dormancy("scan", path, "--key", "1", "--activation", "relu", "--sample", rows).code == 0
    assert dormancy("scan", path, "--key", "0", "--sample", rows).code == 0


def test_one_partial_sheet_among_others_is_code_4(dormancy: Dormancy) -> None:
    result = dormancy("inspect", FOLDER / "td3.cleanrl_model", FOLDER / "sb3_dqn.zip")
    assert result.code == 4
    assert "q_net" in result.out


@pytest.mark.parametrize("name", ["script_critic.pt", "export_critic.pt2"])
def test_programs_need_trust(name: str, dormancy: Dormancy, rows: Path) -> None:
    for command in ("scan", "prune"):
        refused = dormancy(command, FOLDER / name, "--sample", rows)
        assert refused.code == 3
        assert refused.err.count("\n") == 1
        assert "refused without --trust" in refused.err
    assert "refused without --trust" in dormancy("inspect", FOLDER / name).err
    trusted = dormancy("scan", FOLDER / name, "--trust", "--sample", rows, "--format", "json")
    assert trusted.code == 0, trusted.err
    assert "the program itself, which was run" in trusted.out
    sheet = dormancy("inspect", FOLDER / name, "--trust")
    assert sheet.code == 0
    assert f"dormancy scan {FOLDER / name} --trust --sample FILE.h5" in sheet.out
    assert ("cannot be traced" in sheet.out) == name.startswith("script")  # an exported program says what it takes
    assert dormancy("prune", FOLDER / name, "--trust", "--sample", rows, "--dry-run", "--draws", "0").code == 0


def test_a_whole_network_is_inspected_and_scanned(dormancy: Dormancy, rows: Path) -> None:
    path = FOLDER / "module_agent.pt"
    sheet = dormancy("inspect", path)
    assert sheet.code == 3
    assert "--key actor/body" in sheet.out
    assert dormancy("scan", path, "--key", "actor/body", "--sample", rows).code == 0
    assert "file: not run" in dormancy("inspect", path, "--key", "actor/body").out


def test_a_flax_file_is_inspected_and_scanned(dormancy: Dormancy, rows: Path) -> None:
    path = FOLDER / "flax_state.msgpack"
    assert "add --activation relu" in dormancy("inspect", path).out
    result = dormancy("scan", path, "--activation", "relu", "--sample", rows)
    assert result.code == 0
    assert "Dense_0" in result.out


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["sb3_dqn.zip", "sb3_qrdqn.zip"], 0),
        (["sb3_dqn.zip", "note.zip"], 0),
        (["sb3_dqn.zip", "efficient.safetensors"], 3),
        (["note.zip"], 3),
    ],
)
def test_folders_of_other_libraries_are_listed_where_that_is_clear(
    names: list[str], code: int, dormancy: Dormancy, tmp_path: Path, rows: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for name in names:
        shutil.copy(FOLDER / name if (FOLDER / name).exists() else rows, folder / name)
    result = dormancy("scan", folder, "--sample", rows)
    assert result.code == code, result.err
    if "efficient.safetensors" in names:
        assert "holds checkpoints of several kinds (*.safetensors, *.zip); name one kind" in result.err
