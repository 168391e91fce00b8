"""Can this network still learn? A copy is fitted to targets it has never seen, beside a freshly initialised twin.

The cheap metrics look at symptoms; this looks at the illness. It trains, so it takes seconds to minutes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dormancy.arrays import FloatArray
from dormancy.errors import NetworkError
from dormancy.graph import call_model, undisturbed
from dormancy.graph.ops import tensors_in
from dormancy.metrics.base import Measurement, metric
from dormancy.probing.probe import Probe
from dormancy.stats import Interval

__all__ = ["log_ratio_interval", "random_targets"]

SEEDS = 5
STEPS = 50
MOST_ROWS = 64
LEARNING_RATE, BETAS, EPSILON = 1e-3, (0.9, 0.999), 1e-8
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t at .975 by the number of seeds (one degree of freedom less)."""


def random_targets(observations: FloatArray, outputs: int, seed: int) -> FloatArray:
    """Return targets of shape (rows, outputs) that are a fixed random function of the observations, (rows, numbers).

    Each is the sine of a random projection, which is first brought to mean 0 and standard deviation 3: a smooth
    function that swings through about two periods on this sample, the same for equal rows. Lyle et al. 2022 (arXiv
    2204.09560) likewise fit random functions of the input.
    """
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((observations.shape[1], outputs))
    phases = rng.uniform(0, 2 * math.pi, outputs)
    projected = (observations - observations.mean(0)) @ directions
    spread = projected.std(0)
    standard = np.divide(projected, spread, out=np.zeros_like(projected), where=spread > 0)
    return np.asarray(np.sin(3 * standard + phases))


def log_ratio_interval(used: Sequence[float], fresh: Sequence[float]) -> Interval:
    """Return the geometric mean of used/fresh over seeds with its 95 % interval (Student's t on the logarithms).

    Losses are positive; a pair in which either is not finite or 0 makes the whole interval NaN. Takes 2 to 10 pairs.

    >>> [round(x, 3) for x in log_ratio_interval([2.0, 2.0], [1.0, 1.0])]
    [2.0, 2.0, 2.0]
    """
    pairs = list(zip(used, fresh, strict=True))
    if not all(math.isfinite(u) and math.isfinite(f) and u > 0 and f > 0 for u, f in pairs):
        return Interval(math.nan, math.nan, math.nan)
    logs = np.log([u / f for u, f in pairs])
    half = T_975[len(logs)] * logs.std(ddof=1) / math.sqrt(len(logs))
    low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return Interval(float(middle), float(low), float(high))


def _fresh_twin(model: nn.Module) -> nn.Module:
    """Copy a network and draw its parameters anew by its own ``reset_parameters``, children before parents.

    They are drawn on the CPU, so that a seed gives the same ones wherever the network is. Raises `NetworkError` naming
    a module whose parameters nobody can draw.
    """
    twin = copy.deepcopy(model).cpu()
    _reset(twin, "")
    return twin.to(next(model.parameters()).device)


def _reset(module: nn.Module, name: str) -> None:
    reset = getattr(module, "reset_parameters", None)
    for child_name, child in module.named_children():
        if not callable(reset) or list(module.parameters(recurse=False)):
            _reset(child, f"{name}.{child_name}" if name else child_name)
    if callable(reset):
        reset()
    elif list(module.parameters(recurse=False)):
        raise NetworkError(
            f"module {name or 'network'!r} ({type(module).__name__}) holds parameters but no reset_parameters(): no "
            "fresh twin can be drawn to compare with; leave metric 'probe' out"
        )


def _outputs(model: nn.Module, batch: Any) -> Tensor:
    """Return all floating outputs that have one vector a row, side by side: (rows, outputs)."""
    rows = len(tensors_in(batch)[0])
    found = [each for each in tensors_in(call_model(model, batch)) if each.is_floating_point() and len(each) == rows]
    return torch.cat([each.flatten(1) if each.dim() > 1 else each[:, None] for each in found], dim=1)


