"""What each metric costs, as a multiple of the plain forward pass over the same sample, in processor time.

Nature CNN (672 neurons, 6 actions), 84 x 84 x 4 pixels with whole transitions, one thread. The plain pass and every
metric take turns within each round, and medians over rounds are compared; processor time does not count what other
processes take meanwhile, though it suffers where they share caches. A metric is measured by itself: together they
share passes and cost less than the sum. Run: python benchmarks/metrics.py [--rows 512]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from dormancy.graph import call_model, undisturbed
from dormancy.io import ReplaySample
from dormancy.metrics import METRICS
from dormancy.networks import NatureNetwork
from dormancy.probing.probe import Probe

# It trains ten copies whatever the size of the sample: a multiple of one pass would say little, so it is timed once.
TIMED_ONCE = ("probe",)


def sample(rows: int) -> ReplaySample:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, rows, 4, 84, 84), dtype=np.uint8)
    return ReplaySample(
        frames[0],
        next_observations=frames[1],
        actions=rng.integers(6, size=rows),
        rewards=rng.standard_normal(rows).astype(np.float32),
        terminations=np.zeros(rows, dtype=bool),
    )


def plain(probe: Probe) -> None:
    with undisturbed(probe.model):
        for batch in probe.batches():
            call_model(probe.model, batch)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, reference, data = NatureNetwork(6).eval(), NatureNetwork(6).eval(), sample(options.rows)
    graph = Probe(model, data).graph

    def probe() -> Probe:
        fresh = Probe(model, data, reference=reference)
        fresh.graph = graph
        return fresh

    names = [name for name in METRICS if name not in TIMED_ONCE]
    times: dict[str, list[float]] = {name: [] for name in ["plain", *names]}
    plain(probe())  # the first pass of a process is slower than the others
    for _ in range(options.rounds):
        times["plain"].append(seconds(lambda: plain(probe())))
        for name in names:
            times[name].append(seconds(lambda name=name: METRICS[name].measure(probe())))
    unit = statistics.median(times["plain"])
    print(f"plain forward pass over {options.rows} rows: {unit:.2f} processor seconds; torch {torch.__version__}")
    print("| metric | x forward | in every scan |")
    print("|---|---|---|")
    for name in names:
        cost = statistics.median(times[name]) / unit
        print(f"| `{name}` | {cost:.2f} | {'yes' if METRICS[name].default else 'no'} |", flush=True)
    for name in TIMED_ONCE:
        spent = seconds(lambda name=name: METRICS[name].measure(probe()))
        print(f"| `{name}` | {spent / unit:.0f} ({spent:.0f} processor s, whatever the sample) | no |")


if __name__ == "__main__":
    main()
