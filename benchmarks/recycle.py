"""What ReDo costs: processor time of one recycling of the Nature CNN, and its share of training at F = 1000.

Run with ``OMP_NUM_THREADS=1 python benchmarks/recycle.py``. Processor time on one thread is measured, so that other
work on the machine disturbs little; the median of 15 is printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from dormancy.networks import NatureNetwork
from dormancy.recycle import ReDo

REPEATS = 15
PERIOD = 1000


def milliseconds(act: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> float:
    taken = []
    for _ in range(REPEATS):
        prepare()
        start = time.process_time()
        act()
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, target = NatureNetwork(6), NatureNetwork(6)
    optimizer = torch.optim.Adam(model.parameters(), lr=6.25e-5, eps=1.5e-4, fused=True)
    batch = torch.randint(0, 256, (32, 4, 84, 84), dtype=torch.uint8)
    sample = torch.randint(0, 256, (64, 4, 84, 84), dtype=torch.uint8)

    def learn() -> None:
        with torch.no_grad():
            goal = target(batch).amax(1)
        optimizer.zero_grad()
        F.smooth_l1_loss(model(batch)[:, 0], goal).backward()
        optimizer.step()

    @torch.no_grad()
    def silence() -> None:
        for layer in (model.conv1, model.conv2, model.conv3, model.fc1):
            layer.bias[::5] = -1000.0

    learn()
    redo = ReDo(model, optimizer, tau=0.1, period=1)
    first = milliseconds_once(lambda: redo.step(sample))
    gradient, recycling = milliseconds(learn), milliseconds(lambda: redo.step(sample), silence)
    silence()
    print(f"gradient step (batch 32)         {gradient:8.1f} ms")
    print(f"recycling {redo.plan(sample).recycled} neurons (sample 64) {recycling:8.1f} ms")
    print(f"the first one, with tracing      {first:8.1f} ms")
    print(f"share of training at F = {PERIOD}    {100 * recycling / (PERIOD * gradient + recycling):8.2f} %")


def milliseconds_once(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return 1000 * (time.process_time() - start)


if __name__ == "__main__":
    main()
