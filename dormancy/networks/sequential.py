"""Standard layers one after the other: what a file that names its modules says completely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, final

import torch
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.networks.layers import to_input
from dormancy.networks.spec import ARCHITECTURES

__all__ = ["MODULES", "SequentialNetwork"]

_CONVOLUTION = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias", "padding_mode",
)  # fmt: skip

MODULES: Mapping[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "Linear": (nn.Linear, ("in_features", "out_features", "bias")),
    "Conv2d": (nn.Conv2d, _CONVOLUTION),
    "LayerNorm": (nn.LayerNorm, ("normalized_shape", "eps", "elementwise_affine", "bias")),
    "BatchNorm1d": (nn.BatchNorm1d, ("num_features", "eps", "affine", "track_running_stats")),
    "BatchNorm2d": (nn.BatchNorm2d, ("num_features", "eps", "affine", "track_running_stats")),
    "GroupNorm": (nn.GroupNorm, ("num_groups", "num_channels", "eps", "affine")),
    "MaxPool2d": (nn.MaxPool2d, ("kernel_size", "stride", "padding", "dilation", "ceil_mode")),
    "AvgPool2d": (nn.AvgPool2d, ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d, ("output_size",)),
    "Flatten": (nn.Flatten, ("start_dim", "end_dim")),
    "Dropout": (nn.Dropout, ("p",)),
    "Identity": (nn.Identity, ()),
    "ReLU": (nn.ReLU, ()),
    "ReLU6": (nn.ReLU6, ()),
    "LeakyReLU": (nn.LeakyReLU, ("negative_slope",)),
    "ELU": (nn.ELU, ("alpha",)),
    "SELU": (nn.SELU, ()),
    "GELU": (nn.GELU, ("approximate",)),
    "SiLU": (nn.SiLU, ()),
    "Mish": (nn.Mish, ()),
    "Softplus": (nn.Softplus, ("beta", "threshold")),
    "Tanh": (nn.Tanh, ()),
    "Sigmoid": (nn.Sigmoid, ()),
    "Softmax": (nn.Softmax, ("dim",)),
}
"""Modules of ``torch.nn`` whose forward pass follows from their settings, and the settings that it follows from."""


@ARCHITECTURES.register("sequential")
@final
class SequentialNetwork(nn.Module):
    """Modules in the order of their names. Input: raw observations (batch, ...), multiplied by `input_scale`.

    Each of `layers` is a mapping of `name`, `kind` (in `MODULES`) and the settings of that module, or of `name`, `kind`
    "Sequential" and `layers` of its own. `observation_shape` is None where it does not follow from them. Actions given
    beside observations are put behind them.
    """

    def __init__(
        self,
        layers: Sequence[Mapping[str, Any]],
        observation_shape: Sequence[int] | None = None,
        input_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.input_scale = input_scale
        self.actions_needed, self.observation_size = 0, prod(observation_shape) if observation_shape else 0
        self._names = [str(layer["name"]) for layer in layers]
        for layer in layers:
            self.add_module(str(layer["name"]), _built(layer))

    def forward(self, observations: Tensor, actions: Tensor | None = None) -> Any:
        """Map raw observations to what the last module makes of them."""
        features = to_input(observations, next(self.parameters()), self.input_scale)
        if actions is not None:
            features = torch.cat([features.flatten(1), actions.to(features.dtype).flatten(1)], dim=1)
        for name in self._names:
            features = self.get_submodule(name)(features)
        return features


def _built(layer: Mapping[str, Any]) -> nn.Module:
    """Build one module; raises `UsageError` for a kind that is not listed."""
    if layer["kind"] == "Sequential":
        inner = nn.Sequential()
        for each in layer["layers"]:
            inner.add_module(str(each["name"]), _built(each))
        return inner
    if layer["kind"] not in MODULES:
        raise UsageError(f"module {layer['kind']!r} is none of those that can be rebuilt: {', '.join(MODULES)}")
    build, settings = MODULES[layer["kind"]]
    return build(**{name: layer[name] for name in settings if name in layer})
