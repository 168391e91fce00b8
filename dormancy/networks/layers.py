"""What the architectures share: nonlinearities by name, widths, the initialiser of the paper."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.registry import Registry

__all__ = ["ACTIVATIONS", "NEVER_ZERO", "crelu", "norm_layer", "read_by_next", "scaled", "to_input", "xavier_zero"]

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: Registry[Activation] = Registry("activation")
ACTIVATIONS.register("relu")(F.relu)
ACTIVATIONS.register("leaky_relu")(F.leaky_relu)  # slope .01, as in Fig. 21 of the paper
ACTIVATIONS.register("elu")(F.elu)
ACTIVATIONS.register("gelu")(F.gelu)
ACTIVATIONS.register("silu")(F.silu)
ACTIVATIONS.register("tanh")(torch.tanh)


@ACTIVATIONS.register("crelu")
def crelu(values: Tensor) -> Tensor:
    """Return ReLU(x) and ReLU(-x) side by side along dim 1 (Shang et al. 2016): twice as many, one of each pair silent.

    >>> crelu(torch.tensor([[1.0, -2.0]]))
    tensor([[1., 0., 0., 2.]])
    """
    return torch.cat([F.relu(values), F.relu(-values)], dim=1)


def read_by_next(neurons: int, activation: str) -> int:
    """Return how many values the next layer reads of a layer with so many outputs: CReLU doubles them."""
    return 2 * neurons if activation == "crelu" else neurons


def norm_layer(norm: str | None, size: int, *, maps: bool) -> nn.Module:
    """Return what normalises a layer before its nonlinearity: nothing (None) or LayerNorm ("layer").

    For feature maps that is one mean and deviation over channels and positions, with a gain and bias a channel.
    """
    if norm is None:
        return nn.Identity()
    if norm != "layer":
        raise UsageError(f"norm must be 'layer' or None, not {norm!r}")
    return nn.GroupNorm(1, size) if maps else nn.LayerNorm(size)


def scaled(neurons: int, width: float) -> int:
    """Return `neurons` times the width factor, at least 1.

    >>> scaled(64, 0.25)
    16
    """
    if not width > 0:
        raise UsageError(f"width must be positive, not {width}")
    return max(1, round(neurons * width))


def xavier_zero(model: nn.Module) -> None:
    """Draw every dense and convolution weight Xavier-uniform and set every bias to zero (the paper's initialiser).

    Normalisations go back to gain 1 and bias 0.
    """
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm):
            module.reset_parameters()
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def to_input(observations: Tensor, like: Tensor, scale: float) -> Tensor:
    """Cast raw observations to the dtype of the parameter `like` and scale them (1/255 for pixels)."""
    inputs = observations.to(like.dtype)
    return inputs if scale == 1.0 else inputs * scale


NEVER_ZERO = {"leaky_relu", "prelu", "elu", "gelu", "silu", "mish", "swish", "tanh", "sigmoid", "softplus"}
