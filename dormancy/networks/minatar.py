"""The small convolutional network of MinAtar (Young & Tian 2019, arXiv 1903.03176)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.networks.layers import ACTIVATIONS, norm_layer, read_by_next, scaled, to_input, xavier_zero
from dormancy.networks.spec import ARCHITECTURES, RESIZERS

__all__ = ["MinAtarNetwork"]

KERNEL = 3


@ARCHITECTURES.register("minatar")
@final
class MinAtarNetwork(nn.Module):
    """One convolution (16 maps, 3x3, stride 1, no padding), one dense layer of 128 and a head: 144 neurons at width 1.

    Input: raw boards (batch, channels, 10, 10) of 0 and 1, any dtype. Output: (batch, outputs). Sizes are those of
    Young & Tian 2019, a quarter of DQN's last convolution and of its dense layer; weights are drawn as everywhere
    here, Xavier-uniform with zero biases, where their example keeps PyTorch's own. `dueling`, `norm` and `activation`
    are those of the Nature network.
    """

    def __init__(
        self,
        outputs: int,
        observation_shape: Sequence[int] = (4, 10, 10),
        width: float = 1.0,
        hidden: int = 128,
        activation: str = "relu",
        dueling: bool = False,
        input_scale: float = 1.0,
        channels: int = 16,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        kinds, height, columns = observation_shape
        if min(height, columns) < KERNEL:
            raise UsageError(f"observations of {height} x {columns} cells are too small for the MinAtar network")
        maps, size = scaled(channels, width), scaled(hidden, width)
        self.conv1, self.norm1 = nn.Conv2d(kinds, maps, KERNEL), norm_layer(norm, maps, maps=True)
        positions = (height - KERNEL + 1) * (columns - KERNEL + 1)
        self.fc1 = nn.Linear(read_by_next(maps, activation) * positions, size)
        self.norm2 = norm_layer(norm, size, maps=False)
        self.head = nn.Linear(read_by_next(size, activation), outputs)
        self.value = nn.Linear(read_by_next(size, activation), 1) if dueling else None
        self.activation = ACTIVATIONS[activation]
        self.input_scale = input_scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: Xavier-uniform weights, zero biases."""
        xavier_zero(self)

    def forward(self, observations: Tensor) -> Tensor:
        """Map raw boards to one value per output."""
        board = to_input(observations, self.head.weight, self.input_scale)
        maps = self.activation(self.norm1(self.conv1(board)))
        features = self.activation(self.norm2(self.fc1(maps.flatten(1))))
        outputs: Tensor = self.head(features)
        if self.value is None:
            return outputs
        value: Tensor = self.value(features)
        return value + outputs - outputs.mean(dim=1, keepdim=True)


@RESIZERS.register("minatar")
def _resize(options: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    return {**options, "width": 1.0, "channels": sizes["conv1"], "hidden": sizes["fc1"]}
