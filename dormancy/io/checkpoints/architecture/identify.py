"""What the readers of foreign files share: from parameters to a `Checkpoint`, by templates or the user's code."""

from __future__ import annotations

from typing import Any

from dormancy.io.checkpoints.architecture.infer import Known, infer
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.hints import user_factory
from dormancy.io.checkpoints.reader import Candidate
from dormancy.io.checkpoints.state_dicts import Parameters, once, unwrapped
from dormancy.networks import NetworkSpec
from dormancy.text.escape import printable

__all__ = ["checkpoint_of"]


def checkpoint_of(
    candidate: Candidate,
    format: str,
    parameters: Parameters,
    assumptions: tuple[Assumption, ...] = (),
    known: Known | None = None,
    **facts: Any,
) -> Checkpoint:
    """Return the checkpoint of one network's parameters; `facts` are further fields of `Checkpoint`."""
    file, hints = printable(candidate.path), candidate.hints
    bare, taken = unwrapped(parameters, file)
    told: tuple[Assumption, ...]
    if hints.model is not None:
        said = Assumption("network", printable(hints.model, 120), "flag: --model, your own code, which was run")
        network, factory = NetworkSpec(hints.model), user_factory(hints.model)
        kept, told = bare, (said,)
    else:
        inferred = infer(once(bare)[0], hints, file, known)
        network, factory, kept, told = inferred.network, None, inferred.parameters, inferred.assumptions
        taken += once(bare)[1]
    return Checkpoint(
        network=network,
        parameters=kept,
        assumptions=(*assumptions, *taken, *told),
        source=candidate.source(format),
        factory=factory,
        **facts,
    )
