"""What a metric is: a named function from a `Probe` to plain values, with its formula and its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from dormancy.arrays import FloatArray
from dormancy.registry import Registry

if TYPE_CHECKING:
    from dormancy.probing.probe import Probe

__all__ = ["METRICS", "Measurement", "Metric", "metric"]


@final
@dataclass(frozen=True, eq=False)
class Measurement:
    """What a metric found: one value per neuron, per layer or for the network, whichever it speaks of.

    `neurons` holds float64 arrays of shape (size of the layer,) by layer name, `layers` one number by layer name,
    `network` one number. `detail` is JSON-able, for what fits neither (a spectrum). NaN means undefined.
    """

    neurons: Mapping[str, FloatArray] = field(default_factory=dict)
    layers: Mapping[str, float] = field(default_factory=dict)
    network: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Metric:
    """A registered metric. `formula` is one line of plain text; `source` names the paper and equation."""

    name: str
    title: str
    formula: str
    source: str
    measure: Callable[[Probe], Measurement]
    default: bool


METRICS: Registry[Metric] = Registry("metric")


def metric(
    name: str, *, title: str, formula: str, source: str, default: bool = True
) -> Callable[[Callable[[Probe], Measurement]], Callable[[Probe], Measurement]]:
    """Register a function from a probe to a `Measurement`; `default` metrics are part of every scan."""

    def register(measure: Callable[[Probe], Measurement]) -> Callable[[Probe], Measurement]:
        METRICS.register(name)(Metric(name, title, formula, source, measure, default))
        return measure

    return register
