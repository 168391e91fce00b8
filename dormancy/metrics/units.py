"""What else can be wrong with a unit: constant, dead, saturated, used as a linear one, not finite.

A unit may be any of these without being dormant: a constant unit of a high value is as useless as a silent one, and a
saturated tanh unit scores far above any tau.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dormancy.arrays import BoolArray, FloatArray
from dormancy.metrics.base import Measurement, metric
from dormancy.metrics.dormant import normalised_scores
from dormancy.probing.collectors import SATURATED, Counts
from dormancy.probing.probe import Probe

__all__ = ["LINEAR_SHARE", "STILL", "dead_units", "share_per_layer"]

ZERO_WHEN_DEAD = frozenset({"relu", "relu6", "gelu", "silu", "mish", "hardswish"})
NEGATIVE_WHEN_DEAD = frozenset({"leaky_relu"})
STILL_WHEN_DEAD = frozenset({"tanh", "sigmoid", "hardsigmoid", "elu", "softplus"})
KEEPS_SIGN = frozenset({"relu", "leaky_relu", "elu", "gelu", "silu", "mish", "hardswish"})
STILL = 0.001
LINEAR_SHARE = 0.9


def share_per_layer(flags: Mapping[str, FloatArray]) -> tuple[dict[str, float], float | None]:
    """Return the share of flagged neurons of each layer and, pooled, of all of them.

    Flags are 1 or 0, NaN for a neuron that nothing can be said of: it counts as not flagged, as in the dormant share.
    """
    layers = {name: float(np.mean(each == 1)) for name, each in flags.items()}
    pooled = float(np.mean(np.concatenate(list(flags.values())) == 1)) if flags else None
    return layers, pooled


def _flagged(flags: Mapping[str, FloatArray]) -> Measurement:
    layers, pooled = share_per_layer(flags)
    return Measurement(neurons=flags, layers=layers, network=pooled)


def _known(flags: BoolArray, counts: Counts) -> FloatArray:
    """Return 1 and 0 for true and false, NaN for neurons with values that were not finite."""
    return np.where(counts.nonfinite > 0, np.nan, flags.astype(np.float64))


@metric(
    "constant",
    title="Constant score",
    formula="c_i = mean|h_i - mean h_i| / mean_k mean|h_k - mean h_k|",
    source="Sokar et al. 2023, released code (sub_mean_score)",
    default=False,
)
def measure_constant(probe: Probe) -> Measurement:
    """Score every neuron by how much it varies: low for one that is constant, whatever its value.

    Layers and network: the share with a score of at most the probe's first tau. Takes two passes over the sample, since
    the means must be known first. Silent neurons are constant ones, too.
    """
    scores = {name: normalised_scores(found) for name, found in probe.deviations.items()}
    flags = {name: np.where(np.isnan(each), np.nan, each <= probe.taus[0]) for name, each in scores.items()}
    layers, pooled = share_per_layer(flags)
    return Measurement(neurons=scores, layers=layers, network=pooled, detail={"tau": probe.taus[0]})


def dead_units(activation: str, counts: Counts, std: FloatArray) -> FloatArray | None:
    """Tell which neurons are dead by the rule of their nonlinearity: 1, 0 or NaN each; None where there is no rule.

    ReLU, GELU and their like: always exactly 0. Leaky ReLU: always below 0, so that the unit is linear. Tanh, sigmoid:
    in the flat ends on every input, or with a standard deviation below .001. ELU, softplus: the latter alone.
    """
    if activation in ZERO_WHEN_DEAD:
        return _known(counts.zero == counts.total, counts)
    if activation in NEGATIVE_WHEN_DEAD:
        return _known(counts.negative == counts.total, counts)
    if activation in STILL_WHEN_DEAD:
        return _known((counts.saturated == counts.total) | (std < STILL), counts)
    return None


@metric(
    "dead",
    title="Dead units",
    formula="ReLU, GELU: h = 0 always; leaky ReLU: h < 0 always; tanh, sigmoid: |tanh| > .99 always, or std h < .001",
    source="Moalla et al. 2024, arXiv 2405.00662, released code; ELU and softplus (std h < .001): this project",
    default=False,
)
def measure_dead(probe: Probe) -> Measurement:
    """Flag units that are dead by the rule of their nonlinearity, and give their share."""
    found = {
        layer.name: dead_units(layer.activation, probe.regions[layer.name], probe.moments[layer.name].std)
        for layer in probe.graph
    }
    return _flagged({name: flags for name, flags in found.items() if flags is not None})


@metric(
    "saturated",
    title="Saturated units",
    formula="share of inputs with |tanh| > .99 (sigmoid: |2h - 1| > .99); saturated when it is 1",
    source="Moalla et al. 2024, arXiv 2405.00662, released code",
    default=False,
)
def measure_saturated(probe: Probe) -> Measurement:
    """Measure on what share of inputs a unit is in a flat end; layers and network: the share that always is.

    Nonlinearities without two flat ends have no entry.
    """
    counts = {layer.name: probe.regions[layer.name] for layer in probe.graph if layer.activation in SATURATED}
    shares = {name: _known_share(each.saturated, each) for name, each in counts.items()}
    layers, pooled = share_per_layer(shares)
    return Measurement(neurons=shares, layers=layers, network=pooled)


def _known_share(part: np.ndarray[tuple[int, ...], np.dtype[np.int64]], counts: Counts) -> FloatArray:
    return np.where(counts.nonfinite > 0, np.nan, part / counts.total)


@metric(
    "linearised",
    title="Linearised units",
    formula="share of inputs with a pre-activation > 0; linearised when it is >= .9",
    source="Lyle et al. 2024, arXiv 2402.18762; threshold .9: this project's specification",
    default=False,
)
def measure_linearised(probe: Probe) -> Measurement:
    """Measure on what share of inputs a unit of the ReLU family is positive; layers and network: the share at >= .9.

    These nonlinearities keep the sign, so the value behind them tells that of the pre-activation. Others (tanh,
    sigmoid, softplus, those with two bounds) have no entry: positive does not mean linear there.
    """
    counts = {layer.name: probe.regions[layer.name] for layer in probe.graph if layer.activation in KEEPS_SIGN}
    shares = {name: _known_share(each.positive, each) for name, each in counts.items()}
    flags = {name: np.where(np.isnan(each), np.nan, each >= LINEAR_SHARE) for name, each in shares.items()}
    layers, pooled = share_per_layer(flags)
    return Measurement(neurons=shares, layers=layers, network=pooled)


@metric(
    "nonfinite",
    title="Values that are not finite",
    formula="share of inputs with h infinite or undefined",
    source="this project: a diverged unit is neither dormant nor alive",
    default=False,
)
def measure_nonfinite(probe: Probe) -> Measurement:
    """Measure on what share of inputs each neuron gave no number; layers and network: the share that ever did."""
    shares = {name: each.nonfinite / each.total for name, each in probe.regions.items()}
    layers, pooled = share_per_layer({name: (each > 0).astype(np.float64) for name, each in shares.items()})
    return Measurement(neurons=shares, layers=layers, network=pooled)
