"""Run folders: what is read of a run's own account, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dormancy.errors import FileError, FormatError
from dormancy.io import read_training

EPISODE = '{"kind": "episode", "agent_step": %d, "return": %s}\n'
EVALUATION = '{"kind": "evaluation", "agent_step": %d, "returns": %s}\n'
FIXTURES = Path(__file__).parents[3] / "fixtures"


def folder(tmp_path: Path, metrics: str | None, about: object = None) -> Path:
    if metrics is not None:
        (tmp_path / "metrics.jsonl").write_text(metrics)
    if about is not None:
        (tmp_path / "run.json").write_text(json.dumps(about))
    return tmp_path


def test_episodes_are_read_and_other_rows_only_move_the_clock(tmp_path: Path) -> None:
    text = EPISODE % (10, 3.5) + '{"kind": "learning", "agent_step": 12}\n' + EPISODE % (20, -1)
    record = read_training(folder(tmp_path, text + '{"kind": "learning", "agent_step": 31}\n'))
    assert record is not None
    assert record.steps.tolist() == [10.0, 20.0]
    assert record.returns.tolist() == [3.5, -1.0]
    assert record.last_step == 31


def test_evaluations_are_read_apart_from_the_episodes_of_training(tmp_path: Path) -> None:
    text = EPISODE % (10, 3.5) + EVALUATION % (20, "[1, 2.5]") + EPISODE % (20, 9) + EVALUATION % (40, "[-3]")
    record = read_training(folder(tmp_path, text))
    assert record is not None
    assert [(each.agent_step, each.returns.tolist()) for each in record.evaluations] == [(20, [1.0, 2.5]), (40, [-3.0])]
    assert record.returns.tolist() == [3.5, 9.0]
    assert record.last_step == 40


def test_the_configuration_comes_from_run_json(tmp_path: Path) -> None:
    about = {"schema": "dormancy.run/1", "algorithm": "dqn", "config": {"seed": 4}}
    record = read_training(folder(tmp_path, None, about))
    assert record is not None
    assert record.config == {"algorithm": "dqn", "seed": 4}
    assert record.returns.size == 0


@pytest.mark.parametrize(
    "tail", ['{"kind": "episode", "agent', "{}", '{"kind": "episode", "agent_step": 9, "return": 1}']
)
def test_a_last_line_without_its_end_is_still_being_written(tmp_path: Path, tail: str) -> None:
    record = read_training(folder(tmp_path, EPISODE % (10, 3) + tail))
    assert record is not None
    assert record.returns.tolist() == [3.0]


@pytest.mark.parametrize("metrics", ["", '{"kind": "epi'])
def test_a_run_that_has_only_just_begun(tmp_path: Path, metrics: str) -> None:
    record = read_training(folder(tmp_path, metrics))
    assert record is not None
    assert (record.returns.size, record.last_step) == (0, 0)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert read_training(tmp_path) is None


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "7",
        "",
        "{}",
        '{"kind": "episode", "agent_step": 5}',
        '{"kind": "episode", "agent_step": 5, "return": NaN}',
        '{"kind": "episode", "agent_step": 5, "return": "12"}',
        '{"kind": "episode", "agent_step": 5, "return": true}',
        '{"kind": "episode", "agent_step": -5, "return": 1}',
        '{"kind": "episode", "agent_step": 1.5, "return": 1}',
        '{"kind": "episode", "agent_step": 3, "return": 1}',
        '{"kind": "episode", "agent_step": 1' + "0" * 400 + ', "return": 1}',
        '{"kind": "episode", "agent_step": 5, "return": 1' + "0" * 400 + "}",
        '{"kind": "evaluation", "agent_step": 5}',
        '{"kind": "evaluation", "agent_step": 5, "returns": []}',
        '{"kind": "evaluation", "agent_step": 5, "returns": 3}',
        '{"kind": "evaluation", "agent_step": 5, "returns": [1, NaN]}',
        '{"kind": "evaluation", "agent_step": 5, "returns": [1, "2"]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    where = folder(tmp_path, EPISODE % (4, 1) + line + "\n" + EPISODE % (9, 1))
    with pytest.raises(FormatError, match=r"metrics\.jsonl, line 2: .*; correct or remove the line$"):
        read_training(where)


def test_a_description_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"run\.json: no description"):
        read_training(folder(tmp_path, None, {"schema": "other"}))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(FileError, match="not JSON"):
        read_training(tmp_path)
    (tmp_path / "run.json").write_bytes(b"\xff")
    with pytest.raises(FileError, match="cannot be read"):
        read_training(tmp_path)


def test_the_fixture_runs_hold_what_their_trainer_wrote() -> None:
    record = read_training(FIXTURES / "breakout-redo")
    assert record is not None
    lines = (FIXTURES / "breakout-redo" / "metrics.jsonl").read_text().splitlines()
    assert record.returns.size == sum('"kind": "episode"' in line for line in lines)
    assert record.config["recycler"] == "redo"
