"""The curve behind a choice of tau: how much is pruned, and what that does, dormant neurons against controls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

from dormancy.edits.output_change import OutputChange
from dormancy.pruning.effect import Controls, HeldOut
from dormancy.pruning.experiment import DRAWS, PruneBench
from dormancy.taus import checked_taus

__all__ = ["TAUS", "PruneSweep", "SweepPoint", "sweep_pruning", "sweep_taus"]

TAUS = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)


@final
@dataclass(frozen=True)
class SweepPoint:
    """Masking at one tau: how many neurons, and the change on the sample, on a held-out half, and by the controls."""

    tau: float
    pruned: int
    neurons: int
    change: OutputChange
    held_out: HeldOut | None
    controls: Controls | None

    @property
    def share(self) -> float:
        """The share of all neurons that is pruned."""
        return self.pruned / self.neurons

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {
            "tau": self.tau,
            "pruned": self.pruned,
            "neurons": self.neurons,
            "share": self.share,
            "change": self.change.to_dict(),
            "held_out": self.held_out.to_dict() if self.held_out else None,
            "controls": self.controls.to_dict() if self.controls else None,
        }


@final
@dataclass(frozen=True)
class PruneSweep:
    """The effect of pruning at every tau of a grid. Layers that are dormant altogether keep one neuron."""

    points: tuple[SweepPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {"points": [point.to_dict() for point in self.points]}


def sweep_taus(taus: Iterable[float] = TAUS) -> list[float]:
    """Return the taus of a grid ascending, each once; raises `UsageError` for one that is not a number >= 0."""
    return sorted(checked_taus(tuple(taus)))


def sweep_pruning(bench: PruneBench, taus: Iterable[float] = TAUS, *, draws: int = DRAWS, seed: int = 0) -> PruneSweep:
    """Mask the tau-dormant neurons at every tau of a grid and measure; `draws` and `seed` are those of the controls.

    `taus` is gone through as it is given, one point each; sort it with `sweep_taus`.
    """
    return PruneSweep(tuple(_point(bench, tau, draws, seed) for tau in taus))


def _point(bench: PruneBench, tau: float, draws: int, seed: int) -> SweepPoint:
    plan = bench.sweep_plan(tau)
    return SweepPoint(
        tau=tau,
        pruned=plan.pruned,
        neurons=plan.neurons,
        change=bench.change(plan),
        held_out=bench.held_out(tau),
        controls=bench.controls(plan, draws, seed),
    )
