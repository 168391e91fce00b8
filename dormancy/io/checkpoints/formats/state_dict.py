"""State_dicts as people save them with ``torch.save``: bare, nested in a training checkpoint, several in a tuple.

The three shapes of CleanRL's ``.cleanrl_model`` are among them: one state_dict, a tuple of them, or one under
``model_weights`` beside the arguments of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from dormancy.io.checkpoints.architecture.identify import checkpoint_of
from dormancy.io.checkpoints.checkpoint import Checkpoint
from dormancy.io.checkpoints.formats.native import FORMAT as NATIVE
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.checkpoints.state_dicts import Parameters, beside_parameters, choose, state_dicts
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
        said = (*assumptions, *beside_parameters(content))
        return content, checkpoint_of(candidate, FORMAT, parameters, said, env_id=_env_id(content))


def _env_id(content: Any) -> str | None:
    """Return what CleanRL's arguments say of the environment."""
    arguments = content.get("args") if isinstance(content, Mapping) else None
    env_id = arguments.get("env_id") if isinstance(arguments, Mapping) else None
    return env_id if isinstance(env_id, str) else None


READERS.register(FORMAT)(StateDictReader())
