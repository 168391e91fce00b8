"""Which neurons to prune: the dormant ones, and the controls that tell whether being dormant is what matters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dormancy.arrays import BoolArray
from dormancy.scanning.result import DormancyScan
from dormancy.taus import checked_taus

__all__ = ["dormant_neurons", "random_neurons", "strongest_neurons"]


def dormant_neurons(scan: DormancyScan, tau: float, *, keep_one: bool = False) -> dict[str, BoolArray]:
    """Choose the tau-dormant neurons of every layer: booleans of shape (size,) by layer name.

    With `keep_one`, a layer whose neurons are all dormant keeps the one with the highest score (of equal ones the
    first). Raises `UsageError` for a tau that is not a number >= 0.
    """
    (threshold,) = checked_taus(tau)
    chosen = {layer.name: layer.dormant(threshold) for layer in scan.layers}
    if keep_one:
        for layer in scan.layers:
            if chosen[layer.name].all():
                chosen[layer.name][int(np.argmax(layer.scores))] = False
    return chosen


def random_neurons(
    sizes: Mapping[str, int], counts: Mapping[str, int], draw: np.random.Generator
) -> dict[str, BoolArray]:
    """Choose ``counts[layer]`` of the ``sizes[layer]`` neurons of every layer at random.

    >>> chosen = random_neurons({"fc1": 8}, {"fc1": 3}, np.random.default_rng(0))
    >>> int(chosen["fc1"].sum())
    3
    """
    chosen = {}
    for name, size in sizes.items():
        mask = np.zeros(size, dtype=np.bool_)
        mask[draw.permutation(size)[: counts.get(name, 0)]] = True
        chosen[name] = mask
    return chosen


def strongest_neurons(scan: DormancyScan, counts: Mapping[str, int]) -> dict[str, BoolArray]:
    """Choose the ``counts[layer]`` neurons with the highest scores of every layer; of equal ones the first."""
    chosen = {}
    for layer in scan.layers:
        order = np.argsort(-layer.scores, kind="stable")  # a score that is NaN sorts last
        mask = np.zeros(layer.size, dtype=np.bool_)
        mask[order[: counts.get(layer.name, 0)]] = True
        chosen[layer.name] = mask
    return chosen
