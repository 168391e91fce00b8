"""From parameters without a network to a `NetworkSpec`, with everything that was assumed on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any, NoReturn, TypeAlias, final

from torch import Tensor

from dormancy.errors import ArchitectureUnknown, UsageError
from dormancy.io.checkpoints.architecture.layers import Found, Layer, find_layers, sizes
from dormancy.io.checkpoints.architecture.norms import EPSILON
from dormancy.io.checkpoints.architecture.templates import CHAINS, TOPOLOGIES, TRUNKS, Topology, Trunk
from dormancy.io.checkpoints.checkpoint import Assumption
from dormancy.io.checkpoints.hints import Hints
from dormancy.networks import ACTIVATIONS, NetworkSpec
from dormancy.registry import nearest
from dormancy.text.escape import printable

__all__ = ["Inferred", "Known", "infer"]

Options: TypeAlias = list[dict[str, Any]]
"""Layers as a `StackNetwork` takes them."""

ARCHES = (*TRUNKS, "mlp")
FEATURES = "features_extractor.linear"
MODEL = "give the network with --model package.module:factory"


@final
@dataclass(frozen=True)
class Known:
    """What a file says beside its parameters; `activation` and `input_scale` come with where they come from.

    `of_convolutions` is their activation, `geometry` the stride and padding of convolutions by name. `epsilon` is what
    the `library` that wrote it adds to variances by default, for each kind of normalisation.
    """

    observation_shape: tuple[int, ...] | None = None
    activation: tuple[str, str] | None = None
    input_scale: tuple[float, str] | None = None
    actions: int = 0
    of_convolutions: tuple[str, str] | None = None
    geometry: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    epsilon: Mapping[str, float] = field(default_factory=lambda: EPSILON)
    library: str = "PyTorch"
    layout: tuple[str, str] = ("chw", "template: PyTorch")


@final
@dataclass(frozen=True)
class Inferred:
    """The network, the names of its parameters in the file, and what was assumed."""

    network: NetworkSpec
    parameters: dict[str, Tensor]
    assumptions: tuple[Assumption, ...]


def infer(parameters: Mapping[str, Tensor], hints: Hints, file: str, known: Known | None = None) -> Inferred:
    """Match parameters with the templates, `hints` first, then what is `known`.

    Raises `ArchitectureUnknown` naming what was seen and the flags to give, `UsageError` for a hint that cannot be.
    """
    known = known or Known()
    matching = _Matching(find_layers(parameters, file, known.epsilon), hints, known, file)
    spec = NetworkSpec("stack", matching.options())
    kept = {name: tensor for name, tensor in parameters.items() if name not in matching.found.beside}
    return Inferred(spec, kept, tuple(matching.assumptions))


@final
class _Matching:
    """One file on its way to the options of a `StackNetwork`."""

    def __init__(self, found: Found, hints: Hints, known: Known, file: str) -> None:
        self.found, self.hints, self.known, self.file = found, hints, known, file
        self.assumptions: list[Assumption] = []
        _check(hints)

    def options(self) -> dict[str, Any]:
        """Tell the parts in the order of the forward pass, noting each assumption."""
        trunk = self.convolutions()
        name, topology = self.topology()
        activation = self.activation(name, topology, trunk) if self.hides(topology) else None
        of_trunk = self.of_trunk(trunk, activation)
        shape, convolved = self.convolved(trunk, of_trunk)
        dense, heads, actions = self.connected(topology, activation, of_trunk)
        self.residual(trunk, of_trunk, dense, heads)
        self.normalised()
        if self.found.beside:
            self.note("left out, no neurons", ", ".join(self.found.beside), "template")
        return {
            "observation_shape": shape,
            "trunk": convolved + dense,
            "heads": heads,
            "input_scale": self.scale(trunk),
            "layout": self.layout(),
            "actions": actions,
            "output": topology.output,
        }

    def note(self, what: str, value: str, origin: str) -> None:
        self.assumptions.append(Assumption(what, value, origin))

    def unknown(self, reason: str, advice: str) -> NoReturn:
        raise ArchitectureUnknown(f"{self.file}: {reason} (seen: {self.found.seen()}); {advice}")

    def convolutions(self) -> Trunk | None:
        """Find the trunk by kernels and the width of the flattened features, never by strides that would fit."""
        layers = self.found.convolutions
        if not layers:
            if self.hints.arch in TRUNKS:
                self.unknown(f"--arch {self.hints.arch} has convolutions", "give --arch mlp, or leave --arch out")
            return None
        names, kernels = [layer.name for layer in layers], tuple(layer.kernel or 0 for layer in layers)
        fitting = [name for name, trunk in TRUNKS.items() if self.may_be(trunk, names, kernels)]
        chosen = [name for name in fitting if self.hints.arch in (None, "mlp", name)]
        if len(chosen) != 1 or not self.chained(layers):
            known = ", ".join(f"{name} {trunk.kernels}" for name, trunk in TRUNKS.items())
            self.unknown(
                "its convolutions match no template by kernels and flatten width",
                f"templates: {known}; {MODEL}",
            )
        self.note("convolutions", chosen[0], "flag: --arch" if self.hints.arch else "template: kernels, flatten width")
        return TRUNKS[chosen[0]]

    def may_be(self, trunk: Trunk, names: Sequence[str], kernels: tuple[int, ...]) -> bool:
        return trunk.fits(names, kernels) and self.flattens(trunk) and self.strides_like(trunk)

    def strides_like(self, trunk: Trunk) -> bool:
        """Whether the file's own modules, where it has any, stride and pad as the template does."""
        for index, (layer, pads) in enumerate(zip(self.found.convolutions, self.plan(trunk)[0], strict=True)):
            stride, padding = self.known.geometry.get(layer.name, (None, None))
            of_trunk = trunk.strides[index % len(trunk.strides)]
            if stride not in (None, of_trunk, (of_trunk, of_trunk)):
                return False
            if padding not in (None, 0, (0, 0), pads[0], (pads[2], pads[0])) or (padding and len(set(pads)) > 1):
                return False
        return True

    def flattens(self, trunk: Trunk) -> bool:
        """Whether some dense layer reads what the trunk leaves of the observations (the template's, if not told)."""
        width = self.found.convolutions[-1].outputs * self.plan(trunk)[1]
        return width > 0 and any(layer.inputs == width for layer in self.found.dense)

    def plan(self, trunk: Trunk) -> tuple[list[list[int]], int]:
        return trunk.plan(*self.pixels(trunk), stacks=len(self.found.convolutions) // len(trunk.kernels))

    def pixels(self, trunk: Trunk) -> tuple[int, int]:
        shape = self.known.observation_shape
        return (shape[1], shape[2]) if shape and len(shape) == 3 else (trunk.side, trunk.side)

    def chained(self, layers: Sequence[Layer]) -> bool:
        return all(after.inputs == before.outputs for before, after in pairwise(layers))

    def topology(self) -> tuple[str, Topology]:
        """Find how the dense layers are connected: by the names of their groups, else as one chain."""
        groups = self.found.groups()
        fitting = [each for each in TOPOLOGIES.items() if each[1].fits(frozenset(groups))]
        if self.hints.arch != "mlp" and fitting:
            self.note("connections", fitting[0][0], "template: names of layers")
            return fitting[0]
        numbered = [group for group, layers in groups.items() if layers[0].name != group]
        if not groups or not self.chained(self.found.dense) or (len(numbered) > 1 and self.hints.arch != "mlp"):
            self.unknown(
                "how its dense layers are connected cannot be told",
                "choose one network with --key, give --arch mlp if each reads the one before, or --model "
                "package.module:factory",
            )
        origin = "flag: --arch" if self.hints.arch == "mlp" else "template: widths in the order of the file"
        self.note("connections", f"one chain, {sizes([self.found.dense])}", origin)
        return "chain", Topology(tuple(groups), ())

    def activation(self, name: str, topology: Topology, trunk: Trunk | None) -> str | None:
        """Find the nonlinearity of the dense layers: said by the user, the file, or the template, else asked for."""
        chains = ((which, kind) for which, (group, hidden, kind) in CHAINS.items() if self.is_chain(group, hidden))
        chain = next(chains, None)
        said = [
            (self.hints.activation, "flag: --activation"),
            self.known.activation or (None, ""),
            (topology.activation, f"template: {name}"),
            (trunk.activation if trunk else None, "template: convolutions"),
            (chain[1], f"template: {chain[0]}") if chain else (None, ""),
        ]
        value, origin = next((each for each in said if each[0] is not None), (None, ""))
        if value is None:
            asked = "add --activation relu, or tanh, as it was trained"
            self.unknown("its nonlinearity cannot be told from parameters", asked)
        self.note("activation", value, origin)
        return value

    def of_trunk(self, trunk: Trunk | None, activation: str | None) -> str | None:
        """Find the nonlinearity of the convolutions: a library's options speak of its dense layers only."""
        if trunk is None:
            return activation
        said = (self.hints.activation, "flag: --activation"), self.known.of_convolutions or (None, "")
        chosen, origin = next((each for each in said if each[0] is not None), (trunk.activation, "template"))
        self.note("activation of convolutions", str(chosen), origin)
        return chosen

    def hides(self, topology: Topology) -> bool:
        """Whether any dense layer has neurons, those of the convolutions' own dense layer aside."""
        own = [layer for layer in self.found.dense if layer.group != FEATURES]
        return len(own) > max(1, len(topology.heads))

    def is_chain(self, group: str, hidden: tuple[int, ...]) -> bool:
        widths = tuple(layer.outputs for layer in self.found.dense[:-1])
        return not self.found.convolutions and widths == hidden and list(self.found.groups()) == [group]

    def convolved(self, trunk: Trunk | None, activation: str | None) -> tuple[list[int], Options]:
        """Return the shape of an observation, and the convolutions as options."""
        shape = self.known.observation_shape
        if trunk is None:
            return list(shape or [self.found.dense[0].inputs]), []
        height, width = self.pixels(trunk)
        frames = self.found.convolutions[0].inputs
        if shape and shape[0] != frames:
            self.unknown(f"observations are {shape}, its first convolution reads {frames} channels", MODEL)
        self.note("observation", f"{frames} x {height} x {width}", "file" if shape else "template")
        layers = []
        for index, (layer, pad) in enumerate(zip(self.found.convolutions, self.plan(trunk)[0], strict=True)):
            kernel: dict[str, Any] = {
                "kernel": layer.kernel,
                "stride": trunk.strides[index % len(trunk.strides)],
                "pads": pad,
            }
            layers.append({**layer.options(activation), **kernel, **trunk.extras(index, activation)})
        return [frames, height, width], layers

    def connected(
        self, topology: Topology, activation: str | None, of_trunk: str | None
    ) -> tuple[Options, list[Options], int]:
        """Return the dense trunk and the heads as options (the last layer of a head is linear), and what acts."""
        groups, kinds = self.found.groups(), self.kinds(topology, activation, of_trunk)
        trunk = [layer for group in topology.trunk for layer in groups.get(group, [])]
        heads = [[layer for group in head for layer in groups[group]] for head in topology.heads]
        if not heads:
            trunk, heads = trunk[:-1], [trunk[-1:]]
        actions = self.acts(topology, trunk, heads[0])
        for head in heads:
            self.fit(trunk, head, actions)
        return (
            [layer.options(kinds.get(layer.group, activation)) for layer in trunk],
            [[layer.options(activation if layer is not head[-1] else None) for layer in head] for head in heads],
            actions,
        )

    def kinds(self, topology: Topology, activation: str | None, of_trunk: str | None) -> dict[str, str | None]:
        """Return the groups whose nonlinearity is not that of the rest, unless the user said which one all have."""
        if self.hints.activation is not None:
            return {}
        for group, kind in topology.kinds.items():
            self.note(f"activation of {group}", kind, "template")
        return {FEATURES: of_trunk, **topology.kinds}

    def acts(self, topology: Topology, trunk: Sequence[Layer], head: Sequence[Layer]) -> int:
        """Return how many numbers of an action a critic reads: told by the file, else what its widths leave over."""
        if not topology.takes_actions:
            return 0
        return self.known.actions or (max(0, head[0].inputs - trunk[-1].outputs) if trunk else 0)

    def residual(self, trunk: Trunk | None, activation: str | None, dense: Options, heads: list[Options]) -> None:
        """Let the first dense layers apply the nonlinearity that the end of a residual block leaves out."""
        if trunk is not None and trunk.residual:
            for layer in dense[:1] or [head[0] for head in heads]:
                layer["before"] = activation

    def normalised(self) -> None:
        norms = [layer.norm for layer in (*self.found.convolutions, *self.found.dense) if layer.norm]
        for told in dict.fromkeys((norm.kind, norm.behind, norm.told) for norm in norms):
            kind, behind, origin = told
            count = sum((norm.kind, norm.behind, norm.told) == told for norm in norms)
            side = "behind" if behind else "before"
            self.note(f"{kind} normalisation", f"{count}, {side} the nonlinearity", origin)
        for kind in dict.fromkeys(norm.kind for norm in norms):
            origin = f"template: {self.known.library} default"
            self.note(f"epsilon of {kind} normalisation", f"{self.known.epsilon[kind]:g}", origin)

    def fit(self, trunk: Sequence[Layer], head: Sequence[Layer], actions: int) -> None:
        """Check that every layer of a head takes what the one before it gives."""
        layers = [*trunk, *head]
        for width, after in zip([self.width(layers[0]), *(layer.outputs for layer in layers)], layers, strict=False):
            if after.inputs != width + (actions if after is head[0] else 0):
                self.unknown(
                    f"layer '{printable(after.name, 60)}' takes {after.inputs} numbers, the part before gives {width}",
                    MODEL,
                )

    def width(self, first: Layer) -> int:
        """Return how many numbers reach the first dense layer: of the observation, where the file tells its shape."""
        shape = self.known.observation_shape
        return prod(shape) if shape and not self.found.convolutions else first.inputs

    def scale(self, trunk: Trunk | None) -> float:
        for value, origin in (
            (self.hints.input_scale, "flag: --input-scale"),
            self.known.input_scale or (None, ""),
            (trunk.input_scale if trunk else 1.0, "template"),
        ):
            if value is not None:
                self.note("input_scale", f"{value:.6g}", origin)
                return value
        raise AssertionError("a template always has a scale")

    def layout(self) -> str:
        layout, origin = (self.hints.layout, "flag: --layout") if self.hints.layout else self.known.layout
        if self.found.convolutions:
            self.note("flatten order", layout, origin)
        return layout


def _check(hints: Hints) -> None:
    if hints.arch is not None and hints.arch not in ARCHES:
        raise UsageError(
            f"unknown --arch {hints.arch!r}{nearest(hints.arch, list(ARCHES))}; known: {', '.join(ARCHES)}"
        )
    if hints.layout not in (None, "chw", "hwc"):
        raise UsageError(f"--layout is chw or hwc, not {hints.layout!r}")
    if hints.activation is not None:
        _ = ACTIVATIONS[hints.activation]
