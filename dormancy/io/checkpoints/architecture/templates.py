"""Known architectures: what convolutions go with what input, and what names of layers mean how they are connected.

Shapes alone do not tell a network: 47 sets of strides fit the parameters of the Nature network. So nothing is solved
for here; a file is matched against what is published, or the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

__all__ = ["CHAINS", "NO_NEURONS", "TOPOLOGIES", "TRUNKS", "Topology", "Trunk"]

PIXELS = 1 / 255


@final
@dataclass(frozen=True)
class Trunk:
    """Published convolutions: kernels and strides, input side in pixels, positions left at the end, nonlinearity.

    A `residual` trunk has any number of IMPALA's stacks, of 5 convolutions each; `kernels` and `strides` are of one.
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    side: int
    positions: int
    same: bool = False
    input_scale: float = PIXELS
    activation: str = "relu"
    residual: bool = False

    def fits(self, names: Sequence[str], kernels: tuple[int, ...]) -> bool:
        """Whether convolutions of these names and kernels can be it, before any width is looked at."""
        if not self.residual:
            return kernels == self.kernels and not any(_IN_STACK.search(name) for name in names)
        parts = [found.group(1) for name in names if (found := _IN_STACK.search(name))]
        stacks = len(names) // len(_STACK)
        return len(names) > 0 and parts == list(_STACK) * stacks and kernels == self.kernels * stacks

    def plan(self, height: int, width: int, stacks: int = 1) -> tuple[list[list[int]], int]:
        """Return the pads of each convolution (left, right, top, bottom), and the positions left (0: too small)."""
        sides, pads = [width, height], list[list[int]]()
        for kernel, stride in zip(self.kernels * stacks, self.strides * stacks, strict=True):
            pad = [part for side in sides for part in self._pad(side, kernel, stride)]
            sides = [(sides[i] + pad[2 * i] + pad[2 * i + 1] - kernel) // stride + 1 for i in (0, 1)]
            if self.residual and len(pads) % len(_STACK) == 0:
                sides = [(side + 1) // 2 for side in sides]
            pads.append(pad)
        return pads, sides[0] * sides[1] if min(sides) > 0 else 0

    def _pad(self, side: int, kernel: int, stride: int) -> tuple[int, int]:
        if not self.same:
            return 0, 0
        total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        return total // 2, total - total // 2

    def extras(self, index: int, activation: str | None) -> dict[str, Any]:
        """Return what convolution number `index` does besides convolving, as options of a `StackNetwork` layer."""
        if not self.residual:
            return {"activation": activation}
        place = index % len(_STACK)
        if place == 0:
            return {"activation": None, "pool": [3, 2, 1]}
        return {"activation": None, "before": activation, "skip": 2 if place in (2, 4) else 0}


_STACK = ("conv", "res_block0.conv0", "res_block0.conv1", "res_block1.conv0", "res_block1.conv1")
_IN_STACK = re.compile(r"\.(conv|res_block\d+\.conv\d+)$")
_ONES = (1,) * len(_STACK)

TRUNKS = {
    "nature": Trunk((8, 4, 3), (4, 2, 1), 84, 49),
    "nature-same": Trunk((8, 4, 3), (4, 2, 1), 84, 121, same=True),
    "data-efficient": Trunk((5, 5), (5, 5), 84, 9),
    "drq": Trunk((3, 3, 3, 3), (2, 1, 1, 1), 84, 1225),
    "minatar": Trunk((3,), (1,), 10, 64, input_scale=1.0),
    "impala": Trunk((3,) * len(_STACK), _ONES, 84, 121, same=True, residual=True),
    "impala-procgen": Trunk((3,) * len(_STACK), _ONES, 64, 64, same=True, residual=True),
}
"""Mnih et al. 2015 with each padding; van Hasselt et al. 2019; Yarats et al. 2021; Young and Tian 2019; Espeholt et al.
2018 at the sides of Atari and Procgen, its layers named as CleanRL names them.

Flatten width: channels x positions, for IMPALA after three stacks."""


@final
@dataclass(frozen=True)
class Topology:
    """How groups of dense layers are connected: a trunk of some, then heads of some, all of them present.

    A group is a layer by its name, or the numbered layers of one container by the container's name. Groups in
    `optional` may be missing from the trunk. `activation` None: the file must say, or the user. `kinds` are groups
    that have another nonlinearity than the rest.
    """

    trunk: tuple[str, ...]
    heads: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...] = ()
    activation: str | None = None
    output: str = "plain"
    takes_actions: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)

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
    "cleanrl sac on pixels": Topology(("fc1",), (("fc_q",),), activation="relu"),
    "cleanrl sac actor on pixels": Topology(("fc1",), (("fc_logits",),), activation="relu"),
    "cleanrl sac actor": Topology(("fc1", "fc2"), (("fc_mean",), ("fc_logstd",)), activation="relu"),
    "cleanrl ddpg or td3 actor": Topology(("fc1", "fc2"), (("fc_mu",),), activation="relu", output="tanh"),
    "drq actor": Topology(("encoder.head", "trunk"), (), activation="relu", kinds={"encoder.head": "tanh"}),
    "drq twin critic": Topology(
        ("encoder.head",), (("Q1",), ("Q2",)), activation="relu", takes_actions=True, kinds={"encoder.head": "tanh"}
    ),
    "twin critic": Topology((), (("Q1",), ("Q2",))),
    "sac actor": Topology(("linear1", "linear2"), (("mean_linear",), ("log_std_linear",)), activation="relu"),
    "sac twin critic": Topology(
        (), (("linear1", "linear2", "linear3"), ("linear4", "linear5", "linear6")), activation="relu"
    ),
    "td3 twin critic": Topology((), (("l1", "l2", "l3"), ("l4", "l5", "l6")), activation="relu"),
    "sac actor, spinning up": Topology(("net",), (("mu_layer",), ("log_std_layer",)), activation="relu"),
    "dueling": Topology(("fc1",), (("value",), ("advantage",)), ("fc1",), output="dueling"),
    "dueling streams": Topology((), (("value_stream",), ("advantage_stream",)), output="dueling"),
    "dueling head": Topology(("fc1",), (("value",), ("head",)), activation="relu", output="dueling"),
}
"""By the names that Stable-Baselines3, CleanRL, DrQ, Spinning Up and the common SAC and TD3 codes give; dueling by the
names in common use, value first."""

CHAINS = {"cleanrl dqn": ("network", (120, 84), "relu")}
"""Plain chains of dense layers that are told by the name of their container and the neurons of their hidden layers."""

NO_NEURONS = re.compile(
    r"(.*\.)?_?((actor_)?log_?std(_parameter|_clip_param_const|_min|_max)?|(min_|max_)?log_?(alpha|sigma|ent_coef)|alpha_init|target_entropy|sigma"
    r"|action_(scale|bias|low|high)|atoms|support|n_averaged)|(.*\.)?value_mean_std\..*"
)
"""Parameters and buffers beside the layers that published agents have and that belong to no neuron."""
