"""Look at a network and leave no trace: modes, random numbers, attributes and precision are put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from dormancy.graph.attributes import attributes_kept

__all__ = ["full_precision", "undisturbed"]


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute products and convolutions of float32 numbers in float32 on GPUs, too, for the time of the block."""
    backends: Any = torch.backends  # whose types do not know of precisions
    kinds = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Look at a network and leave no trace: evaluation mode, no gradients, no random numbers used.

    Buffers and plain attributes of the modules are put back; see `attributes_kept`.

    On a GPU, in full float32: by default PyTorch lets cuDNN round what a convolution reads to 10 bits (TF32).
    """
    modes = {module: module.training for module in model.modules()}
    devices = {tensor.device for tensor in model.parameters() if tensor.device.type == "cuda"}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    precise = full_precision() if devices else nullcontext()
    with torch.random.fork_rng(devices=list(devices)), torch.no_grad(), precise, attributes_kept(model):
        model.eval()
        torch.backends.mha.set_fastpath_enabled(False)  # a fused kernel would hide the layers inside
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for module, mode in modes.items():
                module.training = mode
