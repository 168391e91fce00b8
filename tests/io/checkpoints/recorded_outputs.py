"""The files under fixtures/foreign, and what the networks in them answered when the files were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dormancy.io import Checkpoint, Hints, load_checkpoint

FOLDER = Path(__file__).parents[3] / "fixtures" / "foreign"


def _recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / name) as archive:
        return dict(archive)


def _cases(recorded: dict[str, np.ndarray]) -> list[str]:
    return list(dict.fromkeys(name.rpartition("|")[0] for name in recorded))


EXPECTED = {key: each for path in sorted(FOLDER.glob("expected*.npz")) for key, each in _recorded(path.name).items()}
CASES = _cases(EXPECTED)
"""Each network as ``file|key``."""
STATE_DICTS = [*_cases(_recorded("expected.npz")), "batch_norm.pt|", "sac.pt|actor"]
"""Those that lie in files of parameters, which can be written back."""
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix != ".npz")

SAID: dict[str, dict[str, Any]] = {
    "td3.cleanrl_model|1": {"activation": "relu"},
    "layer_norm_behind.pt|": {"activation": "elu"},
    "flax_c51.cleanrl_model|": {"activation": "relu"},
    "flax_state.msgpack|": {"activation": "relu"},
    "flax_td3.cleanrl_model|0": {"activation": "relu"},
    "export_fixed.pt2|": {"activation": "relu"},
    "module_sequence.pt|": {"input_scale": 1 / 255},
}
"""What no file says must be said: a critic of CleanRL's does not tell its nonlinearity."""


def hints(case: str) -> Hints:
    file, _, key = case.partition("|")
    return Hints(key=key or None, trust=file.startswith(("script", "export")), **SAID.get(case, {}))


def load(case: str) -> Checkpoint:
    return load_checkpoint(FOLDER / case.partition("|")[0], hints(case))


def inputs(case: str) -> dict[str, torch.Tensor]:
    found = {name: EXPECTED.get(f"{case}|{name}") for name in ("observations", "actions")}
    return {name: torch.as_tensor(values) for name, values in found.items() if values is not None}


def outputs(case: str) -> list[np.ndarray]:
    return [values for name, values in EXPECTED.items() if name.startswith(f"{case}|output")]
