"""Limits on the effect of pruning: `--max-delta 0.01`, `--min-agreement 99%`, `--max-delta held-out=0.05`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from dormancy.errors import InputError, UsageError
from dormancy.registry import nearest
from dormancy_cli.shared.text import number, percent

if TYPE_CHECKING:
    from dormancy.pruning import OutputChange, PruneEffect

__all__ = ["PruneGate", "PruneVerdict", "check", "parse"]

PLACES = ("sample", "held-out")


@final
@dataclass(frozen=True)
class PruneGate:
    """The largest change of an output that passes, or the smallest agreement: on the sample, or its held-out half."""

    option: Literal["--max-delta", "--min-agreement"]
    place: str
    limit: float

    def __str__(self) -> str:
        prefix = "" if self.place == "sample" else f"{self.place}="
        return f"{self.option} {prefix}{self.limit:g}"


@final
@dataclass(frozen=True)
class PruneVerdict:
    """One gate and what was measured; a value that is not a number never passes."""

    gate: PruneGate
    value: float

    @property
    def passed(self) -> bool:
        """Whether the limit was kept."""
        if self.gate.option == "--max-delta":
            return self.value <= self.gate.limit
        return self.value >= self.gate.limit

    def __str__(self) -> str:
        where = "on the sample" if self.gate.place == "sample" else "on the held-out half"
        if math.isnan(self.value):
            return f"{self.gate}: outputs {where} are not finite"
        if self.gate.option == "--max-delta":
            return f"{self.gate}: outputs move by up to {number(self.value)} {where}"
        return f"{self.gate}: greedy actions agree on {percent(self.value)} {where}"

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        value = self.value if math.isfinite(self.value) else None
        return {
            "gate": self.gate.option.lstrip("-"),
            "on": self.gate.place,
            "limit": self.gate.limit,
            "value": value,
            "passed": self.passed,
        }


def parse(option: Literal["--max-delta", "--min-agreement"], text: str) -> PruneGate:
    """Read ``0.01``, ``99%`` or ``held-out=0.05``; raises `UsageError` for anything else.

    >>> parse("--min-agreement", "held-out=99%")
    PruneGate(option='--min-agreement', place='held-out', limit=0.99)
    """
    place, separator, amount = text.rpartition("=")
    if separator and place not in PLACES:
        raise UsageError(
            f"{option} {text!r} names no part of the sample{nearest(place, list(PLACES))}; write held-out=0.1"
        )
    limit = _amount(amount)
    highest = 1.0 if option == "--min-agreement" else math.inf
    if not 0 <= limit <= highest or math.isinf(limit):
        wanted = (
            "a share between 0 and 1, such as 0.99 or 99%" if option == "--min-agreement" else "a number of 0 or more"
        )
        raise UsageError(f"{option} {text!r} is not {wanted}")
    return PruneGate(option, place or "sample", limit)


def _amount(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return math.nan


def check(gates: Iterable[PruneGate], effect: PruneEffect) -> list[PruneVerdict]:
    """Hold an effect against gates; raises `InputError` where a gate asks for what cannot be measured here."""
    return [PruneVerdict(gate, _measured(gate, effect)) for gate in gates]


def _measured(gate: PruneGate, effect: PruneEffect) -> float:
    change: OutputChange | None = effect.sample
    if gate.place == "held-out":
        change = effect.held_out.unseen if effect.held_out else None
    if change is None:
        raise InputError(f"{gate}: a sample of one observation has no held-out half; give a larger --sample")
    if gate.option == "--max-delta":
        return change.largest
    if change.agreement is None:
        raise InputError(
            f"{gate}: the network does not give one value an action, so it has no greedy action; use --max-delta"
        )
    return change.agreement
