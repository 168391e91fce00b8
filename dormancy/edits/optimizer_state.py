"""What an optimizer remembers of replaced numbers, and how it is made to forget exactly that.

State is found by parameter identity, never by position: parameter groups, bias-free layers and frozen parameters make
positions lie. Only state that is known to be a moment is cleared; state of a kind not known here is an error, because
clearing it (the slow weights of a lookahead optimizer, say) could be worse than keeping it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final, get_args

import torch
from torch import Tensor

from dormancy.edits.edit import Role
from dormancy.errors import UsageError

if TYPE_CHECKING:
    from dormancy.edits.edit import Edit

__all__ = ["MOMENTS", "OptimizerPolicy", "Policy", "as_optimizers", "clearings"]


Policy: TypeAlias = Literal["none", "moments", "moments+step"]

MOMENTS = frozenset(
    "exp_avg exp_avg_sq max_exp_avg_sq exp_inf square_avg grad_avg momentum_buffer acc_delta".split()  # noqa: SIM905
)
"""State of torch's own optimizers that starts at 0 and has one number a weight.

Adam, AdamW and NAdam: exp_avg, exp_avg_sq, max_exp_avg_sq; Adamax: exp_inf; RMSprop: square_avg, grad_avg; SGD, RMSprop
and Muon: momentum_buffer; Adadelta: square_avg, acc_delta.
"""

Clearing: TypeAlias = Callable[[], None]


@final
@dataclass(frozen=True)
class OptimizerPolicy:
    """How optimizer state follows recycling.

    `forget` is ``"none"`` (state is kept: the next step undoes part of the recycling), ``"moments"`` (the moments of
    every edited number become 0) or ``"moments+step"`` (also the step count of every edited parameter). A step count
    belongs to a whole parameter, not to one weight: resetting it makes Adam correct the bias of all moments as if they
    had just begun, which shrinks the next steps of the live weights to about a third; keeping it makes the first steps
    of fresh weights about three times longer than a new optimizer's.
    `roles` are the edits whose state is forgotten; `moments` are names of further state that counts as moments.
    """

    forget: Policy = "moments"
    roles: frozenset[Role] = frozenset(get_args(Role))
    moments: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.forget not in get_args(Policy):
            raise UsageError(f"optimizer policy must be one of {', '.join(get_args(Policy))}, not {self.forget!r}")


def as_optimizers(
    optimizer: torch.optim.Optimizer | Collection[torch.optim.Optimizer] | None,
) -> tuple[torch.optim.Optimizer, ...]:
    """Accept none, one or several optimizers (an actor and its critics have one each)."""
    if optimizer is None:
        return ()
    return (optimizer,) if isinstance(optimizer, torch.optim.Optimizer) else tuple(optimizer)


def clearings(
    edits: Sequence[Edit],
    parameters: Mapping[str, Tensor],
    optimizers: Iterable[torch.optim.Optimizer],
    policy: OptimizerPolicy,
) -> list[Clearing]:
    """Return what has to be done to the optimizers, without doing it: calls that each clear some state, in place.

    A parameter that no optimizer holds, or that has not been stepped yet, has nothing to forget.
    Raises `UsageError` for state of an unknown kind.
    """
    if policy.forget == "none":
        return []
    found: list[Clearing] = []
    optimizers = tuple(optimizers)
    for name in dict.fromkeys(edit.parameter for edit in edits if edit.role in policy.roles):
        mine = [edit for edit in edits if edit.parameter == name and edit.role in policy.roles]
        for optimizer in optimizers:
            state = optimizer.state.get(parameters[name], {})
            found.extend(_of_parameter(name, parameters[name], state, mine, optimizer, policy))
    return found


def _of_parameter(
    name: str,
    parameter: Tensor,
    state: dict[str, Any],
    edits: Sequence[Edit],
    optimizer: torch.optim.Optimizer,
    policy: OptimizerPolicy,
) -> list[Clearing]:
    found: list[Clearing] = []
    for key, value in state.items():
        if not isinstance(value, Tensor) or value.dim() == 0:
            continue
        if key not in MOMENTS | policy.moments or value.shape != parameter.shape:
            raise UsageError(
                f"{type(optimizer).__name__} keeps {key!r} for parameter {name!r}, which is not known to be a moment; "
                f"name it in OptimizerPolicy(moments=...) or use the policy 'none'"
            )
        found.extend(_zero(value, edit) for edit in edits)
    if policy.forget == "moments+step" and "step" in state:
        found.append(_restart(state))
    return found


def _zero(moment: Tensor, edit: Edit) -> Clearing:
    index = torch.as_tensor(edit.index, device=moment.device)

    def clear() -> None:
        edit.within(moment).index_fill_(edit.dim, index, 0.0)

    return clear


def _restart(state: dict[str, Any]) -> Clearing:
    def restart() -> None:
        if isinstance(state["step"], Tensor):
            state["step"].zero_()  # in place: a captured graph reads this very tensor
        else:
            state["step"] = 0

    return restart
