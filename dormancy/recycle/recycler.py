"""What a recycler is: something that is shown observations once a gradient step and now and then renews a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final

from dormancy.edits.schedule import Loss
from dormancy.edits.scores import Inputs
from dormancy.recycle.plan import RecyclePlan
from dormancy.registry import Registry

__all__ = ["RECYCLERS", "RecycleReport", "Recycler"]


@final
@dataclass(frozen=True)
class RecycleReport:
    """What was done at one gradient step: the plan that was applied, and the threshold where one was used.

    `nonfinite` counts neurons with an infinite or undefined score: the network diverges, and they were not recycled.
    """

    step: int
    plan: RecyclePlan
    tau: float | None = None
    nonfinite: int = 0

    @property
    def recycled(self) -> int:
        """How many neurons were recycled."""
        return self.plan.recycled

    @property
    def share(self) -> float:
        """The recycled share of all neurons."""
        return self.plan.share

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form, for a log."""
        return {"gradient_step": self.step, "tau": self.tau, "nonfinite": self.nonfinite, **self.plan.to_dict()}

    def __str__(self) -> str:
        return f"gradient step {self.step}\n{self.plan}"


class Recycler(Protocol):
    """Renews parts of a network while it is trained.

    `step` is called once after every gradient step; `observations` may be a function, which is called only when they
    are needed. `loss` is needed by recyclers that look at gradients; the others ignore it. It returns what was done, or
    None when it was nobody's turn.
    """

    def step(self, observations: Inputs | Callable[[], Inputs], loss: Loss | None = None) -> RecycleReport | None:
        """Count one gradient step, and act if its turn has come."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be saved so that a resumed run goes on as if it had never stopped."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state."""
        ...


RECYCLERS: Registry[Callable[..., Recycler]] = Registry("recycler")
"""Every recycler by name; each is built from a model, its optimizer(s) and keyword options."""
