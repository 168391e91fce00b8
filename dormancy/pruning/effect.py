"""What pruning did to the outputs, as plain values beside the controls that give them a meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dormancy.edits.output_change import OutputChange
from dormancy.pruning.cost import Cost

__all__ = ["Controls", "HeldOut", "PruneEffect"]


@final
@dataclass(frozen=True)
class HeldOut:
    """`pruned` neurons were found on one half of the sample; the change on that half, and on the half not looked at."""

    pruned: int
    found: OutputChange
    unseen: OutputChange

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {"pruned": self.pruned, "found": self.found.to_dict(), "unseen": self.unseen.to_dict()}


@final
@dataclass(frozen=True)
class Controls:
    """The change on the sample when as many other neurons of each layer are masked: random ones, and the strongest."""

    random: tuple[OutputChange, ...]
    strongest: OutputChange

    @property
    def random_mean(self) -> OutputChange:
        """The mean over the random draws, number by number."""
        return mean_change(self.random)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {
            "random": [change.to_dict() for change in self.random],
            "random_mean": self.random_mean.to_dict(),
            "strongest": self.strongest.to_dict(),
        }


@final
@dataclass(frozen=True)
class PruneEffect:
    """What pruning did, measured: on the sample it was planned on, on a held-out half, and against controls."""

    sample: OutputChange
    held_out: HeldOut | None
    controls: Controls | None
    before: Cost
    after: Cost

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        return {
            "sample": self.sample.to_dict(),
            "held_out": self.held_out.to_dict() if self.held_out else None,
            "controls": self.controls.to_dict() if self.controls else None,
            "cost": {"before": self.before.to_dict(), "after": self.after.to_dict()},
        }


def mean_change(changes: tuple[OutputChange, ...]) -> OutputChange:
    """Average changes that were measured on the same rows."""

    def mean(name: str) -> Any:
        values = [getattr(change, name) for change in changes]
        return None if None in values else float(np.mean(values))

    names = ("largest", "mean", "scale", "agreement", "action_gap", "gap_ratio")
    return OutputChange(changes[0].observations, *(mean(name) for name in names))
