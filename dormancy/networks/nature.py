"""The convolutional network of DQN (Mnih et al. 2015), as the paper trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, final

import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.networks.layers import ACTIVATIONS, norm_layer, read_by_next, scaled, to_input, xavier_zero
from dormancy.networks.spec import ARCHITECTURES, RESIZERS

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
    (flatten 7744). With `dueling`, Q = V + A - mean A over one shared hidden layer, as in the authors' DrQ. `channels`
    and `hidden` are neurons at width 1; a pruned network has uneven ones. `norm` "layer" puts LayerNorm before each
    nonlinearity; `activation` "crelu" doubles what the next layer reads.
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
        channels: Sequence[int] = (32, 64, 64),
        norm: str | None = None,
    ) -> None:
        super().__init__()
        if len(channels) != 3:
            raise UsageError(f"the Nature network has 3 convolutions, but channels {list(channels)} were given")
        frames, height, columns = observation_shape
        maps = [scaled(size, width) for size in channels]
        read = [read_by_next(size, activation) for size in maps]
        self.conv1, self.norm1 = nn.Conv2d(frames, maps[0], 8, 4), norm_layer(norm, maps[0], maps=True)
        self.conv2, self.norm2 = nn.Conv2d(read[0], maps[1], 4, 2), norm_layer(norm, maps[1], maps=True)
        self.conv3, self.norm3 = nn.Conv2d(read[1], maps[2], 3, 1), norm_layer(norm, maps[2], maps=True)
        self.activation = ACTIVATIONS[activation]
        self.input_scale = input_scale
        self._pads = self._layout(height, columns, padding)
        size = scaled(hidden, width)
        self.fc1, self.norm4 = nn.Linear(read[2] * self._positions, size), norm_layer(norm, size, maps=False)
        self.head = nn.Linear(read_by_next(size, activation), outputs)
        self.value = nn.Linear(read_by_next(size, activation), 1) if dueling else None
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

    def forward(self, observations: Tensor) -> Tensor:
        """Map raw frames to one value per output."""
        features = to_input(observations, self.head.weight, self.input_scale)
        blocks = (self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)
        for (convolution, norm), pad in zip(blocks, self._pads, strict=True):
            padded = F.pad(features, pad) if any(pad) else features
            features = self.activation(norm(convolution(padded)))
        features = self.activation(self.norm4(self.fc1(features.flatten(1))))
        outputs: Tensor = self.head(features)
        if self.value is None:
            return outputs
        value: Tensor = self.value(features)
        return value + outputs - outputs.mean(dim=1, keepdim=True)


@RESIZERS.register("nature")
def _resize(options: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    channels = [sizes[name] for name in ("conv1", "conv2", "conv3")]
    return {**options, "width": 1.0, "channels": channels, "hidden": sizes["fc1"]}