def _fit(model: nn.Module, batch: Any, targets: Tensor) -> list[float]:
    """Fit `model` for `STEPS` Adam steps on the whole batch; return the loss before each and after the last.

    Adam is written out (Kingma & Ba 2015, Algorithm 1): the first use of a torch optimizer loads the compiler.
    """
    parameters = [each for each in model.parameters() if each.is_floating_point()]
    first, second = ([torch.zeros_like(each) for each in parameters] for _ in range(2))
    losses = []
    for step in range(1, STEPS + 1):
        loss = F.mse_loss(_outputs(model, batch), targets)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for weight, gradient, mean, square in zip(parameters, gradients, first, second, strict=True):
                mean.lerp_(gradient, 1 - BETAS[0])
                square.lerp_(gradient.square(), 1 - BETAS[1])
                size = (square / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
                weight.addcdiv_(mean, size, value=-LEARNING_RATE / (1 - BETAS[0] ** step))
    with torch.no_grad():
        return [*losses, float(F.mse_loss(_outputs(model, batch), targets))]


def _rows(probe: Probe) -> Any:
    count = min(probe.rows, MOST_ROWS)
    picked = [batch for batch, _ in probe.rows_at(np.linspace(0, probe.rows - 1, count).round().astype(int).tolist())]
    if isinstance(picked[0], dict):
        return {name: torch.cat([each[name] for each in picked]) for name in picked[0]}
    return torch.cat(picked)


def _targets(model: nn.Module, batch: Any, seed: int) -> Tensor:
    with torch.no_grad():
        outputs = _outputs(model, batch)
    observations = np.concatenate([each.flatten(1).double().cpu().numpy() for each in tensors_in(batch)], axis=1)
    return torch.from_numpy(random_targets(observations, outputs.shape[1], seed)).to(outputs)


def _one_seed(model: nn.Module, batch: Any, seed: int) -> tuple[list[float], list[float]]:
    torch.default_generator.manual_seed(seed)
    fresh = _fresh_twin(model).requires_grad_().eval()
    used = copy.deepcopy(model).requires_grad_().eval()
    targets = _targets(model, batch, seed)
    return _fit(used, batch, targets), _fit(fresh, batch, targets)


@metric(
    "probe",
    title="Plasticity probe",
    formula="loss of a copy / loss of a fresh twin after 50 Adam steps on random targets; geometric mean over 5 seeds",
    source="Lyle et al. 2022, arXiv 2204.09560; Lyle et al. 2023, arXiv 2303.01486",
    default=False,
)
def measure_plasticity(probe: Probe) -> Measurement:
    """Fit a copy of the network and a fresh twin to random functions of up to 64 rows, and compare what is left.

    Above 1 the network learns less than it could as new. Adam with a learning rate of .001, all rows in each step, so
    nothing depends on their order; a fresh optimizer for both. `detail` has the interval and both loss curves.
    """
    if probe.is_preview:  # it touches no statistic of its own, and training is too dear for a look ahead
        return Measurement()
    batch = _rows(probe)
    with undisturbed(probe.model), torch.enable_grad():
        curves = [_one_seed(probe.model, batch, seed) for seed in range(SEEDS)]
    used, fresh = (np.array(each) for each in zip(*curves, strict=True))
    ratio = log_ratio_interval(used[:, -1].tolist(), fresh[:, -1].tolist())
    return Measurement(
        network=ratio.estimate,
        detail={
            "interval": [None if math.isnan(end) else end for end in (ratio.low, ratio.high)],
            "confidence": 0.95,
            "seeds": SEEDS,
            "rows": min(probe.rows, MOST_ROWS),
            "loss": _curve(used),
            "loss_of_fresh_twin": _curve(fresh),
        },
    )


def _curve(losses: FloatArray) -> list[float | None]:
    """Return the mean over seeds of each step's loss, six digits."""
    return [float(f"{x:.6g}") if math.isfinite(x) else None for x in losses.mean(axis=0)]
