"""The files under fixtures/foreign, and what the networks in them answered when the files were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dormancy.io import Checkpoint, Hints, load_checkpoint

FOLDER = Path(__file__).parents[2] / "fixtures" / "foreign"
EXPECTED: dict[str, np.ndarray] = {}
for _path in sorted(FOLDER.glob("expected*.npz")):
    with np.load(_path) as _archive:
        EXPECTED.update(_archive)
CASES = list(dict.fromkeys(name.rpartition("|")[0] for name in EXPECTED))
"""Each network as ``file|key``."""
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix != ".npz")

SAID: dict[str, dict[str, Any]] = {
    "td3.cleanrl_model|1": {"activation": "relu"},
    "layer_norm_behind.pt|": {"activation": "elu"},
}
"""What no file says must be said: a critic of CleanRL's does not tell its nonlinearity."""


def hints(case: str) -> Hints:
    key = case.partition("|")[2]
    return Hints(key=key or None, **SAID.get(case, {}))


def load(case: str) -> Checkpoint:
    return load_checkpoint(FOLDER / case.partition("|")[0], hints(case))


def inputs(case: str) -> dict[str, torch.Tensor]:
    found = {name: EXPECTED.get(f"{case}|{name}") for name in ("observations", "actions")}
    return {name: torch.as_tensor(values) for name, values in found.items() if values is not None}


def outputs(case: str) -> list[np.ndarray]:
    return [values for name, values in EXPECTED.items() if name.startswith(f"{case}|output")]
