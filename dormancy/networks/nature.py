"""The convolutional network of DQN (Mnih et al. 2015), as the paper trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, final

import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.networks.layers import ACTIVATIONS, scaled, to_input, xavier_zero
from dormancy.networks.spec import ARCHITECTURES

__all__ = ["NatureNetwork", "Padding"]

Padding: TypeAlias = Literal["valid", "same"]


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after that TensorFlow and Flax call SAME: the odd pixel goes behind."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


@ARCHITECTURES.register("nature")
@final
class NatureNetwork(nn.Module):
    """Three convolutions, one hidden dense layer and a head: 672 neurons at width 1, whatever the number of outputs.

    Input: raw frames (batch, channels, height, width), ``uint8`` or float; they are multiplied by `input_scale` here.
    Output: (batch, outputs). `padding` "valid" is PyTorch's habit (flatten 3136), "same" that of the authors' Flax net
    (flatten 7744). With `dueling`, Q = V + A - mean A over one shared hidden layer, as in the authors' DrQ.
    """

    def __init__(
        self,
        outputs: int,
        observation_shape: Sequence[int] = (4, 84, 84),
        width: float = 1.0,
        hidden: int = 512,
        padding: Padding = "valid",
        activation: str = "relu",
        dueling: bool = False,
        input_scale: float = 1 / 255,
    ) -> None:
        super().__init__()
        channels, height, columns = observation_shape
        maps = [scaled(size, width) for size in (32, 64, 64)]
        self.conv1 = nn.Conv2d(channels, maps[0], 8, 4)
        self.conv2 = nn.Conv2d(maps[0], maps[1], 4, 2)
        self.conv3 = nn.Conv2d(maps[1], maps[2], 3, 1)
        self.activation = ACTIVATIONS[activation]
        self.input_scale = input_scale
        self._pads = self._layout(height, columns, padding)
        self.fc1 = nn.Linear(maps[2] * self._positions, scaled(hidden, width))
        self.head = nn.Linear(self.fc1.out_features, outputs)
        self.value = nn.Linear(self.fc1.out_features, 1) if dueling else None
        self.reset_parameters()

    def _layout(self, height: int, columns: int, padding: Padding) -> list[list[int]]:
        """Plan the padding of each convolution, and so how many positions reach the dense layer."""
        if padding not in ("valid", "same"):
            raise UsageError(f"padding must be 'valid' or 'same', not {padding!r}")
        sides, pads = [columns, height], []
        for kernel, stride in ((8, 4), (4, 2), (3, 1)):
            pad = [0, 0, 0, 0]
            if padding == "same":
                pad = [side for size in sides for side in _same_padding(size, kernel, stride)]
            sides = [(sides[i] + pad[2 * i] + pad[2 * i + 1] - kernel) // stride + 1 for i in (0, 1)]
            if min(sides) < 1:
                raise UsageError(f"observations of {height} x {columns} pixels are too small for the Nature network")
            pads.append(pad)
        self._positions = sides[0] * sides[1]
        return pads

    def reset_parameters(self) -> None:
        """Draw all parameters anew: Xavier-uniform weights, zero biases."""
        xavier_zero(self)

    def _convolve(self, inputs: Tensor, convolution: nn.Conv2d, pad: list[int]) -> Tensor:
        return self.activation(convolution(F.pad(inputs, pad) if any(pad) else inputs))

    def forward(self, observations: Tensor) -> Tensor:
        """Map raw frames to one value per output."""
        features = to_input(observations, self.head.weight, self.input_scale)
        for convolution, pad in zip((self.conv1, self.conv2, self.conv3), self._pads, strict=True):
            features = self._convolve(features, convolution, pad)
        features = self.activation(self.fc1(features.flatten(1)))
        outputs: Tensor = self.head(features)
        if self.value is None:
            return outputs
        value: Tensor = self.value(features)
        return value + outputs - outputs.mean(dim=1, keepdim=True)
