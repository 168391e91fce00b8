"""Which output of a network chooses actions, and how: an agreement of actions means nothing for a critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

from dormancy.io import Checkpoint

__all__ = ["Choice", "Policy", "policy_of"]

Choice: TypeAlias = Literal["largest", "unit", "squashed", "plain"]
"""The largest of one number an action; or numbers that are an action: in -1..1, before a tanh, or as they are."""

_MEANS = ("actor_mean", "action_net", "actor")
_DEVIATIONS = ("log_std", "logstd")
_NO_VALUES = ("quantile", "trunk")
"""Single heads that give something else than a value for each action: quantiles, DrQ's mean and deviation."""


@final
@dataclass(frozen=True)
class Policy:
    """Output number `output` of the network chooses the action, in the way that `choice` says."""

    output: int
    choice: Choice


def policy_of(checkpoint: Checkpoint) -> Policy | None:
    """Tell how the network of a checkpoint acts; None for critics, quantiles, and code of the user's own.

    Our own networks give a value for each action, or are those of SAC. In files of other libraries the names of the
    heads tell. Networks that give a distribution of values for each action in one plain chain (C51) cannot be told
    from others. What comes out of a bare sequence of modules is not known either.
    """
    if checkpoint.factory is not None:
        return None
    if checkpoint.network.arch == "sequential":
        return None
    if checkpoint.network.arch == "sac":
        return Policy(0, "squashed")
    if checkpoint.network.arch != "stack":
        return Policy(0, "largest")
    return _of_stack(checkpoint, checkpoint.network.options)


def _of_stack(checkpoint: Checkpoint, options: Any) -> Policy | None:
    names = [str(head[-1]["name"]).partition(".")[0] for head in options["heads"]]
    if options.get("output") == "tanh":
        return Policy(0, "unit")
    if any(part in name for name in names for part in _DEVIATIONS):
        return Policy(0, "squashed")
    if options.get("output") == "dueling" or (len(names) == 1 and not options.get("actions")):
        return None if names[0].startswith(_NO_VALUES) else Policy(0, "largest")
    means = [number for number, name in enumerate(names) if name in _MEANS]
    if len(means) != 1:
        return None
    beside = " ".join(each.value for each in checkpoint.assumptions if each.what.startswith("left out"))
    continuous = names[means[0]] == "actor_mean" or any(part in beside for part in _DEVIATIONS)
    return Policy(means[0], "plain" if continuous else "largest")
