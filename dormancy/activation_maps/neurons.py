"""Which neurons are worth a closer look: the most dormant, the lowest above tau, the most active, the wanted ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np

from dormancy.errors import UsageError
from dormancy.registry import nearest
from dormancy.scanning.result import LayerScore

__all__ = ["Choice", "Wanted", "choose_neurons"]

Wanted: TypeAlias = tuple[str, int]
"""A layer by its name, and the number of a neuron in it."""

Reason: TypeAlias = Literal["most dormant", "lowest above tau", "most active", "asked for"]

MOST_LAYERS = 8
FULL_LAYERS = 4
"""Up to so many layers, two neurons are chosen for each reason; in larger networks one."""


@final
@dataclass(frozen=True)
class Choice:
    """One neuron of one layer, its score, and why it was chosen."""

    layer: str
    neuron: int
    score: float
    reason: Reason


def _lowest(layer: LayerScore, tau: float, most: int) -> Iterator[tuple[int, Reason]]:
    """Give the lowest scores: up to `most` that are tau-dormant, then as many just above it, then the highest."""
    order = [int(neuron) for neuron in np.argsort(layer.scores, kind="stable") if np.isfinite(layer.scores[neuron])]
    dormant = [neuron for neuron in order if layer.scores[neuron] <= tau]
    awake = [neuron for neuron in order if layer.scores[neuron] > tau]
    yield from ((neuron, "most dormant") for neuron in dormant[:most])
    yield from ((neuron, "lowest above tau") for neuron in awake[:most])
    yield from ((neuron, "most active") for neuron in awake[most:][::-1][:most])


def _checked(layers: Sequence[LayerScore], wanted: Sequence[Wanted]) -> dict[str, list[int]]:
    sizes = {layer.name: layer.size for layer in layers}
    found: dict[str, list[int]] = {name: [] for name in sizes}
    for name, neuron in wanted:
        if name not in sizes:
            names = list(sizes)
            raise UsageError(
                f"no convolution {name!r} to look at a neuron of{nearest(name, names)}; there are: {', '.join(names)}"
            )
        if not 0 <= neuron < sizes[name]:
            raise UsageError(f"{name!r} has no neuron {neuron}: they are numbered 0 to {sizes[name] - 1}")
        found[name].append(neuron)
    return found


def choose_neurons(layers: Sequence[LayerScore], tau: float, wanted: Sequence[Wanted] = ()) -> tuple[Choice, ...]:
    """Choose up to six neurons of each of up to eight layers, evenly spaced, after the `wanted` ones.

    With more than four layers up to three neurons are chosen. Ties go to the neuron with the lower number; neurons
    without a score are chosen only where they are wanted. Raises `UsageError` for a wanted neuron that does not exist.

    >>> layer = LayerScore("conv1", "relu", np.array([0.0, 2.0, 0.2, 1.8]), None, None, False)
    >>> [(one.neuron, one.reason) for one in choose_neurons([layer], 0.1, [("conv1", 3)])]
    [(3, 'asked for'), (0, 'most dormant'), (2, 'lowest above tau'), (1, 'most active')]
    """
    asked = _checked(layers, wanted)
    each = 2 if len(layers) <= FULL_LAYERS else 1
    shown = {layers[round(place)].name for place in np.linspace(0, len(layers) - 1, min(MOST_LAYERS, len(layers)))}
    found: list[Choice] = []
    for layer in layers:
        reasons: dict[int, Reason] = dict.fromkeys(asked[layer.name], "asked for")
        for neuron, reason in _lowest(layer, tau, each) if layer.name in shown else ():
            reasons.setdefault(neuron, reason)
        found += [Choice(layer.name, one, float(layer.scores[one]), why) for one, why in reasons.items()]
    return tuple(found)
