"""State_dicts as people save them with ``torch.save``: bare, nested in a training checkpoint, several in a tuple.

The three shapes of CleanRL's ``.cleanrl_model`` are among them: one state_dict, a tuple of them, or one under
``model_weights`` beside the arguments of the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from dormancy.io.checkpoints.architecture.identify import checkpoint_of
from dormancy.io.checkpoints.architecture.infer import Known
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.formats.native import FORMAT as NATIVE
from dormancy.io.checkpoints.formats.stable_baselines3 import ACTIVATIONS
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.checkpoints.state_dicts import Parameters, beside_parameters, choose, state_dicts
from dormancy.io.safety.pickle_modules import Stub
from dormancy.text.escape import printable

__all__ = ["FORMAT", "StateDictReader"]

FORMAT = "state_dict"


@final
class StateDictReader:
    """Reads torch files that hold named tensors, behind the guard that every torch file passes."""

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it is a torch zip with a state_dict somewhere inside, and not our own format."""
        content = candidate.content if candidate.is_plain else None
        ours = isinstance(content, Mapping) and content.get("format") == NATIVE
        return not ours and bool(state_dicts(content))

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read the network that ``--key`` names, or the only one; raises as `infer` does."""
        return self.opened(candidate)[1]

    def networks(self, candidate: Candidate) -> dict[str, Parameters]:
        """Return every state_dict by its path."""
        return state_dicts(candidate.content)

    def opened(self, candidate: Candidate) -> tuple[Any, Checkpoint]:
        """Return the content of the file as well, whose tensors the checkpoint has: whoever writes it back needs it."""
        content = candidate.content
        parameters, assumptions = choose(state_dicts(content), candidate.hints.key, printable(candidate.path))
        said = (*assumptions, *beside_parameters(content), *_not_normalised(content))
        known = _of_policy(content)
        if known and any(_CRITIC.match(name) for name in parameters):
            said = (*said, Assumption("actions", _SCALED, "not certain: stable-baselines3"))
        return content, checkpoint_of(candidate, FORMAT, parameters, said, known, env_id=_env_id(content))


_CRITIC = re.compile(r"(critic\.)?qf\d+\.")
_SCALED = (
    "taken as the sample has them; the critic was trained on actions scaled to [-1, 1], as its replay buffer has them"
)
MAX_DEPTH = 4
_STATISTICS = {"running_mean", "running_var", "running_variance"}


def _normalizers(content: Any, path: str = "", depth: int = 0) -> list[str]:
    """Return the paths of running means that no network of the file holds: those of a vector of observations.

    A BatchNorm's have a weight beside them or lie among the parameters of a network; a mean of one number is of values.
    """
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return []
    mean = content.get("running_mean")
    if isinstance(mean, Tensor) and len(_STATISTICS & set(content)) == 2 and "weight" not in content:
        return [path] if mean.numel() > 1 else []
    inner = ((str(name), part) for name, part in content.items() if isinstance(part, Mapping))
    return [found for name, part in inner for found in _normalizers(part, f"{path}.{name}".strip("."), depth + 1)]


def _not_normalised(content: Any) -> tuple[Assumption, ...]:
    """Say that running means in the file are not applied [skrl]."""
    value = "taken as the sample has them; the file holds running means that it may have been trained with"
    return tuple(
        Assumption("observations", f"{value}: {printable(path, 60)}", "not certain: running_mean")
        for path in _normalizers(content)[:1]
    )


def _of_policy(content: Any) -> Known | None:
    """Return what the options of a policy say that Stable-Baselines3's ``policy.save`` wrote: its nonlinearity."""
    options = content.get("data") if isinstance(content, Mapping) else None
    named = options.get("activation_fn") if isinstance(options, Mapping) else None
    if not isinstance(options, Mapping) or not isinstance(named, Stub) or "observation_space" not in options:
        return None
    kind = ACTIVATIONS.get(named.name.rpartition(".")[2]) if named.name.startswith("torch.nn.modules.") else None
    return Known(activation=(kind, "file: activation_fn of the policy")) if kind else None


def _env_id(content: Any) -> str | None:
    """Return what CleanRL's arguments say of the environment."""
    arguments = content.get("args") if isinstance(content, Mapping) else None
    env_id = arguments.get("env_id") if isinstance(arguments, Mapping) else None
    return env_id if isinstance(env_id, str) else None


READERS.register(FORMAT)(StateDictReader())
