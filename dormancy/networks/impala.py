"""The residual network of IMPALA (Espeholt et al. 2018, arXiv 1802.01561), which the paper trains in Fig. 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.errors import UsageError
from dormancy.networks.layers import ACTIVATIONS, Activation, norm_layer, read_by_next, scaled, to_input, xavier_zero
from dormancy.networks.spec import ARCHITECTURES, RESIZERS

__all__ = ["ImpalaNetwork"]

BLOCKS = 2
"""Residual blocks of a stack."""


class _Block(nn.Module):
    """x + conv2(f(conv1(f(x)))), f the nonlinearity; what goes in and what comes out have the width of the stream.

    `inner` is how many neurons ``conv1`` has: the only ones here that nothing is added to.
    """

    def __init__(self, stream: int, inner: int, activation: str, norm: str | None) -> None:
        super().__init__()
        self.norm1 = norm_layer(norm, stream, maps=True)
        self.conv1 = nn.Conv2d(read_by_next(stream, activation), inner, 3, padding=1)
        self.norm2 = norm_layer(norm, inner, maps=True)
        self.conv2 = nn.Conv2d(read_by_next(inner, activation), stream, 3, padding=1)
        self._activation: Activation = ACTIVATIONS[activation]

    def forward(self, stream: Tensor) -> Tensor:
        """Add what the block has to say to the stream."""
        hidden = self.conv1(self._activation(self.norm1(stream)))
        added: Tensor = stream + self.conv2(self._activation(self.norm2(hidden)))
        return added


class _Stack(nn.Module):
    """A convolution, a max-pool that halves the sides, and two residual blocks."""

    def __init__(self, read: int, stream: int, inner: Sequence[int], activation: str, norm: str | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(read, stream, 3, padding=1)
        self.block1, self.block2 = (_Block(stream, size, activation, norm) for size in inner)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (batch, read, height, width) to (batch, stream, height / 2, width / 2), rounded up."""
        pooled = F.max_pool2d(self.conv(inputs), 3, stride=2, padding=1)
        stream: Tensor = self.block2(self.block1(pooled))
        return stream


@ARCHITECTURES.register("impala")
@final
class ImpalaNetwork(nn.Module):
    """Three stacks (convolution 3x3, max-pool 3/2, two residual blocks) of 32, 64, 64 maps, a dense layer of 512, head.

    Input: raw frames (batch, channels, height, width), ``uint8`` or float, multiplied by `input_scale` here. Output:
    (batch, outputs). Nonlinearities stand before the convolutions of a block, so what runs from block to block is a sum
    of several layers: the neurons of a stream are scored, and no rewriting of them is exact. ``stack1.block1.conv1``
    and its five kin, and ``fc1``, have readers of their own and can be recycled and removed. `inner` are the sizes of
    those six, as wide as their streams unless given. `norm` "layer" puts LayerNorm before each nonlinearity. Max-pools
    pad one pixel on each side, where Flax's SAME pads an even side behind only: 84 x 84 becomes 11 x 11 either way.
    """

    def __init__(
        self,
        outputs: int,
        observation_shape: Sequence[int] = (4, 84, 84),
        width: float = 1.0,
        hidden: int = 512,
        activation: str = "relu",
        dueling: bool = False,
        input_scale: float = 1 / 255,
        channels: Sequence[int] = (32, 64, 64),
        inner: Sequence[int] | None = None,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        read, height, columns = observation_shape
        streams = [scaled(size, width) for size in channels]
        sizes = _inner_sizes(channels, inner, width)
        for index, stream in enumerate(streams):
            blocks = sizes[BLOCKS * index : BLOCKS * (index + 1)]
            self.add_module(f"stack{index + 1}", _Stack(read, stream, blocks, activation, norm))
            read, height, columns = stream, (height + 1) // 2, (columns + 1) // 2
        self.stacks, dense = len(streams), scaled(hidden, width)
        self.norm1 = norm_layer(norm, read, maps=True)
        self.fc1 = nn.Linear(read_by_next(read, activation) * height * columns, dense)
        self.norm2 = norm_layer(norm, dense, maps=False)
        self.head = nn.Linear(read_by_next(dense, activation), outputs)
        self.value = nn.Linear(read_by_next(dense, activation), 1) if dueling else None
        self.activation = ACTIVATIONS[activation]
        self.input_scale = input_scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: Xavier-uniform weights, zero biases."""
        xavier_zero(self)

    def forward(self, observations: Tensor) -> Tensor:
        """Map raw frames to one value per output."""
        stream = to_input(observations, self.head.weight, self.input_scale)
        for index in range(self.stacks):
            stream = self.get_submodule(f"stack{index + 1}")(stream)
        features = self.activation(self.norm1(stream)).flatten(1)
        features = self.activation(self.norm2(self.fc1(features)))
        outputs: Tensor = self.head(features)
        if self.value is None:
            return outputs
        value: Tensor = self.value(features)
        return value + outputs - outputs.mean(dim=1, keepdim=True)


def _inner_sizes(channels: Sequence[int], inner: Sequence[int] | None, width: float) -> list[int]:
    sizes = [size for size in channels for _ in range(BLOCKS)] if inner is None else list(inner)
    if len(sizes) != BLOCKS * len(channels):
        raise UsageError(f"{len(channels)} stacks have {BLOCKS * len(channels)} inner sizes, but {sizes} were given")
    return [scaled(size, width) for size in sizes]


@RESIZERS.register("impala")
def _resize(options: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Only what is inside the blocks, and the dense layer, can have sizes of their own: streams keep theirs."""
    width, channels = options.get("width", 1.0), options.get("channels", (32, 64, 64))
    given = _inner_sizes(channels, options.get("inner"), width)
    names = [f"stack{1 + index // BLOCKS}.block{1 + index % BLOCKS}.conv1" for index in range(len(given))]
    inner = [sizes.get(name, size) for name, size in zip(names, given, strict=True)]
    streams = [scaled(size, width) for size in channels]
    hidden = sizes.get("fc1", scaled(options.get("hidden", 512), width))
    return {**options, "width": 1.0, "channels": streams, "inner": inner, "hidden": hidden}
