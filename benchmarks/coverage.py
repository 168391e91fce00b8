"""How often the 95 % interval of the dormant share holds the truth: many samples from populations that are known.

Networks with neurons all around tau look at random observations: two ReLU layers at Gaussian ones, as they were when
the interval was made; and, held out from that, three sparse ReLU layers, leaky ReLU and GELU, at Gaussian observations,
at such with heavy tails, and such in clumps. A sample of 30 000 is the population: its dormant share is the truth. Many
small samples are drawn from it, an interval is made of each, and those that hold the truth are counted. Activations are
worked out once a network and resampled by the library's own weights, scores and interval; that a scan feeds them the
same numbers is a matter for the tests.
Run: python benchmarks/coverage.py [--trials 200]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dormancy.hashed_random import poisson_weights
from dormancy.metrics.dormant import normalised_scores
from dormancy.metrics.uncertainty import reflected, resolves, scores_of_copies, share_interval
from dormancy.probing.bootstrap import REPLICATES

Floats = NDArray[np.float64]
Network = Callable[[int, Floats, np.random.Generator], list[Floats]]
POPULATION, NETWORKS = 30_000, 20


@dataclass(frozen=True)
class Setting:
    """Layers of `width` neurons, `rows` rows; in `episodes` of equal length whose rows are alike, or none."""

    width: int
    tau: float
    rows: int
    episodes: int = 0
    network: str = "relu"
    inputs: int = 8
    observations: str = "normal"

    @property
    def clusters(self) -> int:
        return self.episodes or self.rows


def relu(width: int, x: Floats, rng: np.random.Generator) -> list[Floats]:
    """Two layers whose neurons fire on anything between most and hardly any observations."""
    inputs = x.shape[1]
    first = np.maximum(x @ rng.standard_normal((inputs, width)) / np.sqrt(inputs) + rng.normal(-0.6, 0.8, width), 0)
    weights = rng.standard_normal((width, width)) * np.sqrt(2 / width) / 1.5
    return [first, np.maximum(first @ weights + rng.normal(-0.1, 0.6, width), 0)]


def sparse(width: int, x: Floats, rng: np.random.Generator) -> list[Floats]:
    """Three ReLU layers with three in ten weights, whose thresholds have an exponential distribution."""
    layers, below = [], x
    for _ in range(3):
        shape = below.shape[1], width
        z = below @ (rng.standard_normal(shape) * (rng.random(shape) < 0.3))
        below = np.maximum(z / z.std() - rng.exponential(0.9, width), 0)
        layers.append(below)
    return layers


def smooth(
    function: Callable[[Floats], Floats], shift: float
) -> Callable[[int, Floats, np.random.Generator], list[Floats]]:
    """Two layers with another nonlinearity."""

    def network(width: int, x: Floats, rng: np.random.Generator) -> list[Floats]:
        layers, below = [], x
        for _ in range(2):
            z = below @ rng.standard_normal((below.shape[1], width))
            below = function(z / z.std() + rng.normal(-shift, shift, width))
            layers.append(np.abs(below))
        return layers

    return network


NETWORK = {
    "relu": relu,
    "sparse": sparse,
    "leaky": smooth(lambda z: np.where(z > 0, z, 0.01 * z), 0.9),
    "gelu": smooth(lambda z: z / (1 + np.exp(-1.702 * z)), 1.2),
}


def drawn(kind: str, rows: int, inputs: int, rng: np.random.Generator) -> Floats:
    """Gaussian numbers, such with heavy tails (Student's t, 3 degrees of freedom), or twelve clumps of unlike size."""
    if kind == "tails":
        return np.clip(rng.standard_t(3, (rows, inputs)), -10, 10) / 1.7
    if kind == "clumps":
        sizes = 2.0 ** -np.append(np.arange(1, 12), 11)
        return 1.5 * rng.standard_normal((12, inputs))[rng.choice(12, rows, p=sizes)] + 0.4 * rng.standard_normal(
            (rows, inputs)
        )
    return rng.standard_normal((rows, inputs))


def population(setting: Setting, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Return observations, and the episode of each: rows of one episode share half of their variance."""
    noise = drawn(setting.observations, POPULATION, setting.inputs, rng)
    if not setting.episodes:
        return noise, np.arange(POPULATION)
    length = setting.rows // setting.episodes
    ids = np.arange(POPULATION) // length
    common = drawn(setting.observations, ids[-1] + 1, setting.inputs, rng)[ids]
    return np.sqrt(0.5) * (common + noise), ids


def choose(setting: Setting, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a sample's rows from the population: single rows, or whole episodes."""
    if not setting.episodes:
        return rng.integers(POPULATION, size=setting.rows)
    length = setting.rows // setting.episodes
    starts = rng.integers(POPULATION // length, size=setting.episodes) * length
    return (starts[:, None] + np.arange(length)).ravel()


def dormant(layers: list[Floats], tau: float) -> int:
    return sum(int((normalised_scores(layer.mean(0)) <= tau).sum()) for layer in layers)


def replicates(layers: list[Floats], clusters: NDArray[np.int64], tau: float, seed: int) -> Floats:
    """Count the dormant neurons of every replicate, turned over as the library does and as it is: (2, replicates)."""
    weights = poisson_weights(clusters, REPLICATES, seed)
    counts = np.zeros((2, REPLICATES))
    for layer in layers:
        copies = scores_of_copies(weights.T @ layer / weights.sum(0)[:, None])
        scores = normalised_scores(layer.mean(0))
        counts += [(reflected(scores, copies) <= tau).sum(1), (copies <= tau).sum(1)]
    return counts


def coverage(setting: Setting, trials: int, first_seed: int) -> tuple[float, float, float, float]:
    """Return the true share, the mean estimate, the coverage, and that of quantiles without reflection."""
    held, shares = np.zeros((trials, 2)), np.zeros((trials, 2))
    for trial in range(trials):
        if trial % (trials // NETWORKS) == 0:  # many networks, so that no single one decides
            rng = np.random.default_rng(first_seed + trial)
            x, _ = population(setting, rng)
            everything = NETWORK[setting.network](setting.width, x, rng)
            neurons = sum(layer.shape[1] for layer in everything)
            truth = dormant(everything, setting.tau) / neurons
        rows = choose(setting, np.random.default_rng([first_seed + trial, 1]))
        layers = [layer[rows] for layer in everything]
        clusters = np.arange(setting.rows) // (setting.rows // setting.clusters)
        estimate = dormant(layers, setting.tau) / neurons
        for column, found in enumerate(replicates(layers, clusters, setting.tau, trial) / neurons):
            _, low, high = share_interval(found, estimate)
            low = low if resolves(setting.clusters, setting.tau) else 0.0
            held[trial, column] = low - 1e-12 <= truth <= high + 1e-12
        shares[trial] = truth, estimate
    return (*shares.mean(axis=0), *held.mean(axis=0))


FAMILIAR = [
    *(Setting(width, tau, rows) for width in (64, 256) for tau in (0.025, 0.1) for rows in (256, 512, 1024)),
    Setting(64, 0.1, 1024, 64),
    Setting(256, 0.1, 1024, 64),
]
HELD_OUT = [
    Setting(64, 0.025, 512, network="sparse"),
    Setting(128, 0.1, 512, network="sparse", inputs=16),
    Setting(128, 0.05, 128, network="sparse"),
    Setting(128, 0.1, 1024, network="sparse", observations="clumps"),
    Setting(64, 0.1, 1024, 64, network="sparse", inputs=16),
    Setting(64, 0.05, 512, network="leaky", inputs=6, observations="tails"),
    Setting(256, 0.1, 512, network="leaky"),
    Setting(128, 0.1, 1024, 128, network="leaky", observations="tails"),
    Setting(128, 0.1, 256, network="gelu", inputs=16),
    Setting(64, 0.025, 1024, network="gelu", observations="tails"),
]
TOO_SMALL = [
    Setting(64, 0.0, 512),
    Setting(64, 0.025, 64),
    Setting(64, 0.025, 64, network="sparse"),
    Setting(64, 0.1, 1024, 32, network="sparse", inputs=16),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=100_000, help="networks and samples begin with this seed")
    asked = parser.parse_args()
    print(
        "| set | network | observations | neurons | tau | rows | episodes | true | mean estimate | coverage | plain |"
    )
    print("|---" * 11 + "|")
    for name, settings in (("familiar", FAMILIAR), ("held out", HELD_OUT), ("too small", TOO_SMALL)):
        for setting in settings:
            truth, estimate, ours, plain = coverage(setting, asked.trials, asked.seed)
            layers = 3 if setting.network == "sparse" else 2
            cells = (name, setting.network, setting.observations, layers * setting.width)
            sizes = (f"{setting.tau:g}", setting.rows, setting.episodes or "-")
            shares = (f"{100 * truth:.2f} %", f"{100 * estimate:.2f} %", f"{100 * ours:.1f} %", f"{100 * plain:.1f} %")
            print(f"| {' | '.join(map(str, cells + sizes + shares))} |", flush=True)


if __name__ == "__main__":
    main()
