"""Recycling the neurons of a checkpoint on disk, and what that does to its outputs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn

from dormancy.edits.checkpoint import with_history
from dormancy.edits.edit import Edit
from dormancy.errors import SampleError
from dormancy.io import Checkpoint, ReplaySample, Source
from dormancy.io.pairing import inputs_for, open_pair, require_same_environment
from dormancy.probing.probe import Probe
from dormancy.recycle.effect import Effect, effect_of
from dormancy.recycle.plan import RecyclePlan, edited_parameters
from dormancy.recycle.redo import ReDo

__all__ = ["RecycledCheckpoint", "recycle_checkpoint"]

ROWS = 1024
"""At most so many observations go through the network at once: masks come from one forward pass."""


@final
@dataclass(frozen=True, eq=False)
class RecycledCheckpoint:
    """A checkpoint with recycled neurons, ready to be saved, and the plan that made it.

    `scored` is the effect on the observations that neurons were judged by (exactly 0 at tau = 0), `unseen` that on as
    many others, None where the sample has no others. `rows` counts the former.
    """

    checkpoint: Checkpoint
    plan: RecyclePlan
    tau: float
    rows: int
    scored: Effect
    unseen: Effect | None
    source: Source | None
    sample: Source | None

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form, without the parameters."""
        return {
            "checkpoint": asdict(self.source) if self.source else None,
            "sample": asdict(self.sample) if self.sample else None,
            "tau": self.tau,
            "observations": self.rows,
            **self.plan.to_dict(),
            "effect": {"scored": self.scored.to_dict(), "unseen": self.unseen.to_dict() if self.unseen else None},
        }


def recycle_checkpoint(
    checkpoint: Checkpoint | str | os.PathLike[str],
    sample: ReplaySample | str | os.PathLike[str] | None = None,
    tau: float = 0.1,
    *,
    layers: str | None = None,
    semantics: str = "paper",
    seed: int = 0,
    rows: int | None = None,
) -> RecycledCheckpoint:
    """Recycle the tau-dormant neurons of a checkpoint as one step of `ReDo` would; nothing is written.

    Neurons are judged by the first `rows` observations of the sample (default: half of them, at most 1024); the next as
    many tell what recycling does to outputs elsewhere. Without a sample, the one beside the checkpoint is taken. Where
    the checkpoint has optimizer state, its moments are cleared at the edited entries. Other options: see `ReDo`.

    Raises what `dormancy.scan_checkpoint` and `ReDo` raise; besides, `SampleError` for a sample of another environment.
    """
    with open_pair(checkpoint, sample) as (loaded, opened):
        loaded.require_finite()
        require_same_environment(loaded, opened)
        model = loaded.build()
        judged, others = _batches(model, opened, rows)
        plan = ReDo(model, tau=tau, layers=layers, semantics=semantics, seed=seed).plan(judged)
        return RecycledCheckpoint(
            checkpoint=_recycled(loaded, opened, plan, model, tau),
            plan=plan,
            tau=tau,
            rows=_count(judged),
            scored=effect_of(plan, model, judged),
            unseen=None if others is None else effect_of(plan, model, others),
            source=loaded.source,
            sample=opened.source,
        )


def _count(batch: Any) -> int:
    return len(next(iter(batch.values()))) if isinstance(batch, Mapping) else len(batch)


def _batches(model: nn.Module, sample: ReplaySample, rows: int | None) -> tuple[Any, Any | None]:
    """Return two batches of consecutive observations as the network takes them; the second may be missing."""
    total = len(sample)
    wanted = min(ROWS, max(1, total // 2)) if rows is None else rows
    if not 0 < wanted <= total:
        raise SampleError(f"{wanted} observations asked for, but the sample has {total}")
    with closing(Probe(model, inputs_for(model, sample), batch_size=wanted).batches()) as batches:
        return next(batches), next(batches, None)


def _recycled(
    checkpoint: Checkpoint, sample: ReplaySample, plan: RecyclePlan, model: nn.Module, tau: float
) -> Checkpoint:
    record = {
        "tau": tau,
        **plan.to_dict(),
        "source": asdict(checkpoint.source) if checkpoint.source else None,
        "sample": asdict(sample.source) if sample.source else None,
    }
    edited = {name: value.detach() for name, value in edited_parameters(plan, model).items()}
    return replace(
        checkpoint,
        parameters={**checkpoint.parameters, **edited},
        optimizer={name: _cleared(state, plan, name, checkpoint) for name, state in checkpoint.optimizer.items()},
        metadata=with_history(checkpoint.metadata, "recycling", record),
        source=None,
    )


def _cleared(state: Mapping[str, Any], plan: RecyclePlan, name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return one parameter's optimizer state with its moments at 0 wherever the plan writes."""
    shape = checkpoint.parameters[name].shape if name in checkpoint.parameters else None
    edits = [replace(edit, fill=0.0) for edit in plan.edits if edit.parameter == name]
    return {
        key: _written(value, edits) if isinstance(value, Tensor) and value.shape == shape else value
        for key, value in state.items()
    }


def _written(moments: Tensor, edits: list[Edit]) -> Tensor:
    cleared = moments.clone()
    with torch.no_grad():
        for edit in edits:
            edit.write(cleared)
    return cleared
