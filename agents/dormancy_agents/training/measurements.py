"""Looking at the network while it trains, without touching the training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dormancy import __version__
from dormancy.io import ReplaySample
from dormancy.io.pairing import inputs_for
from dormancy.networks import NetworkSpec, build_network
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.scanner import scan
from dormancy_agents.config import CommonConfig
from dormancy_agents.replay.buffer import Replay

__all__ = ["build_twin", "dormancy_row", "draw_sample", "optimizer_state", "scan_parameters"]


def build_twin(spec: NetworkSpec, device: str) -> nn.Module:
    """Build a second network of the same kind, to be looked at in place of the one that trains.

    A scan of it is what a scan of the file will be: same layout in memory, same mode, no gradients. Building it draws
    initial weights; the generator is put back, so that logging does not shift the training.
    """
    with torch.random.fork_rng(devices=[]):
        return build_network(spec).to(device).eval().requires_grad_(False)


def draw_sample(replay: Replay, rng: np.random.Generator, config: CommonConfig) -> ReplaySample:
    """Draw a fresh uniform sample of the replay, un-augmented, ordered by the time at which it was seen."""
    positions = np.sort(replay.draw(rng, config.sample_size))
    successors = replay.observations(positions + 1).cpu().numpy() if config.save_next_observations else None
    known = replay.records(positions)
    return ReplaySample(
        observations=replay.observations(positions).cpu().numpy(),
        next_observations=successors,
        provenance=_provenance(replay, config),
        actions=known.actions,
        rewards=known.rewards,
        terminations=known.terminations,
        truncations=known.truncations,
        episode_ids=known.episode_ids,
        steps=known.agent_steps,
    )


def _provenance(replay: Replay, config: CommonConfig) -> dict[str, str]:
    facts = {
        "env_id": config.env_id,
        "source": f"uniform sample of the replay at agent step {replay.transitions}",
        "seed": str(config.seed),
        "created_by": f"dormancy {__version__} train {config.algorithm}",
    }
    if replay.frame_stack is not None:
        facts |= {"layout": "NCHW, newest frame last", "frame_stack": str(replay.frame_stack)}
    return facts


def scan_parameters(
    twin: nn.Module, parameters: Mapping[str, Tensor], sample: ReplaySample, taus: tuple[float, ...]
) -> DormancyScan:
    """Scan these parameters on exactly this sample."""
    twin.load_state_dict(dict(parameters))
    return scan(twin, inputs_for(twin, sample), taus)


def dormancy_row(result: DormancyScan) -> dict[str, Any]:
    """Return what of a scan is logged: dormant fractions by tau, for the network and each layer, and the srank.

    Undefined values are None.
    """
    taus = {f"{tau:g}": tau for tau in result.taus}
    layers = {}
    for layer in result.layers:
        shares = {name: layer.fraction(tau) for name, tau in taus.items()}
        layers[layer.name] = {"neurons": layer.size, "dormant_fraction": shares}
    ranks = result.measurements["srank"].layers
    return {
        "observations": result.observations,
        "dormant_fraction": {name: result.fraction(tau) for name, tau in taus.items()},
        "layers": layers,
        "srank": {name: rank if math.isfinite(rank) else None for name, rank in ranks.items()},
    }


def optimizer_state(network: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, dict[str, Any]]:
    """Return the optimizers' state by the names of the parameters it belongs to."""
    known = [dict(optimizer.state) for optimizer in optimizers]
    return {
        name: next((dict(each[parameter]) for each in known if parameter in each), {})
        for name, parameter in network.named_parameters()
    }
