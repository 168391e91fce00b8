"""Targets that do not move (Figs 4 and 8): what is regressed on when nothing is bootstrapped.

The paper trains offline agents "with fixed random targets" (Fig. 4) and does not say more of them; here they are the
values of a second network that never changes, or a number for each transition. For Fig. 8 it distils a well performing
agent's network "using a traditional regression loss": the teacher here, and the squared error of all its values.
"""

from __future__ import annotations

from typing import Protocol, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dormancy.errors import SampleError, UsageError
from dormancy.io import load_checkpoint, printable
from dormancy.networks import NetworkSpec, build_network
from dormancy_agents.algorithms.dqn.losses import td_loss
from dormancy_agents.config import DiscreteConfig
from dormancy_agents.replay.buffer import Batch
from dormancy_agents.replay.pixel_layout import to_device
from dormancy_agents.training.random_streams import Streams

__all__ = [
    "FixedTargets",
    "RandomNetwork",
    "RandomValues",
    "Teacher",
    "first_network",
    "fixed_targets",
    "random_values",
]


GOLDEN = 0x9E3779B97F4A7C15


class FixedTargets(Protocol):
    """A regression in place of Q-learning; `network` is what gives the targets, if one does."""

    network: nn.Module | None

    def loss(self, values: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the values (batch, actions) of a batch of transitions."""


def fixed_targets(config: DiscreteConfig, spec: NetworkSpec, streams: Streams) -> FixedTargets | None:
    """Return the targets that a configuration asks for, None where it bootstraps.

    Raises `SampleError` for a teacher that has other outputs, and what reading a checkpoint raises.
    """
    if config.teacher and config.targets != "teacher":
        raise UsageError(f"a teacher teaches nothing while targets are {config.targets!r}: give --targets teacher")
    if config.targets == "random-values":
        return RandomValues(streams.integer("targets"), config.huber_delta)
    if config.targets == "random-network":
        return RandomNetwork(_drawn(spec, streams.integer("targets"), config.device), config.huber_delta)
    return Teacher(_loaded(config.teacher, spec, config.device)) if config.targets == "teacher" else None


def _drawn(spec: NetworkSpec, seed: int, device: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build_network(spec).to(device).eval().requires_grad_(False)


def _loaded(path: str, spec: NetworkSpec, device: str) -> nn.Module:
    checkpoint = load_checkpoint(path)
    checkpoint.require_finite()
    theirs, ours = checkpoint.network.options.get("outputs"), spec.options["outputs"]
    if theirs != ours:
        raise SampleError(f"{printable(path)} has {theirs} outputs, the student {ours}: name a teacher of this game")
    return checkpoint.build().to(device).requires_grad_(False)


def first_network(config: DiscreteConfig, spec: NetworkSpec) -> nn.Module:
    """Return the network that training begins with: fresh, or with the weights of another run (Fig. 8).

    Raises `UsageError` where that one has another architecture, and what reading a checkpoint raises.
    """
    network = build_network(spec)
    if config.initial:
        checkpoint = load_checkpoint(config.initial)
        checkpoint.require_finite()
        theirs, ours = checkpoint.network.options.get("outputs"), spec.options["outputs"]
        if theirs is not None and theirs != ours:
            raise UsageError(
                f"{printable(config.initial)} has {theirs} outputs, this game needs {ours}: name a checkpoint of it"
            )
        try:
            network.load_state_dict(dict(checkpoint.parameters))
        except RuntimeError as error:
            arch = checkpoint.network.arch
            raise UsageError(
                f"{printable(config.initial)} ({arch}) is no {spec.arch} network of these sizes: give the --arch, "
                "--width and other network options that it was trained with"
            ) from error
    return network


@final
class RandomNetwork:
    """The value of the action taken should be that of a network drawn once, by the same initialiser."""

    def __init__(self, network: nn.Module, delta: float) -> None:
        self.network: nn.Module | None = network
        self._values, self._delta = network, delta

    def loss(self, values: Tensor, batch: Batch) -> Tensor:
        """Return the mean Huber loss, as in Q-learning."""
        with torch.no_grad():
            targets = self._values(batch.observations).gather(1, batch.actions.unsqueeze(1)).squeeze(1)
        return td_loss(values, batch.actions, targets.float(), self._delta)


@final
class RandomValues:
    """The value of the action taken should be a standard normal number that belongs to the transition."""

    def __init__(self, seed: int, delta: float) -> None:
        self.network: nn.Module | None = None
        self._seed, self._delta = seed, delta

    def loss(self, values: Tensor, batch: Batch) -> Tensor:
        """Return the mean Huber loss, as in Q-learning."""
        targets = to_device(random_values(batch.positions, self._seed), values.device)
        return td_loss(values, batch.actions, targets, self._delta)


@final
class Teacher:
    """All values should be those of another agent's network."""

    def __init__(self, network: nn.Module) -> None:
        self.network: nn.Module | None = network
        self._values = network

    def loss(self, values: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error over transitions and actions."""
        with torch.no_grad():
            targets = self._values(batch.observations).float()
        return F.mse_loss(values, targets)


def random_values(positions: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    """Return a standard normal number for each position, always the same one: Box and Muller on hashed positions."""
    begin = np.uint64(seed * GOLDEN & 2**64 - 1)
    keys = begin + np.uint64(2) * positions.astype(np.uint64)
    first, second = (_hashed(keys + np.uint64(offset)) for offset in (0, 1))
    found: NDArray[np.float32] = (np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)).astype(np.float32)
    return found


def _hashed(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Map whole numbers to (0, 1]: the finaliser of SplitMix64 (Steele et al. 2014), its 53 upper bits."""
    mixed = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(11)).astype(np.float64) + 1) / 2**53
