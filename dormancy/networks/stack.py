"""Networks of other people's agents: convolutions, dense layers and heads, listed under the names of their own file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, Literal, TypeAlias, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.networks.layers import ACTIVATIONS, to_input
from dormancy.networks.spec import ARCHITECTURES, RESIZERS

__all__ = ["LayerOptions", "Layout", "StackNetwork"]

LayerOptions: TypeAlias = Mapping[str, Any]
"""One layer: `name`, `inputs`, `outputs`, `activation` (None: linear), for a convolution `kernel`, `stride`, `pads`.

Optional: `norm` (see `NormOptions`), `before` (a nonlinearity of what it reads), `pool` (kernel, stride and padding of
the max-pooling behind it), `skip` (so many layers back, itself included, is the layer whose input is added to it).
"""

NormOptions: TypeAlias = Mapping[str, Any]
"""A normalisation: `name`, `kind` ("layer" or "batch"), `shape`, `eps`; `behind` the nonlinearity or before it."""

Layout: TypeAlias = Literal["chw", "hwc"]

_OUTPUTS = ("plain", "dueling", "tanh")


@ARCHITECTURES.register("stack")
@final
class StackNetwork(nn.Module):
    """A trunk of layers, each reading the last, and heads that all read the end of the trunk.

    Input: raw observations (batch, ...), multiplied by `input_scale`. With `actions` > 0, so many numbers a row are
    put behind the trunk's output and given as ``actions`` (batch, actions): the critic of a continuous agent. Without
    them, a dense network takes observations and actions given separately as well, side by side in that order.
    Between the last convolution and the first dense layer, features are flattened by channel ("chw", as PyTorch does)
    or by position ("hwc", as Flax does). `pads` are left, right, top, bottom. Output: (batch, outputs) of a single
    head, else a tuple, one a head; `output` "dueling" combines two heads, value first, to V + A - mean A, and "tanh"
    squashes what comes out. Parameters have the names of the layers, dots included.
    """

    def __init__(
        self,
        observation_shape: Sequence[int],
        trunk: Sequence[LayerOptions],
        heads: Sequence[Sequence[LayerOptions]],
        input_scale: float = 1.0,
        layout: Layout = "chw",
        actions: int = 0,
        output: str = "plain",
    ) -> None:
        super().__init__()
        if layout not in ("chw", "hwc"):
            raise UsageError(f"layout must be 'chw' or 'hwc', not {layout!r}")
        if output not in _OUTPUTS or (output == "dueling" and len(heads) != 2):
            raise UsageError(f"output must be one of {', '.join(_OUTPUTS)}, and dueling has 2 heads, not {len(heads)}")
        self.input_scale = input_scale
        self.actions_needed, self.observation_size = actions, prod(observation_shape)
        self._layout, self._output = layout, output  # a layer may be called "output", so nothing here is
        self._trunk = _plans(trunk)
        self._heads = [_plans(head) for head in heads]
        for layer in [*trunk, *(each for head in heads for each in head)]:
            _place(self, str(layer["name"]).split("."), _built(layer))
            if layer.get("norm"):
                _place(self, str(layer["norm"]["name"]).split("."), _norm(layer))

    def forward(self, observations: Tensor, actions: Tensor | None = None) -> Any:
        """Map raw observations, and actions where they are inputs, to the outputs of the heads."""
        features = to_input(observations, next(self.parameters()), self.input_scale)
        if not self._trunk or not self._trunk[0].convolves:
            features = features.flatten(1)
        if actions is not None and not self.actions_needed:
            features = torch.cat([features, actions.to(features.dtype).flatten(1)], dim=1)
        features = self._run(self._trunk, features)
        if actions is not None and self.actions_needed:
            features = torch.cat([features.flatten(1), actions.to(features.dtype).flatten(1)], dim=1)
        return self._combined([self._run(head, features) for head in self._heads])

    def _run(self, plans: Iterable[_Plan], features: Tensor) -> Tensor:
        read: list[Tensor] = []
        for plan in plans:
            read.append(features)
            if plan.before is not None:
                features = ACTIVATIONS[plan.before](features)  # before maps are flattened: a channel stays one neuron
            if not plan.convolves and features.dim() > 2:
                features = (features.permute(0, 2, 3, 1) if self._layout == "hwc" else features).flatten(1)
            features = self._through(plan, features)
            if plan.skip:
                features = features + read[-plan.skip]
        return features

    def _through(self, plan: _Plan, features: Tensor) -> Tensor:
        features = F.pad(features, plan.pads) if any(plan.pads) else features
        features = self.get_submodule(plan.name)(features)
        if plan.norm is not None and not plan.behind:
            features = self.get_submodule(plan.norm)(features)
        if plan.activation is not None:
            features = ACTIVATIONS[plan.activation](features)
        if plan.norm is not None and plan.behind:
            features = self.get_submodule(plan.norm)(features)
        if plan.pool:
            kernel, stride, padding = plan.pool
            features = F.max_pool2d(features, kernel, stride, padding)
        return features

    def _combined(self, found: list[Tensor]) -> Any:
        if self._output == "dueling":
            value, advantage = found
            return value + advantage - advantage.mean(dim=1, keepdim=True)
        if self._output == "tanh":
            found = [torch.tanh(each) for each in found]
        return found[0] if len(found) == 1 else tuple(found)


@final
class _Plan:
    """What the forward pass needs to know of a layer."""

    def __init__(self, layer: LayerOptions) -> None:
        self.name = str(layer["name"])
        self.activation: str | None = layer.get("activation")
        self.convolves = "kernel" in layer
        self.before: str | None = layer.get("before")
        self.pads = [int(side) for side in layer.get("pads", (0, 0, 0, 0))]
        self.pool = [int(part) for part in layer.get("pool") or ()]
        self.skip = int(layer.get("skip", 0))
        norm = layer.get("norm")
        self.norm: str | None = str(norm["name"]) if norm else None
        self.behind = bool(norm and norm.get("behind"))
        for kind in (self.activation, self.before):
            if kind is not None:
                _ = ACTIVATIONS[kind]  # an unknown one is told now, not in the first forward pass


def _plans(layers: Sequence[LayerOptions]) -> list[_Plan]:
    return [_Plan(layer) for layer in layers]


def _built(layer: LayerOptions) -> nn.Module:
    bias = bool(layer.get("bias", True))
    if "kernel" in layer:
        return nn.Conv2d(layer["inputs"], layer["outputs"], layer["kernel"], layer["stride"], bias=bias)
    return nn.Linear(layer["inputs"], layer["outputs"], bias=bias)


def _norm(layer: LayerOptions) -> nn.Module:
    """Build what normalises a layer: BatchNorm over channels, or LayerNorm over all that its shape names."""
    norm = layer["norm"]
    shape = [int(size) for size in norm["shape"]]
    eps = float(norm.get("eps", 1e-5))
    if norm["kind"] == "layer":
        return nn.LayerNorm(shape, eps)
    if norm["kind"] != "batch":
        raise UsageError(f"a layer is normalised by 'layer' or 'batch', not {norm['kind']!r}")
    return nn.BatchNorm2d(shape[0], eps) if "kernel" in layer else nn.BatchNorm1d(shape[0], eps)


def _place(root: nn.Module, path: list[str], layer: nn.Module) -> None:
    """Put a layer at a dotted name, making the modules in between."""
    for step in path[:-1]:
        if step not in root._modules:
            root.add_module(step, nn.Module())
        root = root.get_submodule(step)
    root.add_module(path[-1], layer)


@RESIZERS.register("stack")
def _resize(options: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    trunk = _resized(options["trunk"], sizes, None, 0)
    last = (options["trunk"][-1]["outputs"], trunk[-1]["outputs"]) if trunk else None
    heads = [_resized(head, sizes, last, int(options.get("actions", 0))) for head in options["heads"]]
    return {**options, "trunk": trunk, "heads": heads}


def _resized(
    layers: Sequence[LayerOptions], sizes: Mapping[str, int], before: tuple[int, int] | None, beside: int
) -> list[dict[str, Any]]:
    """Give layers new sizes; the first reads a layer whose outputs were and are `before`, and `beside` more numbers.

    Whatever reads flattened maps reads as many positions of each as it did.
    """
    found = []
    for layer in layers:
        inputs, outputs = int(layer["inputs"]), int(layer["outputs"])
        if before is not None:
            inputs = (inputs - beside) // before[0] * before[1] + beside
        found.append({**layer, "inputs": inputs, "outputs": sizes.get(str(layer["name"]), outputs)})
        if layer.get("norm"):
            found[-1]["norm"] = {**layer["norm"], "shape": [found[-1]["outputs"], *layer["norm"]["shape"][1:]]}
        before, beside = (outputs, found[-1]["outputs"]), 0
    return found
