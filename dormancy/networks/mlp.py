"""A multi-layer perceptron: classic control, and the dense networks of other people's agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor, nn

from dormancy.networks.layers import ACTIVATIONS, norm_layer, read_by_next, scaled, to_input, xavier_zero
from dormancy.networks.spec import ARCHITECTURES, RESIZERS

__all__ = ["MLPNetwork"]


@ARCHITECTURES.register("mlp")
@final
class MLPNetwork(nn.Module):
    """Dense layers ``fc1``, ``fc2``, ... with a nonlinearity each, then a linear ``head``.

    Input: (batch, inputs), or any (batch, ...) with that many numbers a row. Output: (batch, outputs). `norm` "layer"
    puts LayerNorm before each nonlinearity; `activation` "crelu" doubles what the next layer reads.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (64, 64),
        width: float = 1.0,
        activation: str = "relu",
        input_scale: float = 1.0,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        self.depth, read = len(hidden), inputs
        for index, size in enumerate((scaled(size, width) for size in hidden), start=1):
            self.add_module(f"fc{index}", nn.Linear(read, size))
            self.add_module(f"norm{index}", norm_layer(norm, size, maps=False))
            read = read_by_next(size, activation)
        self._dense = [f"fc{index}" for index in range(1, self.depth + 1)]
        self._norms = [None if norm is None else f"norm{index}" for index in range(1, self.depth + 1)]
        self.head = nn.Linear(read, outputs)
        self.activation = ACTIVATIONS[activation]
        self.input_scale = input_scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: Xavier-uniform weights, zero biases."""
        xavier_zero(self)

    def forward(self, observations: Tensor) -> Tensor:
        """Map raw observations to one value per output."""
        features = to_input(observations, self.head.weight, self.input_scale).flatten(1)
        for dense, norm in zip(self._dense, self._norms, strict=True):
            hidden = self._modules[dense](features)  # type: ignore[misc]  # by name: pruning puts others in their place
            features = self.activation(hidden if norm is None else self._modules[norm](hidden))  # type: ignore[misc]
        outputs: Tensor = self.head(features)
        return outputs


@RESIZERS.register("mlp")
def _resize(options: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    return {**options, "width": 1.0, "hidden": [sizes[f"fc{index + 1}"] for index in range(len(sizes))]}
