"""How pixels lie in memory, and how memory is kept: small things that decide how fast a CPU trains."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["channels_last", "interleave", "keep_freed_memory", "to_device"]

FOUR_BYTES = 4
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
LARGEST_KEPT = 32 << 20  # bytes; older C libraries accept no larger block, and no temporary here is larger
HEAP_KEPT = 1 << 30


def interleave(planes: Tensor, out: Tensor) -> Tensor:
    """Put planes (depth, batch, pixels) together pixel by pixel, (batch, pixels, depth), in the memory of `out`.

    On a CPU four planes of bytes are added up as the four bytes of one integer each, which takes a third of the time of
    the strided copy that says the same; on a GPU that copy is one launch in the place of seven.
    """
    depth, batch, pixels = planes.shape
    adds = depth == FOUR_BYTES and planes.dtype == torch.uint8 and sys.byteorder == "little"
    if not adds or planes.device.type != "cpu":
        out.view(batch, pixels, depth).copy_(planes.permute(1, 2, 0))
        return out
    words = out.view(-1).view(torch.int32).view(batch, pixels)
    words.copy_(planes[3])
    for plane in (planes[2], planes[1], planes[0]):
        torch.add(plane.to(torch.int32), words, alpha=256, out=words)  # wraps into the sign bit, as it should
    return out


def to_device(array: NDArray[Any], device: str | torch.device) -> Tensor:
    """Return an array as a tensor on a device; on the CPU they share memory, on the way to a GPU nobody waits.

    The pinned copy is not used again before the transfer has read it: PyTorch's allocator sees to that.
    """
    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def channels_last(network: nn.Module) -> nn.Module:
    """Lay the weights of convolutions out as `interleave` lays out their inputs; a dense network stays as it is."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def keep_freed_memory() -> None:
    """Ask the C library to keep large blocks when they are freed, where it can be asked.

    By default each temporary of a gradient step is handed back to the system and its pages are faulted in again at the
    next step; that took a fifth to a quarter of the time of a small convolutional network.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, HEAP_KEPT)
