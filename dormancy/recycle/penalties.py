"""Penalties on weights: the paper's weight decay, and regularisation towards the initial weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from dormancy.errors import UsageError

__all__ = ["L2Init", "add_weight_decay"]


@torch.no_grad()
def add_weight_decay(parameters: Iterable[nn.Parameter], coefficient: float) -> None:
    """Add coefficient · θ to every gradient that there is, before the optimizer sees it: L2 regularisation.

    This is the paper's weight decay (best 1e-5 of 1e-6..1e-3, Appendix A), and what ``Adam(weight_decay=...)`` does.
    ``AdamW`` does something else: it shrinks the weights beside the optimizer. Call it between ``backward()`` and
    ``step()``.
    """
    if coefficient < 0:
        raise UsageError(f"weight decay must be 0 or more, not {coefficient}")
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.add_(parameter, alpha=coefficient)


@final
class L2Init:
    """λ ‖θ - θ0‖² with θ0 the weights at the time it is built (Kumar et al. 2023, arXiv 2308.11958).

    Either add `penalty()` to the loss, or call `add_gradient()` between ``backward()`` and ``step()``: they do the
    same. Build it before training, or load the state of the run that is resumed.
    """

    def __init__(self, model: nn.Module, coefficient: float = 1e-2) -> None:
        if coefficient < 0:
            raise UsageError(f"the coefficient of L2-init must be 0 or more, not {coefficient}")
        self.coefficient = coefficient
        self._parameters = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self._initial = {name: each.detach().clone() for name, each in self._parameters.items()}

    def penalty(self) -> Tensor:
        """Return λ Σ (θ - θ0)² over all trainable parameters, a scalar with gradient."""
        terms = [(each - self._initial[name]).square().sum() for name, each in self._parameters.items()]
        return self.coefficient * torch.stack(terms).sum()

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add 2 λ (θ - θ0) to every gradient that there is."""
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                parameter.grad.add_(parameter - self._initial[name], alpha=2 * self.coefficient)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the initial weights by name."""
        return {name: each.clone() for name, each in self._initial.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the initial weights of a saved run; raises `UsageError` when they are of another network."""
        shapes = {name: each.shape for name, each in self._initial.items()}
        if {name: each.shape for name, each in state.items()} != shapes:
            raise UsageError("these initial weights are of another network: names or shapes differ")
        for name, each in state.items():
            self._initial[name].copy_(each)
