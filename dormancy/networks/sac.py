"""The networks of SAC (Haarnoja et al. 2018): an actor and twin critics, in one module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.networks.mlp import MLPNetwork
from dormancy.networks.spec import ARCHITECTURES, RESIZERS

__all__ = ["SACNetwork"]

Hidden: TypeAlias = Sequence[int] | Mapping[str, Sequence[int]]

TOWERS = ("actor", "q1", "q2")


@ARCHITECTURES.register("sac")
@final
class SACNetwork(nn.Module):
    """Three dense networks: ``actor``, ``q1`` and ``q2``, each with hidden layers ``fc1``, ``fc2``, ... and a ``head``.

    Input: observations (batch, inputs) and actions in -1..1 (batch, actions). Output: the mean and the logarithm of the
    standard deviation of the action before its tanh, (batch, actions) each, then the two values, (batch, 1) each;
    without actions only the first two. The three share no neuron, so one pass scores actor and critics. `hidden` are
    neurons at width 1, of all three or by name; a pruned network has uneven ones. Each critic reads observations first.
    """

    def __init__(
        self,
        inputs: int,
        actions: int,
        hidden: Hidden = (256, 256),
        width: float = 1.0,
        activation: str = "relu",
        norm: str | None = None,
    ) -> None:
        super().__init__()
        sizes = _by_tower(hidden)
        self.actions_needed, self.observation_size = actions, inputs
        options: dict[str, Any] = {"width": width, "activation": activation, "norm": norm}
        self.actor = MLPNetwork(inputs, 2 * actions, hidden=sizes["actor"], **options)
        self.q1 = MLPNetwork(inputs + actions, 1, hidden=sizes["q1"], **options)
        self.q2 = MLPNetwork(inputs + actions, 1, hidden=sizes["q2"], **options)

    def reset_parameters(self) -> None:
        """Draw all parameters anew: Xavier-uniform weights, zero biases; the twins' are drawn one after the other."""
        for tower in TOWERS:
            self.get_submodule(tower).reset_parameters()  # type: ignore[operator]

    def forward(self, observations: Tensor, actions: Tensor | None = None) -> tuple[Tensor, ...]:
        """Map observations to the distribution of actions, and pairs of both to their values."""
        distribution = self.policy(observations)
        return distribution if actions is None else (*distribution, *self.values(observations, actions))

    def policy(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation of the action before its tanh, (batch, actions) each."""
        mean, log_deviation = self.actor(observations).chunk(2, dim=1)
        return mean, log_deviation

    def values(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values that the two critics give, (batch, 1) each."""
        dtype = self.q1.head.weight.dtype
        pairs = torch.cat([observations.to(dtype).flatten(1), actions.to(dtype).flatten(1)], dim=1)
        return self.q1(pairs), self.q2(pairs)


def _by_tower(hidden: Hidden) -> dict[str, list[int]]:
    if not isinstance(hidden, Mapping):
        return {tower: list(hidden) for tower in TOWERS}
    if set(hidden) != set(TOWERS):
        raise UsageError(f"hidden must be sizes, or sizes by {', '.join(TOWERS)}, not by {', '.join(map(str, hidden))}")
    return {tower: list(sizes) for tower, sizes in hidden.items()}


@RESIZERS.register("sac")
def _resize(options: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    depth = {tower: len(each) for tower, each in _by_tower(options.get("hidden", (256, 256))).items()}
    hidden = {tower: [sizes[f"{tower}.fc{index + 1}"] for index in range(depth[tower])] for tower in TOWERS}
    return {**options, "width": 1.0, "hidden": hidden}
