"""The image augmentation of DrQ as functions on tensors (Kostrikov et al. 2020, arXiv 2004.13649)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dormancy_agents.replay.pixel_layout import to_device

__all__ = ["augmented", "rescaled", "shifted"]

PAD = 4
"""Pixels by which an image may move in each direction, in the paper and in the authors' code."""
INTENSITY_SCALE = 0.05
INTENSITY_CLIP = 2.0


def shifted(images: Tensor, offsets: Tensor, pad: int = PAD) -> Tensor:
    """Pad images by repeating their edges and crop each back to its size at an offset of its own.

    `images` have shape (batch, frames, height, width), `offsets` (batch, 2): the row and column, 0 to 2 * `pad`, where
    the crop begins; `pad` for both is no shift. The frames of a stack move together. Cropping a padded image is
    reading it at coordinates held within its bounds, which is how it is done here. The dtype stays.

    >>> shifted(torch.tensor([[[[1, 2, 3]]]]), torch.tensor([[1, 0]]), pad=1)
    tensor([[[[1, 1, 2]]]])
    """
    batch, _, height, width = images.shape
    rows = _held(offsets[:, 0], height, pad)[:, :, None]
    columns = _held(offsets[:, 1], width, pad)[:, None, :]
    picked = images.movedim(1, -1)[torch.arange(batch, device=images.device)[:, None, None], rows, columns]
    return picked.movedim(-1, 1)


def _held(offsets: Tensor, size: int, pad: int) -> Tensor:
    """Return the coordinates to read along one side, (batch, size), each within the image."""
    return (offsets[:, None] + torch.arange(size, device=offsets.device) - pad).clamp(0, size - 1)


def rescaled(images: Tensor, noise: Tensor, scale: float = INTENSITY_SCALE) -> Tensor:
    """Multiply each image by 1 + `scale` * noise, the noise clipped to [-2, 2]; floats come out.

    `images` have shape (batch, ...), `noise` (batch,), standard normal. Schwarzer et al. 2020 (arXiv 2007.05929).

    >>> rescaled(torch.tensor([[100], [100]]), torch.tensor([1.0, -9.0])).round().tolist()
    [[105.0], [90.0]]
    """
    factors = 1.0 + scale * noise.clamp(-INTENSITY_CLIP, INTENSITY_CLIP)
    return images.to(noise.dtype) * factors.view(-1, *[1] * (images.dim() - 1))


def augmented(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return images shifted and rescaled at random, each on its own: DrQ's augmentation.

    `images` are raw pixels (batch, frames, height, width); the result is float32 in the same scale.
    """
    batch, device = len(images), images.device
    offsets = to_device(rng.integers(0, 2 * PAD + 1, (batch, 2)), device)
    noise = to_device(rng.standard_normal(batch, np.float32), device)
    return rescaled(shifted(images, offsets), noise)
