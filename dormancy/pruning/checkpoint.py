"""From a checkpoint to a pruned one that says what was taken out of which file, and what that did."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import nn

from dormancy._version import __version__
from dormancy.edits.checkpoint import with_history
from dormancy.edits.output_change import ActionsOutput
from dormancy.io import Checkpoint, ReplaySample, Source
from dormancy.io.pairing import inputs_for, open_pair, require_same_environment
from dormancy.networks import resized
from dormancy.probing.probe import BATCH
from dormancy.pruning.action_rule import policy_of
from dormancy.pruning.apply import prune, pruned_optimizer_state
from dormancy.pruning.effect import PruneEffect
from dormancy.pruning.experiment import DRAWS, PruneBench
from dormancy.pruning.plan import Mode, PrunePlan

__all__ = ["PrunedCheckpoint", "prune_checkpoint", "prune_on", "pruning_bench", "pruning_inputs"]


@final
@dataclass(frozen=True, eq=False)
class PrunedCheckpoint:
    """A pruned checkpoint, ready to be saved, with the plan that made it and its measured effect.

    `network` is the pruned network in evaluation mode. `source` and `sample` are the files it was made from; the
    checkpoint's own metadata names them too.
    """

    checkpoint: Checkpoint
    plan: PrunePlan
    effect: PruneEffect
    tau: float
    network: nn.Module
    source: Source | None
    sample: Source | None

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form, without the parameters."""
        return {
            "checkpoint": asdict(self.source) if self.source else None,
            "sample": asdict(self.sample) if self.sample else None,
            "env_id": self.checkpoint.env_id,
            "agent_step": self.checkpoint.agent_step,
            "gradient_step": self.checkpoint.gradient_step,
            "tau": self.tau,
            **self.plan.to_dict(),
            "effect": self.effect.to_dict(),
        }


def prune_checkpoint(
    checkpoint: Checkpoint | str | os.PathLike[str],
    sample: ReplaySample | str | os.PathLike[str] | None = None,
    tau: float = 0.0,
    mode: Mode = "mask",
    *,
    layers: str | None = None,
    keep_one: bool = False,
    allow_inexact: bool = False,
    batch_size: int = BATCH,
    draws: int = DRAWS,
    seed: int = 0,
) -> PrunedCheckpoint:
    """Prune the tau-dormant neurons of a checkpoint and measure what that does; nothing is written.

    Without a sample, the one beside the checkpoint is taken. The other options are those of `PruneBench` and
    `PruneBench.effect`. Save the result with ``save_checkpoint(path, pruned.checkpoint)``.

    Raises what `dormancy.scan_checkpoint` and `PrunePlanner.plan` raise; besides, `SampleError` for a sample of another
    environment, and `RewriteRefused` for an architecture that cannot be built narrower.
    """
    with pruning_inputs(checkpoint, sample) as (loaded, opened):
        bench = pruning_bench(
            loaded, opened, layers=layers, keep_one=keep_one, allow_inexact=allow_inexact, batch_size=batch_size
        )
        return prune_on(bench, loaded, opened, tau, mode, draws=draws, seed=seed)


@contextmanager
def pruning_inputs(
    checkpoint: Checkpoint | str | os.PathLike[str], sample: ReplaySample | str | os.PathLike[str] | None
) -> Iterator[tuple[Checkpoint, ReplaySample]]:
    """Read a checkpoint and open its sample, and make sure that they belong together."""
    with open_pair(checkpoint, sample) as (loaded, opened):
        loaded.require_finite()
        require_same_environment(loaded, opened)
        yield loaded, opened


def pruning_bench(
    checkpoint: Checkpoint,
    sample: ReplaySample,
    *,
    layers: str | None = None,
    keep_one: bool = False,
    allow_inexact: bool = False,
    batch_size: int = BATCH,
    device: str | torch.device = "cpu",
) -> PruneBench:
    """Rebuild the network of a checkpoint and put it on the bench with its sample."""
    model = checkpoint.build().to(device)
    return PruneBench(
        model,
        inputs_for(model, sample),
        layers=layers,
        keep_one=keep_one,
        allow_inexact=allow_inexact,
        actions=_actions_output(checkpoint),
        batch_size=batch_size,
    )


def _actions_output(checkpoint: Checkpoint) -> ActionsOutput:
    """Say which output has a value for each action; of a network of the user's own code, its only one if any."""
    if checkpoint.factory is not None:
        return "only"
    policy = policy_of(checkpoint)
    return policy.output if policy is not None and policy.choice == "largest" else None


def prune_on(
    bench: PruneBench,
    checkpoint: Checkpoint,
    sample: ReplaySample,
    tau: float,
    mode: Mode,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> PrunedCheckpoint:
    """Prune a checkpoint that lies on the bench.

    What is measured is the network rebuilt from the pruned checkpoint; one of the user's own code cannot be built
    narrower, and is measured as it was cut.
    """
    plan = bench.plan(tau, mode)
    model = prune(bench.model, plan)
    pruned = _pruned(checkpoint, plan, model)
    device = next(model.parameters()).device
    after = model if plan.cuts and checkpoint.factory is not None else pruned.build().to(device)
    effect = bench.effect(plan, tau, after, draws=draws, seed=seed)
    record = _record(checkpoint, sample, plan, effect, tau)
    pruned = replace(pruned, metadata=with_history(checkpoint.metadata, "pruning", record))
    return PrunedCheckpoint(pruned, plan, effect, tau, after, checkpoint.source, sample.source)


def _pruned(checkpoint: Checkpoint, plan: PrunePlan, model: nn.Module) -> Checkpoint:
    shapes = {name: tensor.shape for name, tensor in checkpoint.parameters.items()}
    ours = checkpoint.factory is None
    return replace(
        checkpoint,
        network=resized(checkpoint.network, plan.sizes) if plan.cuts and ours else checkpoint.network,
        parameters={name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        optimizer=pruned_optimizer_state(plan, checkpoint.optimizer, shapes),
        source=None,
    )


def _record(
    checkpoint: Checkpoint, sample: ReplaySample, plan: PrunePlan, effect: PruneEffect, tau: float
) -> dict[str, Any]:
    """Say in the checkpoint itself what was pruned, by which rule, on which sample, from which file."""
    return {
        "tau": tau,
        **plan.to_dict(),
        "source": asdict(checkpoint.source) if checkpoint.source else None,
        "sample": asdict(sample.source) if sample.source else None,
        "change_on_sample": effect.sample.to_dict(),
        "created_by": f"dormancy {__version__} prune",
    }
