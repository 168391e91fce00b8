"""Short real runs through the command line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from dormancy.io import load_checkpoint
from dormancy_cli.main import run

CARTPOLE = [
    "--env",
    "CartPole-v1",
    "--steps",
    "600",
    "--warmup",
    "100",
    "--checkpoint-period",
    "200",
    "--log-period",
    "30",
]
SMALL = ["--sample-size", "64", "--threads", "1", "--set", "batch_size=8", "--set", "metrics_period_agent_steps=100"]
BREAKOUT = [
    "--env",
    "ALE/Breakout-v5",
    "--steps",
    "300",
    "--warmup",
    "100",
    "--width",
    "0.1",
    "--checkpoint-period",
    "100",
]


@dataclass(frozen=True)
class Run:
    """A finished run: its folder and what it says of itself."""

    folder: Path

    @property
    def description(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return found

    def rows(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return [row for row in map(json.loads, lines) if row["kind"] == kind]

    @property
    def checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").iterdir())

    def weights(self) -> dict[str, Tensor]:
        return dict(load_checkpoint(self.checkpoints[-1]).parameters)


def train(folder: Path, *arguments: str) -> Run:
    """Train a DQN through the command line; it must succeed."""
    assert run(["train", "dqn", *SMALL, "--out", str(folder), *arguments]) == 0
    return Run(folder)


@pytest.fixture(scope="session")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """600 agent steps of CartPole, 16 neurons a layer."""
    return train(tmp_path_factory.mktemp("runs") / "cartpole", *CARTPOLE, "--set", "hidden=16,16")


@pytest.fixture(scope="session")
def breakout(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """300 agent steps of Breakout, a tenth of the width."""
    return train(tmp_path_factory.mktemp("runs") / "breakout", *BREAKOUT)
