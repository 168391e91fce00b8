"""Where a file cannot say how observations were prepared, a scan warns: nothing is silently wrong."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.io import Hints, ReplaySample, load_checkpoint
from dormancy.scanning.scanner import scan_checkpoint

Parameters = dict[str, Tensor]


def dense(prefix: str, inputs: int, hidden: int, outputs: int) -> Parameters:
    net = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    return {f"{prefix}{name}": part for name, part in net.state_dict().items()}


def agent(path: Path, parameters: Parameters, **data: Any) -> Path:
    """Write a zip as ``model.save()`` of Stable-Baselines3 does."""
    box = {":type:": "<class 'gymnasium.spaces.box.Box'>", "dtype": "float32", "_shape": [3]}
    policy = io.BytesIO()
    torch.save(parameters, policy)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", json.dumps({"observation_space": box, "policy_kwargs": {}, **data}))
        file.writestr("policy.pth", policy.getvalue())
    return path


def test_a_normalizer_beside_an_agent_is_warned_about(tmp_path: Path) -> None:
    file = agent(tmp_path / "dqn.zip", dense("q_net.q_net.", 3, 8, 2))
    sample = ReplaySample(observations=np.ones((5, 3), np.float32))
    assert not any("normalised" in text for text in scan_checkpoint(file, sample).warnings)
    (tmp_path / "vecnormalize.pkl").write_bytes(b"")
    assert any("vecnormalize.pkl" in text for text in scan_checkpoint(file, sample).warnings)


def test_ars_has_relu(tmp_path: Path) -> None:
    file = agent(tmp_path / "ars.zip", dense("action_net.", 3, 8, 2))
    assert [one.value for one in load_checkpoint(file).assumptions if one.what == "activation"] == ["relu"]


def test_running_means_in_a_file_are_warned_about(tmp_path: Path) -> None:
    means = {"running_mean": torch.zeros(3), "running_variance": torch.ones(3), "current_count": torch.ones(())}
    values = {"running_mean": torch.zeros(1), "running_variance": torch.ones(1), "current_count": torch.ones(())}
    value = dense("net.", 3, 8, 1)
    sample = ReplaySample(observations=np.ones((5, 3), np.float32))
    hints = Hints(key="value", activation="relu")
    torch.save({"value": value, "value_preprocessor": values}, tmp_path / "values.pt")
    torch.save({"value": value, "observation_preprocessor": means}, tmp_path / "agent.pt")
    assert not any(
        "running means" in text for text in scan_checkpoint(tmp_path / "values.pt", sample, hints=hints).warnings
    )
    warnings = scan_checkpoint(tmp_path / "agent.pt", sample, hints=hints).warnings
    assert any("running means" in text and "observation_preprocessor" in text for text in warnings)
