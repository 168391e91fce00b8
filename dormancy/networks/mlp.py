"""A multi-layer perceptron: classic control, and the dense networks of other people's agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from dormancy.networks.layers import ACTIVATIONS, scaled, to_input, xavier_zero
from dormancy.networks.spec import ARCHITECTURES

__all__ = ["MLPNetwork"]


@ARCHITECTURES.register("mlp")
@final
class MLPNetwork(nn.Module):
    """Dense layers ``fc1``, ``fc2``, ... with a nonlinearity each, then a linear ``head``.

    Input: (batch, inputs), or any (batch, ...) with that many numbers a row. Output: (batch, outputs).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (64, 64),
        width: float = 1.0,
        activation: str = "relu",
        input_scale: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = [inputs, *(scaled(size, width) for size in hidden)]
        self.depth = len(hidden)
        for index in range(self.depth):
            self.add_module(f"fc{index + 1}", nn.Linear(sizes[index], sizes[index + 1]))
        self.head = nn.Linear(sizes[-1], outputs)
        self.activation = ACTIVATIONS[activation]
        self.input_scale = input_scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: Xavier-uniform weights, zero biases."""
        xavier_zero(self)

    def forward(self, observations: Tensor) -> Tensor:
        """Map raw observations to one value per output."""
        features = to_input(observations, self.head.weight, self.input_scale).flatten(1)
        for index in range(self.depth):
            features = self.activation(self.get_submodule(f"fc{index + 1}")(features))
        outputs: Tensor = self.head(features)
        return outputs
