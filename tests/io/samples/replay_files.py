"""What tests of replay memories share: where the files lie, and how everything in one is read."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dormancy.io import ReplaySample, open_foreign_sample

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "samples"
MEMORIES = {
    "sb3.pkl": None,
    "sb3-young.pkl": None,
    "sb3-slim.pkl": None,
    "sb3-two-envs.pkl": None,
    "sb3-her.pkl": None,
    "dopamine": None,
    "dopamine-young": None,
    "dopamine-vectors": 1,
    "torchrl": None,
    "torchrl-two-envs": None,
}
"""Every memory, and the frame stack that it needs said."""


def everything(sample: ReplaySample) -> dict[str, Any]:
    """Read all of a sample while its file is open."""
    found: dict[str, Any] = {}
    for name in ("observations", "next_observations"):
        part = getattr(sample, name)
        if isinstance(part, Mapping):
            found[name] = {key: array[0 : len(array)] for key, array in part.items()}
        elif part is not None:
            found[name] = part[0 : len(part)]
    others = ("actions", "rewards", "terminations", "truncations", "episode_ids")
    return found | {name: np.asarray(getattr(sample, name)) for name in others if getattr(sample, name) is not None}


def read(path: Path, frame_stack: int | None = None) -> dict[str, Any]:
    """Open a memory and read all of it."""
    with open_foreign_sample(path, frame_stack=frame_stack) as sample:
        return everything(sample)


def copied(name: str, to: Path) -> Path:
    """Copy a memory, a file or a folder, where it may be changed."""
    source, target = FOLDER / name, to / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return target
