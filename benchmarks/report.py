"""What a report costs: 5 000 neurons at 500 checkpoints, as bytes and seconds.

Run with ``python benchmarks/report.py``. The scores drift as those of a real run do; the limits are 3 MB and 10 s.
"""

import time

import numpy as np

from dormancy.report import render_html
from dormancy.scanning.result import DormancyScan, LayerScore
from dormancy.scanning.series import DormancySeries

LAYERS = {"conv1": 200, "conv2": 800, "fc1": 4000}
CHECKPOINTS = 500


def series() -> DormancySeries:
    """Return a made-up run: about half of the neurons fall silent one after the other, and a few come back."""
    rng = np.random.default_rng(0)
    courses = {}
    for name, size in LAYERS.items():
        drift = np.abs(rng.normal(0, 0.008, size)) * (rng.random(size) < 0.6)
        walk = rng.normal(0, 0.05, (CHECKPOINTS, size)).cumsum(axis=0)
        levels = np.exp(rng.normal(0, 0.8, size) + walk - np.arange(CHECKPOINTS)[:, None] * drift)
        levels[levels < 1e-3] = 0.0
        courses[name] = levels / levels.mean(axis=1, keepdims=True)
    scans = [
        DormancyScan(
            tuple(LayerScore(name, "relu", rows[k], None, None, name == "fc1") for name, rows in courses.items()),
            (0.1, 0.0),
            {},
            512,
            agent_step=20_000 * k,
        )
        for k in range(CHECKPOINTS)
    ]
    return DormancySeries.of("large", scans)


if __name__ == "__main__":
    run = series()
    wall, processor = time.perf_counter(), time.process_time()
    page = render_html([run]).encode()
    seconds, used = time.perf_counter() - wall, time.process_time() - processor
    print(f"{sum(LAYERS.values())} neurons x {CHECKPOINTS} checkpoints: {len(page) / 1e6:.2f} MB", end=", ")
    print(f"{seconds:.1f} s ({used:.1f} s of processor time)")
