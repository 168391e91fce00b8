"""How large the weights are, and how far they have come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from dormancy.errors import ReferenceUnfit
from dormancy.metrics.base import Measurement, metric
from dormancy.probing.probe import Probe

__all__ = ["parameter_norm", "weight_drift"]

Parameters = Mapping[str, Tensor]


def _floating(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that are numbers to be learned, each storage once."""
    return {name: each.detach() for name, each in model.named_parameters() if each.is_floating_point()}


def _sum_of_squares(tensors: Iterable[Tensor]) -> float:
    return float(sum(torch.sum(tensor.double() ** 2).item() for tensor in tensors))


def parameter_norm(parameters: Iterable[Tensor]) -> float:
    """Return ‖θ‖₂, the root of the sum of squares of all parameters, in float64.

    >>> parameter_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
    5.0
    """
    return float(np.sqrt(_sum_of_squares(parameters)))


def weight_drift(parameters: Parameters, reference: Parameters) -> float:
    """Return sqrt(Σ (θ - θ0)² / n), the root mean square distance of n parameters from where they were.

    Raises `ReferenceUnfit` when the two sets of parameters differ in names or shapes.

    >>> weight_drift({"w": torch.tensor([1.0, 3.0])}, {"w": torch.tensor([1.0, 1.0])}).__round__(3)
    1.414
    """
    _check(parameters, reference)
    pairs = ((each.double(), reference[name].double().to(each.device)) for name, each in parameters.items())
    squares = _sum_of_squares(here - there for here, there in pairs)
    count = sum(each.numel() for each in parameters.values())
    return float(np.sqrt(squares / count)) if count else float("nan")


def _check(parameters: Parameters, reference: Parameters) -> None:
    for name in [*parameters, *reference]:
        here, there = (set_[name].shape if name in set_ else None for set_ in (parameters, reference))
        if here != there:
            raise ReferenceUnfit(
                f"parameter {name!r} has shape {_shown(here)} here and {_shown(there)} in the reference: "
                "compare checkpoints of one network"
            )


def _shown(shape: torch.Size | None) -> str:
    return "none" if shape is None else str(tuple(shape))


def _producing(probe: Probe, known: Parameters) -> dict[str, dict[str, Tensor]]:
    """Return the weights and biases that produce each layer, by layer."""
    found = {}
    for layer in probe.graph:
        names = {name for producer in layer.producers for name in (producer.weight, producer.bias) if name in known}
        if names:
            found[layer.name] = {str(name): known[str(name)] for name in sorted(map(str, names))}
    return found


@metric(
    "weight_norm",
    title="Weight norm",
    formula="‖θ‖_2 over all parameters; per layer over the weights and biases that produce it",
    source="Lyle et al. 2023, arXiv 2303.01486",
    default=False,
)
def measure_weight_norm(probe: Probe) -> Measurement:
    """Measure the norm of the parameters, of the whole network and of what produces each layer."""
    known = _floating(probe.model)
    return Measurement(
        layers={name: parameter_norm(each.values()) for name, each in _producing(probe, known).items()},
        network=parameter_norm(known.values()),
    )


@metric(
    "drift",
    title="Drift from the reference",
    formula="sqrt(Σ (θ - θ_0)² / n)",
    source="this project; the distance that L2-init penalises: Kumar et al. 2023, arXiv 2308.11958",
    default=False,
)
def measure_drift(probe: Probe) -> Measurement:
    """Measure how far the parameters have come since the reference, in all and for what produces each layer."""
    known, before = _floating(probe.model), _floating(probe.reference)
    whole = weight_drift(known, before)  # checks that the two networks are of one kind
    layers = {
        name: weight_drift(each, {parameter: before[parameter] for parameter in each})
        for name, each in _producing(probe, known).items()
    }
    return Measurement(layers=layers, network=whole)
