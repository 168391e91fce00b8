"""Observations as small grey pictures, whatever they are stacked of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dormancy.io import ObservationArray

__all__ = ["block_means", "grey_frames", "image_input"]

WIDEST = 42
"""A picture with more pixels a side is shown averaged over blocks."""

COLOURS = 3


def image_input(observations: ObservationArray | Mapping[str, ObservationArray]) -> ObservationArray | None:
    """Return the input that is pictures, (N, channels, height, width) or channels last; None where there is none."""
    inputs = observations.values() if isinstance(observations, Mapping) else (observations,)
    return next((one for one in inputs if len(one.shape) == 4), None)


def _channels_first(frames: NDArray[Any]) -> NDArray[Any]:
    """Move the channels to the front where they are plainly last: few of them, behind a larger second dimension."""
    last = frames.shape[-1] <= 4 < frames.shape[1]
    return np.moveaxis(frames, -1, 1) if last else frames


def grey_frames(observations: NDArray[Any], newest_last: bool = False) -> NDArray[np.float64]:
    """Show (N, channels, height, width) as (N, height', width') in 0..1, black to white, at most 42 pixels a side.

    Three channels are averaged; of a stack of frames (`newest_last`) the newest is shown; other channels are masks of
    objects, and each pixel shows the largest.

    >>> float(grey_frames(np.full((1, 4, 84, 84), 51, dtype=np.uint8)).max())
    0.2
    """
    frames = _channels_first(observations).astype(np.float64)
    unstacked = frames.mean(axis=1) if frames.shape[1] == COLOURS else frames.max(axis=1)
    grey = frames[:, -1] if newest_last else unstacked
    top = 255.0 if observations.dtype == np.uint8 else max(float(np.nanmax(grey, initial=0.0)), 1e-12)
    return np.clip(np.nan_to_num(block_means(grey, WIDEST) / top), 0.0, 1.0)


def block_means(pictures: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Average (N, height, width) over square blocks until no side has more than `most` pixels; edges fill up whole.

    >>> block_means(np.arange(16.0).reshape(1, 4, 4), 2).tolist()
    [[[2.5, 4.5], [10.5, 12.5]]]
    """
    rows, height, width = pictures.shape
    side = -(-max(height, width) // most)
    if side <= 1:
        return pictures
    fill = ((0, 0), (0, -height % side), (0, -width % side))
    whole = np.pad(pictures, fill, mode="edge")
    blocks = whole.reshape(rows, whole.shape[1] // side, side, whole.shape[2] // side, side)
    return np.asarray(blocks.mean(axis=(2, 4)))
