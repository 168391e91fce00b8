"""Known architectures: what convolutions go with what input, and what names of layers mean how they are connected.

Shapes alone do not tell a network: 47 sets of strides fit the parameters of the Nature network. So nothing is solved
for here; a file is matched against what is published, or the user is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["CHAINS", "NO_NEURONS", "TOPOLOGIES", "TRUNKS", "Topology", "Trunk"]

PIXELS = 1 / 255


@final
@dataclass(frozen=True)
class Trunk:
    """Published convolutions: kernels and strides, input side in pixels, positions left at the end, nonlinearity."""

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    side: int
    positions: int
    same: bool = False
    input_scale: float = PIXELS
    activation: str = "relu"

    def plan(self, height: int, width: int) -> tuple[list[list[int]], int]:
        """Return the pads of each convolution (left, right, top, bottom), and the positions left (0: too small)."""
        sides, pads = [width, height], []
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            pad = [part for side in sides for part in self._pad(side, kernel, stride)]
            sides = [(sides[i] + pad[2 * i] + pad[2 * i + 1] - kernel) // stride + 1 for i in (0, 1)]
            pads.append(pad)
        return pads, sides[0] * sides[1] if min(sides) > 0 else 0

    def _pad(self, side: int, kernel: int, stride: int) -> tuple[int, int]:
        if not self.same:
            return 0, 0
        total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        return total // 2, total - total // 2


TRUNKS = {
    "nature": Trunk((8, 4, 3), (4, 2, 1), 84, 49),
    "nature-same": Trunk((8, 4, 3), (4, 2, 1), 84, 121, same=True),
    "data-efficient": Trunk((5, 5), (5, 5), 84, 9),
    "minatar": Trunk((3,), (1,), 10, 64, input_scale=1.0),
}
"""Mnih et al. 2015 with each padding; van Hasselt et al. 2019; Young and Tian 2019.

Flatten width: channels x positions."""


@final
@dataclass(frozen=True)
class Topology:
    """How groups of dense layers are connected: a trunk of some, then heads of some, all of them present.

    A group is a layer by its name, or the numbered layers of one container by the container's name. Groups in
    `optional` may be missing from the trunk. `activation` None: the file must say, or the user.
    """

    trunk: tuple[str, ...]
    heads: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...] = ()
    activation: str | None = None
    output: str = "plain"
    takes_actions: bool = False

    def fits(self, groups: frozenset[str]) -> bool:
        """Whether these are the groups it connects, neither more nor fewer."""
        wanted = {*self.trunk, *(group for head in self.heads for group in head)}
        return groups | set(self.optional) == wanted | set(self.optional) and groups <= wanted


_FEATURES = "features_extractor.linear"
_SB3_POLICY, _SB3_VALUE = ("mlp_extractor.policy_net", "action_net"), ("mlp_extractor.value_net", "value_net")

TOPOLOGIES = {
    "sb3 q-network": Topology((_FEATURES,), (("q_net",),), (_FEATURES,)),
    "sb3 quantile network": Topology((_FEATURES,), (("quantile_net",),), (_FEATURES,)),
    "sb3 sac actor": Topology((_FEATURES, "latent_pi"), (("mu",), ("log_std",)), (_FEATURES,)),
    "sb3 td3 actor": Topology((_FEATURES,), (("mu",),), (_FEATURES,), output="tanh"),
    "sb3 twin critic": Topology((_FEATURES,), (("qf0",), ("qf1",)), (_FEATURES,), takes_actions=True),
    "sb3 actor-critic": Topology((_FEATURES,), (_SB3_POLICY, _SB3_VALUE), (_FEATURES,)),
    "sb3 actor-critic on features": Topology((_FEATURES,), (("action_net",), ("value_net",))),
    "cleanrl ppo, atari": Topology(("network",), (("actor",), ("critic",)), activation="relu"),
    "cleanrl ppo, continuous": Topology((), (("critic",), ("actor_mean",)), activation="tanh"),
    "actor and critic": Topology((), (("critic",), ("actor",))),
    "cleanrl sac actor": Topology(("fc1", "fc2"), (("fc_mean",), ("fc_logstd",)), activation="relu"),
    "cleanrl ddpg or td3 actor": Topology(("fc1", "fc2"), (("fc_mu",),), activation="relu", output="tanh"),
    "dueling": Topology(("fc1",), (("value",), ("advantage",)), ("fc1",), output="dueling"),
    "dueling streams": Topology((), (("value_stream",), ("advantage_stream",)), output="dueling"),
    "dueling head": Topology(("fc1",), (("value",), ("head",)), activation="relu", output="dueling"),
}
"""By the names that Stable-Baselines3 and CleanRL give; dueling by the names in common use, value first."""

CHAINS = {"cleanrl dqn": ("network", (120, 84), "relu")}
"""Plain chains of dense layers that are told by the name of their container and the neurons of their hidden layers."""

NO_NEURONS = ("log_std", "actor_logstd", "log_alpha", "action_scale", "action_bias", "atoms", "support")
"""Parameters and buffers beside the layers that published agents have and that belong to no neuron."""
