"""Where published implementations of ReDo differ, as named presets.

What is reproduced is every deliberate choice. What is not reproduced are mistakes: the wrong outgoing columns behind a
flattened convolution (2 of 121 right in the authors' network), the residual consumer that is zeroed in the wrong place,
twin critics that are re-seeded alike, and optimizer state that is found by position. See docs/recycling.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, final

from torch import Tensor, nn

from dormancy.edits.optimizer_state import OptimizerPolicy
from dormancy.recycle.initializers import Drawer, FormulaDrawer, drawer_for
from dormancy.registry import Registry

__all__ = ["SEMANTICS", "Semantics"]


@final
@dataclass(frozen=True)
class Semantics:
    """The choices one implementation makes.

    `epsilon` is added to the denominator of Eq. 1. `zero_tolerance`: scores up to it count as 0 at tau = 0. `formula`
    draws every weight, with biases of 0; None takes the network's own initialiser, biases included. `optimizer` is how
    optimizer state follows. `rate` and `ties` are those of the fixed schedule.
    """

    title: str
    epsilon: float = 0.0
    zero_tolerance: float = 0.0
    formula: Callable[[Tensor], object] | None = None
    formula_name: str = ""
    optimizer: OptimizerPolicy = field(default_factory=OptimizerPolicy)
    rate: float = 0.1
    ties: Literal["index", "all"] = "index"

    def drawer(self, model: nn.Module, fresh: Callable[[], nn.Module] | None) -> Drawer:
        """Return what draws fresh weights; a function that builds the network anew is always preferred."""
        if self.formula is None or fresh is not None:
            return drawer_for(model, fresh)
        return FormulaDrawer(model, self.formula, self.formula_name)


SEMANTICS: Registry[Semantics] = Registry("semantics")
SEMANTICS.register("paper")(Semantics("Algorithm 1 and Eq. 1 of Sokar et al. 2023, to the letter"))
SEMANTICS.register("dopamine")(
    Semantics(
        "the authors' released code: Xavier-uniform, zero biases, bias moments kept, .3 of a layer by schedule",
        epsilon=1e-9,
        formula=nn.init.xavier_uniform_,
        formula_name="Xavier-uniform",
        optimizer=OptimizerPolicy("moments", frozenset({"incoming", "outgoing"})),
        rate=0.3,
        ties="all",
    )
)
SEMANTICS.register("community")(
    Semantics(
        "widespread PyTorch ports: He-uniform (2.449 times the default bound), zero biases, step count reset",
        epsilon=1e-9,
        zero_tolerance=1e-8,
        formula=partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
        formula_name="He-uniform",
        optimizer=OptimizerPolicy("moments+step"),
    )
)
