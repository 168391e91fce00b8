"""The arithmetic of a gradient step by itself: the floor under what any arrangement around the same kernels can reach.

Run with ``python benchmarks/train.py kernels --threads 2``. DQN: the Nature network, batch 32, channels-last, one pass
of the target, one of the network and one back. SAC: two hidden layers of 256, batch 256, the sizes of HalfCheetah, all
passes of critics and actor. Every call is repeated on the same tensors, so that they are in the cache; medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

BATCH, ACTIONS = 32, 4
CONVOLUTIONS = ((4, 32, 8, 4, 84), (32, 64, 4, 2, 20), (64, 64, 3, 1, 9))  # channels in and out, kernel, stride, side
DENSE = ((3136, 512), (512, ACTIONS))
SAC_BATCH, OBSERVATION, ACTION, WIDTH = 256, 17, 6, 256


def milliseconds(call: Callable[[], object], repeats: int = 40) -> float:
    """Return the median time of a call."""
    found = []
    for repeat in range(repeats + 5):
        start = time.perf_counter()
        call()
        if repeat >= 5:
            found.append(1000 * (time.perf_counter() - start))
    return statistics.median(found)


def dqn() -> tuple[float, float]:
    """Return milliseconds of a forward pass and of a backward pass."""
    forward = backward = 0.0
    for index, (read, written, kernel, stride, side) in enumerate(CONVOLUTIONS):
        inputs = torch.randn(BATCH, read, side, side).relu().to(memory_format=torch.channels_last)
        weight = torch.randn(written, read, kernel, kernel).to(memory_format=torch.channels_last)
        bias = torch.zeros(written)
        slope = torch.randn_like(F.conv2d(inputs, weight, bias, stride))
        wanted = [index > 0, True, True]  # nobody asks for the gradient of the pixels
        shape = ([written], [stride, stride], [0, 0], [1, 1], False, [0, 0], 1, wanted)
        forward += milliseconds(lambda: F.conv2d(inputs, weight, bias, stride))  # noqa: B023
        backward += milliseconds(lambda: torch.ops.aten.convolution_backward(slope, inputs, weight, *shape))  # noqa: B023
    for read, written in DENSE:
        inputs, weight, bias = torch.randn(BATCH, read), torch.randn(written, read), torch.zeros(written)
        slope = torch.randn(BATCH, written)
        forward += milliseconds(lambda: F.linear(inputs, weight, bias))  # noqa: B023
        backward += milliseconds(lambda: (slope.t() @ inputs, slope @ weight, slope.sum(0)))  # noqa: B023
    return forward, backward


def sac() -> float:
    """Return milliseconds of all passes of a gradient step: two of the actor, six of critics, and what goes back."""
    states, pairs = torch.randn(SAC_BATCH, OBSERVATION), torch.randn(SAC_BATCH, OBSERVATION + ACTION)
    actor, *critics = _dense(OBSERVATION, 2 * ACTION), _dense(OBSERVATION + ACTION, 1), _dense(OBSERVATION + ACTION, 1)
    slope, actor_slope = torch.randn(SAC_BATCH, 1), torch.randn(SAC_BATCH, 2 * ACTION)

    def step() -> None:
        _pass(actor, states)  # the target: the action that follows, and its values
        for critic in critics:
            _pass(critic, pairs)
        for critic in critics:
            _back(critic, _pass(critic, pairs), slope, learned=True, to_inputs=False)
        seen = _pass(actor, states)
        for critic in critics:
            _back(critic, _pass(critic, pairs), slope, learned=False, to_inputs=True)
        _back(actor, seen, actor_slope, learned=True, to_inputs=False)

    return milliseconds(step)


def _dense(read: int, written: int) -> list[tuple[Tensor, Tensor]]:
    sizes = (read, WIDTH, WIDTH, written)
    return [(0.1 * torch.randn(out, into), torch.zeros(out)) for into, out in pairwise(sizes)]


def _pass(layers: list[tuple[Tensor, Tensor]], features: Tensor) -> list[Tensor]:
    """Return what each layer reads."""
    read = []
    for weight, bias in layers:
        read.append(features)
        features = torch.addmm(bias, features, weight.t())
        features = features if weight is layers[-1][0] else features.relu_()
    return read


def _back(
    layers: list[tuple[Tensor, Tensor]], read: list[Tensor], slope: Tensor, *, learned: bool, to_inputs: bool
) -> None:
    for index in reversed(range(len(layers))):
        if learned:
            _ = slope.t() @ read[index], slope.sum(0)
        if index or to_inputs:
            slope = slope @ layers[index][0]
        if index:
            slope = torch.ops.aten.threshold_backward(slope, read[index], 0)


def main(words: list[str]) -> None:
    """Measure and print."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="train.py kernels", description=__doc__, formatter_class=layout)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args(words).threads)
    with torch.no_grad():
        forward, backward = dqn()
        print(f"dqn  forward {forward:.1f} ms, backward {backward:.1f} ms, all: {2 * forward + backward:.1f} ms")
        print(f"sac  all passes: {sac():.1f} ms")
