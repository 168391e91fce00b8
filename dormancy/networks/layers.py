"""What the architectures share: nonlinearities by name, widths, the initialiser of the paper."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.registry import Registry

__all__ = ["ACTIVATIONS", "scaled", "to_input", "xavier_zero"]

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: Registry[Activation] = Registry("activation")
ACTIVATIONS.register("relu")(F.relu)
ACTIVATIONS.register("leaky_relu")(F.leaky_relu)  # slope .01, as in Fig. 21 of the paper
ACTIVATIONS.register("elu")(F.elu)
ACTIVATIONS.register("gelu")(F.gelu)
ACTIVATIONS.register("silu")(F.silu)
ACTIVATIONS.register("tanh")(torch.tanh)


def scaled(neurons: int, width: float) -> int:
    """Return `neurons` times the width factor, at least 1.

    >>> scaled(64, 0.25)
    16
    """
    if not width > 0:
        raise UsageError(f"width must be positive, not {width}")
    return max(1, round(neurons * width))


def xavier_zero(model: nn.Module) -> None:
    """Draw every dense and convolution weight Xavier-uniform and set every bias to zero (the paper's initialiser)."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def to_input(observations: Tensor, like: Tensor, scale: float) -> Tensor:
    """Cast raw observations to the dtype of the parameter `like` and scale them (1/255 for pixels)."""
    inputs = observations.to(like.dtype)
    return inputs if scale == 1.0 else inputs * scale
