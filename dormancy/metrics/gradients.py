"""What a loss sends back to neurons and to weights.

The loss is the agent's own TD error where the sample carries transitions and the network gives one value an action;
else a stated surrogate, ½ Σ f², whose gradient weighs every output by its size. `detail` says which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from dormancy.arrays import FloatArray
from dormancy.errors import NetworkError
from dormancy.graph import call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.metrics.base import Measurement, metric
from dormancy.metrics.dormant import normalised_scores
from dormancy.metrics.units import share_per_layer
from dormancy.probing.gradients import (
    GAMMA,
    GradientSizes,
    Loss,
    Transitions,
    gradient_sizes,
    output_energy,
    row_gradient_products,
    td_loss,
)
from dormancy.probing.probe import Probe

__all__ = ["covariance", "loss_name"]

LossName: TypeAlias = Literal["td", "surrogate"]
MOST_ROWS = 32
MOST_NUMBERS = 1 << 26
FORMULAS = {
    "td": f"Huber TD error, discount {GAMMA:g}, the network as its own target",
    "surrogate": "half the sum of squared outputs: the sample has no whole transitions that fit the network",
}


def loss_name(probe: Probe) -> LossName:
    """Tell which loss fits: "td" for transitions of a network with one value for each of the actions taken."""
    if not probe.transitions:
        return "surrogate"
    actions = np.asarray(probe.transitions["actions"])
    with undisturbed(probe.model):
        outputs = call_model(probe.model, next(iter(probe.batches())))
    found = tensors_in(outputs)
    discrete = np.issubdtype(actions.dtype, np.integer) and actions.size == len(actions) and actions.min() >= 0
    fits = len(found) == 1 and found[0].is_floating_point() and found[0].dim() == 2 and discrete
    return "td" if fits and actions.max() < found[0].shape[1] else "surrogate"


def _td(outputs: Any, next_outputs: Any, transitions: Transitions | None) -> Any:
    if transitions is None:
        raise NetworkError("a TD error needs transitions")
    return td_loss(tensors_in(outputs)[0], tensors_in(next_outputs)[0], transitions)


def _surrogate(outputs: Any, next_outputs: Any, transitions: Transitions | None) -> Any:
    return output_energy(outputs)


LOSSES: Mapping[LossName, Loss] = {"td": _td, "surrogate": _surrogate}


def _sizes(probe: Probe, name: LossName) -> Mapping[str, GradientSizes]:
    found: Mapping[str, GradientSizes] = probe.remember(
        "gradients", lambda: gradient_sizes(probe.model, probe.graph, _batches(probe, name), LOSSES[name])
    )
    return found


def _batches(probe: Probe, name: LossName) -> Any:
    return probe.transition_batches() if name == "td" else ((batch, None) for batch in probe.batches())


def _scored(sizes: Mapping[str, FloatArray], name: LossName, tau: float) -> Measurement:
    scores = {layer: normalised_scores(each) for layer, each in sizes.items()}
    flags = {layer: np.where(np.isnan(each), np.nan, each <= tau) for layer, each in scores.items()}
    layers, pooled = share_per_layer(flags)
    return Measurement(scores, layers, pooled, {"loss": name, "loss_formula": FORMULAS[name], "tau": tau})


@metric(
    "grama",
    title="GraMa score",
    formula="G_i = E|∂L/∂h_i| / mean_k E|∂L/∂h_k|",
    source="Liu et al. 2025, arXiv 2505.24061",
    default=False,
)
def measure_grama(probe: Probe) -> Measurement:
    """Score every neuron by the gradient that reaches it; layers and network: the share at most the first tau."""
    name = loss_name(probe)
    return _scored({layer: each.gradient for layer, each in _sizes(probe, name).items()}, name, probe.taus[0])


@metric(
    "activation_gradient",
    title="Activation x gradient score",
    formula="E|h_i ∂L/∂h_i| / mean_k E|h_k ∂L/∂h_k|",
    source="Sokar et al. 2023, released SAC code",
    default=False,
)
def measure_activation_gradient(probe: Probe) -> Measurement:
    """Score every neuron by activation times gradient; layers and network: the share at most the first tau."""
    name = loss_name(probe)
    return _scored({layer: each.product for layer, each in _sizes(probe, name).items()}, name, probe.taus[0])


def covariance(products: FloatArray) -> FloatArray:
    """Return C_ij = <g_i, g_j> / (‖g_i‖ ‖g_j‖) from the products <g_i, g_j>; NaN where a gradient is 0.

    >>> covariance(np.array([[4.0, 2.0], [2.0, 1.0]]))
    array([[1., 1.],
           [1., 1.]])
    """
    norms = np.sqrt(np.diag(products))
    scale = norms[:, None] * norms[None, :]
    return np.asarray(np.divide(products, scale, out=np.full(products.shape, np.nan), where=scale > 0))


def _chosen_rows(probe: Probe) -> list[int]:
    """Choose up to 32 rows, evenly spaced; fewer of a large network, so that all gradients fit in 256 MiB."""
    parameters = max(1, sum(each.numel() for each in probe.model.parameters()))
    count = min(probe.rows, MOST_ROWS, max(2, MOST_NUMBERS // parameters))
    return [int(position) for position in np.linspace(0, probe.rows - 1, count).round()]


@metric(
    "gradient_norm",
    title="Gradient norm",
    formula="‖E ∂L/∂θ‖_2; detail: E‖∂L/∂θ‖_2 and C_ij = <g_i, g_j> / (‖g_i‖ ‖g_j‖) of single observations",
    source="Lyle et al. 2024, arXiv 2402.18762 (gradient covariance)",
    default=False,
)
def measure_gradient_norm(probe: Probe) -> Measurement:
    """Measure how large the gradient of the weights is, and how alike those of single observations are.

    On up to 32 rows, evenly spaced over the sample. `mean_cosine` is the mean of C off its diagonal: near 1 all
    observations pull the same way, below 0 they undo one another. Rows with a gradient of 0 are left out of it.
    """
    name, rows = loss_name(probe), _chosen_rows(probe)
    pairs = ((inputs, after if name == "td" else None) for inputs, after in probe.rows_at(rows))
    products = row_gradient_products(probe.model, list(pairs), LOSSES[name])
    cosines = covariance(products)
    return Measurement(
        network=float(np.sqrt(max(products.mean(), 0.0))),
        detail={
            "loss": name,
            "loss_formula": FORMULAS[name],
            "rows": len(rows),
            "mean_row_norm": float(np.sqrt(np.diag(products)).mean()),
            "mean_cosine": _mean_off_diagonal(cosines),
            "covariance": [[None if np.isnan(c) else round(float(c), 6) for c in row] for row in cosines],
        },
    )


def _mean_off_diagonal(cosines: FloatArray) -> float | None:
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    known = others[np.isfinite(others)]
    return float(known.mean()) if known.size else None
