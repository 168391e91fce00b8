"""Actions of critics that Stable-Baselines3 saved: scaled to [-1, 1] before training."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from dormancy.io import Hints, load_checkpoint

SAC = Path(__file__).parents[4] / "fixtures" / "foreign" / "sb3_sac.zip"


def with_bounds(folder: Path, low: str, high: str) -> Path:
    """Write the agent again, for an environment whose actions are between `low` and `high`."""
    path = folder / "agent.zip"
    with zipfile.ZipFile(SAC) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                data = json.loads(content)
                data["action_space"] |= {"low": low, "high": high}
                content = json.dumps(data).encode()
            new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("low", "high", "doubted"),
    [
        ("[-1. -1.]", "[1. 1.]", False),
        ("[-2. -2.]", "[2. 2.]", True),
        ("[-1. -2.]", "[1. 2.]", True),
        ("[0. 0.]", "[1. 1.]", True),
        ("[-1. ... -1.]", "[1. ... 1.]", True),
        ("[-inf -inf]", "[inf inf]", True),
    ],
)
def test_actions_of_a_critic_are_doubted_unless_they_are_scaled(
    tmp_path: Path, low: str, high: str, doubted: bool
) -> None:
    path = with_bounds(tmp_path, low, high)
    origins = [said.origin for said in load_checkpoint(path, hints=Hints(key="critic")).assumptions]
    assert ("not certain: stable-baselines3" in origins) == doubted
    assert "not certain: stable-baselines3" not in str(load_checkpoint(path, hints=Hints(key="actor")).assumptions)
