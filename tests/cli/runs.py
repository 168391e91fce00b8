"""Small runs on disk, written by the library itself, whose dormant neurons are known by construction."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from dormancy.io import Checkpoint, ReplaySample, save_checkpoint, save_sample
from dormancy.networks import NetworkSpec, build_network

ROWS, INPUTS, HIDDEN = 64, 3, (8, 4)
SILENCED = ((0, 2), (2, 3), (4, 4))
"""For each checkpoint of a run, how many neurons of fc1 and of fc2 never fire: this is what a scan must find."""


@dataclass(frozen=True)
class Outcome:
    """What a command line gave: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Dormancy: TypeAlias = Callable[..., Outcome]


def write_checkpoint(
    run_folder: Path, step: int, silenced: tuple[int, int], hidden: tuple[int, ...] = HIDDEN, inputs: int = INPUTS
) -> Path:
    """Write a checkpoint of a perceptron whose first neurons are silenced by their bias, and its sample."""
    spec = NetworkSpec("mlp", {"inputs": inputs, "outputs": 2, "hidden": list(hidden)})
    torch.manual_seed(step)
    network = build_network(spec)
    with torch.no_grad():
        for layer, count in zip((network.fc1, network.fc2), silenced, strict=True):
            layer.weight.abs_()
            layer.bias.fill_(1.0)
            layer.bias[:count] = -1e6
    name = f"step_{step:08d}"
    for folder in ("checkpoints", "samples"):
        (run_folder / folder).mkdir(parents=True, exist_ok=True)
    observations = np.random.default_rng(step).random((ROWS, inputs), dtype=np.float32)
    sample = ReplaySample(observations=observations, provenance={"env_id": "CartPole-v1"})
    save_sample(run_folder / "samples" / f"{name}.h5", sample)
    checkpoint = Checkpoint(
        network=spec,
        parameters=network.state_dict(),
        agent_step=step,
        gradient_step=step // 4,
        env_id="CartPole-v1",
    )
    return save_checkpoint(run_folder / "checkpoints" / f"{name}.pt", checkpoint)
