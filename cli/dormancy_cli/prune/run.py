"""The work of `dormancy prune`: plan, measure, play, sweep; nothing is printed and nothing written in here."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from dormancy.errors import UsageError
from dormancy_cli.prune import gates as pruning_gates
from dormancy_cli.prune.gates import PruneGate, PruneVerdict
from dormancy_cli.shared.console import Reporter

if TYPE_CHECKING:
    from dormancy.io import Checkpoint, Hints, ReplaySample
    from dormancy.pruning import PruneBench, PrunedCheckpoint, PruneSweep
    from dormancy_agents.acting.paired_returns import Returns

__all__ = ["SCHEMA", "PruneOptions", "PruneOutcome", "carry_out"]

SCHEMA = "dormancy.prune/1"


@final
@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """What is asked of one checkpoint. `grid` holds the taus of the sweep; None leaves it out, () takes the default."""

    checkpoint: Path
    tau: float = 0.0
    mode: Literal["mask", "remove"] = "mask"
    sample: Path | None = None
    layers: str | None = None
    keep_one: bool = False
    allow_inexact: bool = False
    draws: int = 5
    seed: int = 0
    episodes: int = 0
    epsilon: float = 0.001
    env_id: str | None = None
    grid: tuple[float, ...] | None = None
    gates: tuple[PruneGate, ...] = ()
    hints: Hints | None = None
    native: bool = False
    device: str | None = None
    batch_size: int = 64


@final
@dataclass(frozen=True, eq=False)
class PruneOutcome:
    """Everything that came of it. `written` tells the pruned file, once there is one."""

    pruned: PrunedCheckpoint
    returns: Returns | None
    sweep: PruneSweep | None
    verdicts: tuple[PruneVerdict, ...]
    warnings: tuple[str, ...]
    written: dict[str, Any] | None = None

    @property
    def passed(self) -> bool:
        """Whether every gate was kept."""
        return all(verdict.passed for verdict in self.verdicts)

    def saved(self, asked: PruneOptions, path: Path, copy: Path | None, *, force: bool) -> PruneOutcome:
        """Write the pruned checkpoint, and a copy of the sample where one is wanted; return an outcome that says so.

        Raises `OutputError` when that cannot be written.
        """
        from dormancy.io import atomic_path, sha256_file
        from dormancy.pruning import write_pruned

        if copy is not None and self.pruned.sample is not None:
            with atomic_path(copy, force=force) as temporary:
                shutil.copyfile(self.pruned.sample.path, temporary)
        made = write_pruned(path, self.pruned, asked.hints, force=force, as_native=asked.native)
        written = {"path": str(path), "format": made.format, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        notes = (made.note,) if made.note else ()
        return replace(
            self,
            written={**written, "sample": str(copy) if copy else None},
            warnings=(*self.warnings, *(f"{path}: {note}" for note in notes)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form: schema dormancy.prune/1."""
        return {
            "schema": SCHEMA,
            **self.pruned.to_dict(),
            "returns": self.returns.to_dict() if self.returns else None,
            "sweep": self.sweep.to_dict() if self.sweep else None,
            "gates": [verdict.to_dict() for verdict in self.verdicts],
            "warnings": list(self.warnings),
            "written": self.written,
        }


def carry_out(asked: PruneOptions, reporter: Reporter) -> PruneOutcome:
    """Prune one checkpoint and measure all that was asked for; raises what the library raises."""
    from dormancy.io import load_checkpoint
    from dormancy.pruning import prune_on, pruning_bench, pruning_inputs

    with pruning_inputs(load_checkpoint(asked.checkpoint, asked.hints), asked.sample) as (checkpoint, sample):
        bench = pruning_bench(
            checkpoint,
            sample,
            layers=asked.layers,
            keep_one=asked.keep_one,
            allow_inexact=asked.allow_inexact,
            batch_size=asked.batch_size,
            device=asked.device or "cpu",
        )
        pruned = prune_on(bench, checkpoint, sample, asked.tau, asked.mode, draws=asked.draws, seed=asked.seed)
        return PruneOutcome(
            pruned=pruned,
            returns=_returns(asked, checkpoint, bench, pruned, reporter) if asked.episodes else None,
            sweep=_sweep(asked, bench, reporter) if asked.grid is not None else None,
            verdicts=tuple(pruning_gates.check(asked.gates, pruned.effect)),
            warnings=tuple(_warnings(asked, bench, pruned, sample)),
        )


def _returns(
    asked: PruneOptions, checkpoint: Checkpoint, bench: PruneBench, pruned: PrunedCheckpoint, reporter: Reporter
) -> Returns:
    from dormancy.pruning import policy_of
    from dormancy_agents.acting.paired_returns import environment_config, play_both

    policy = policy_of(checkpoint)
    if policy is None:
        raise UsageError(f"{asked.checkpoint}: this network does not choose actions, so it plays no episodes")
    env_id = asked.env_id or checkpoint.env_id
    if env_id is None:
        raise UsageError(f"{asked.checkpoint} does not say which environment it plays; name it with --env")
    config = environment_config(asked.checkpoint, env_id)
    with reporter.progress(range(asked.episodes), "playing") as numbers:
        return play_both(bench.model, pruned.network, policy, config, numbers, epsilon=asked.epsilon, seed=asked.seed)


def _sweep(asked: PruneOptions, bench: PruneBench, reporter: Reporter) -> PruneSweep:
    from dormancy.pruning import TAUS, sweep_pruning, sweep_taus

    with reporter.progress(sweep_taus(asked.grid or TAUS), "sweeping") as taus:
        return sweep_pruning(bench, taus, draws=asked.draws, seed=asked.seed)


def _warnings(asked: PruneOptions, bench: PruneBench, pruned: PrunedCheckpoint, sample: ReplaySample) -> Sequence[str]:
    found = list(bench.warnings(asked.tau))
    if math.isnan(pruned.effect.sample.largest):
        found.append("outputs are not finite on this sample, so how far they moved cannot be said")
    for layer in pruned.plan:
        if layer.refused is not None and layer.chosen:
            found.append(
                f"layer {layer.name!r} is left as it is, {layer.chosen} of its neurons are dormant: {layer.refused}"
            )
        if layer.unnarrowed is not None:
            found.append(f"layer {layer.name!r} is masked, not narrowed: {layer.unnarrowed}")
    if pruned.plan.chosen == 0:
        found.append(f"no neuron is dormant at tau {asked.tau:g} on this sample: the network stays what it is")
    return found
