"""The forward passes of our networks in plain NumPy float64, written from the architecture and not from our code."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = Mapping[str, Floats]


def convolve(x: Floats, weight: Floats, bias: Floats, stride: int) -> Floats:
    """Cross-correlate (N, C, H, W) with (O, C, k, k), no padding."""
    kernel = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[None, :, None, None]


def pad_same(x: Floats, kernel: int, stride: int) -> Floats:
    """Pad as TensorFlow's SAME does: as many outputs as ceil(size / stride), the odd zero behind."""
    sides = []
    for size in x.shape[2:]:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides.append((total // 2, total - total // 2))
    return np.pad(x, ((0, 0), (0, 0), *sides))


def relu(x: Floats) -> Floats:
    return np.maximum(x, 0.0)


def nature(w: Weights, pixels: NDArray[np.uint8], same: bool, dueling: bool) -> tuple[Floats, dict[str, Floats]]:
    """Return the Q-values and the activations of every layer."""
    x = pixels.astype(np.float64) / 255.0
    layers = {}
    for name, kernel, stride in (("conv1", 8, 4), ("conv2", 4, 2), ("conv3", 3, 1)):
        x = pad_same(x, kernel, stride) if same else x
        x = layers[name] = relu(convolve(x, w[f"{name}.weight"], w[f"{name}.bias"], stride))
    x = layers["fc1"] = relu(x.reshape(len(x), -1) @ w["fc1.weight"].T + w["fc1.bias"])
    outputs = x @ w["head.weight"].T + w["head.bias"]
    if dueling:
        value = x @ w["value.weight"].T + w["value.bias"]
        outputs = value + outputs - outputs.mean(axis=1, keepdims=True)
    return outputs, layers


def minatar(w: Weights, boards: NDArray[np.uint8], dueling: bool) -> tuple[Floats, dict[str, Floats]]:
    """Return the Q-values and the activations of both layers."""
    maps = relu(convolve(boards.astype(np.float64), w["conv1.weight"], w["conv1.bias"], 1))
    dense = relu(maps.reshape(len(maps), -1) @ w["fc1.weight"].T + w["fc1.bias"])
    outputs = dense @ w["head.weight"].T + w["head.bias"]
    if dueling:
        value = dense @ w["value.weight"].T + w["value.bias"]
        outputs = value + outputs - outputs.mean(axis=1, keepdims=True)
    return outputs, {"conv1": maps, "fc1": dense}


def max_pool(x: Floats) -> Floats:
    """3 x 3, stride 2, one pixel of nothing around."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    return windows.max(axis=(-2, -1))


def impala(w: Weights, pixels: NDArray[np.uint8], slope: float = 0.0) -> tuple[Floats, dict[str, Floats]]:
    """Return the Q-values and the activations inside the blocks and of the dense layer; leaky ReLU with a slope."""

    def convolved(name: str, x: Floats) -> Floats:
        return convolve(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), w[f"{name}.weight"], w[f"{name}.bias"], 1)

    def f(x: Floats) -> Floats:
        return np.where(x > 0, x, slope * x)

    x, layers = pixels.astype(np.float64) / 255.0, {}
    for stack in ("stack1", "stack2", "stack3"):
        x = max_pool(convolved(f"{stack}.conv", x))
        for block in (f"{stack}.block1", f"{stack}.block2"):
            inside = layers[f"{block}.conv1"] = f(convolved(f"{block}.conv1", f(x)))
            x = x + convolved(f"{block}.conv2", inside)
    dense = layers["fc1"] = f(f(x).reshape(len(x), -1) @ w["fc1.weight"].T + w["fc1.bias"])
    return dense @ w["head.weight"].T + w["head.bias"], layers


def mlp(w: Weights, x: Floats, depth: int) -> tuple[Floats, dict[str, Floats]]:
    """Return the outputs and the activations of every layer."""
    layers = {}
    for index in range(1, depth + 1):
        x = layers[f"fc{index}"] = relu(x @ w[f"fc{index}.weight"].T + w[f"fc{index}.bias"])
    return x @ w["head.weight"].T + w["head.bias"], layers


def scores(activations: Floats) -> Floats:
    """Equation 1 of Sokar et al. 2023 for (N, H) or (N, C, H, W)."""
    axes = tuple(axis for axis in range(activations.ndim) if axis != 1)
    means = np.abs(activations).mean(axis=axes)
    return means / means.mean() if means.any() else np.zeros_like(means)
