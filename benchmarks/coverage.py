"""How often the 95 % interval of the dormant share holds the truth: many samples from populations that are known.

ReLU networks with neurons all around tau look at Gaussian observations. A sample of 30 000 is the population: its
dormant share is the truth. Many small samples are drawn from it, an interval is made of each, and those that hold the
truth are counted. Activations are worked out once a network and resampled by the library's own weights, scores and
interval; that a scan feeds them the same numbers is a matter for the tests.
Run: python benchmarks/coverage.py [--trials 500]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dormancy.metrics.dormant import normalised_scores
from dormancy.metrics.uncertainty import reflected, scores_of_copies, share_interval
from dormancy.resampling import REPLICATES
from dormancy.stats import poisson_weights

Floats = NDArray[np.float64]
INPUTS, POPULATION, NETWORKS = 8, 30_000, 20


@dataclass(frozen=True)
class Setting:
    """Two layers of `width` neurons, `rows` rows; in `episodes` of equal length whose rows are alike, or none."""

    width: int
    tau: float
    rows: int
    episodes: int = 0


def activations(width: int, x: Floats, rng: np.random.Generator) -> list[Floats]:
    """Return two layers whose neurons fire on anything between most and hardly any observations."""
    first = np.maximum(x @ rng.standard_normal((INPUTS, width)) / np.sqrt(INPUTS) + rng.normal(-0.6, 0.8, width), 0)
    weights = rng.standard_normal((width, width)) * np.sqrt(2 / width) / 1.5
    return [first, np.maximum(first @ weights + rng.normal(-0.1, 0.6, width), 0)]


def population(setting: Setting, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Return observations, and the episode of each: rows of one episode share half of their variance."""
    noise = rng.standard_normal((POPULATION, INPUTS))
    if not setting.episodes:
        return noise, np.arange(POPULATION)
    length = setting.rows // setting.episodes
    ids = np.arange(POPULATION) // length
    common = rng.standard_normal((ids[-1] + 1, INPUTS))[ids]
    return np.sqrt(0.5) * (common + noise), ids


def choose(setting: Setting, ids: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a sample's rows from the population: single rows, or whole episodes."""
    if not setting.episodes:
        return rng.integers(POPULATION, size=setting.rows)
    length = setting.rows // setting.episodes
    starts = rng.integers(POPULATION // length, size=setting.episodes) * length
    return (starts[:, None] + np.arange(length)).ravel()


def dormant(layers: list[Floats], tau: float) -> int:
    return sum(int((normalised_scores(layer.mean(0)) <= tau).sum()) for layer in layers)


def replicates(layers: list[Floats], drawn: NDArray[np.int64], tau: float, seed: int) -> Floats:
    """Count the dormant neurons of every replicate, turned over as the library does and as it is: (2, replicates)."""
    weights = poisson_weights(drawn, REPLICATES, seed)
    counts = np.zeros((2, REPLICATES))
    for layer in layers:
        copies = scores_of_copies(weights.T @ layer / weights.sum(0)[:, None])
        scores = normalised_scores(layer.mean(0))
        counts += [(reflected(scores, copies) <= tau).sum(1), (copies <= tau).sum(1)]
    return counts


def coverage(setting: Setting, trials: int) -> tuple[float, float, float, float]:
    """Return the true share, the mean estimate, the coverage, and that of quantiles without reflection."""
    held, shares = np.zeros((trials, 2)), np.zeros((trials, 2))
    neurons = 2 * setting.width
    for trial in range(trials):
        if trial % (trials // NETWORKS) == 0:  # many networks, so that no single one decides
            rng = np.random.default_rng(trial)
            x, ids = population(setting, rng)
            everything = activations(setting.width, x, rng)
            truth = dormant(everything, setting.tau) / neurons
        rows = choose(setting, ids, np.random.default_rng([trial, 1]))
        layers = [layer[rows] for layer in everything]
        drawn = np.arange(setting.rows) // (setting.rows // setting.episodes if setting.episodes else 1)
        estimate = dormant(layers, setting.tau) / neurons
        for column, found in enumerate(replicates(layers, drawn, setting.tau, trial) / neurons):
            _, low, high = share_interval(found, estimate)
            held[trial, column] = low - 1e-12 <= truth <= high + 1e-12
        shares[trial] = truth, estimate
    return (*shares.mean(axis=0), *held.mean(axis=0))


SETTINGS = [
    *(Setting(width, tau, rows) for width in (64, 256) for tau in (0.025, 0.1) for rows in (256, 512, 1024)),
    Setting(64, 0.1, 1024, 64),
    Setting(256, 0.1, 1024, 64),
    Setting(64, 0.0, 512),
    Setting(64, 0.025, 64),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    trials = parser.parse_args().trials
    print("| neurons | tau | rows | episodes | true share | mean estimate | coverage | without reflection |")
    print("|---|---|---|---|---|---|---|---|")
    for setting in SETTINGS:
        truth, estimate, ours, plain = coverage(setting, trials)
        cells = (2 * setting.width, f"{setting.tau:g}", setting.rows, setting.episodes or "-")
        shares = (f"{100 * truth:.2f} %", f"{100 * estimate:.2f} %", f"{100 * ours:.1f} %", f"{100 * plain:.1f} %")
        print(f"| {' | '.join(map(str, cells + shares))} |", flush=True)


if __name__ == "__main__":
    main()
