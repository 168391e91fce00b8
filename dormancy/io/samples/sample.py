"""A replay sample in memory or on disk: the observations a network is looked at with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import final

from dormancy.errors import SampleError
from dormancy.io.arrays.base import Array, ObservationArray
from dormancy.io.source import Source
from dormancy.text.escape import printable

__all__ = ["ReplaySample"]


@final
@dataclass(frozen=True)
class ReplaySample:
    """Transitions drawn from a replay: N rows of observations in their stored dtype, and what belongs to them.

    Pixels stay ``uint8``. A network with several inputs has one array per input name. The optional arrays have N
    rows each; `episode_ids` groups transitions for clustered bootstraps, `steps` are agent steps.
    """

    observations: ObservationArray | Mapping[str, ObservationArray]
    actions: Array | None = None
    rewards: Array | None = None
    terminations: Array | None = None
    truncations: Array | None = None
    next_observations: ObservationArray | Mapping[str, ObservationArray] | None = None
    episode_ids: Array | None = None
    steps: Array | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None

    def __len__(self) -> int:
        return len(next(iter(self._arrays().values())))

    def check(self, name: str = "sample") -> None:
        """Raise `SampleError`, beginning with `name`, when there are no rows or the arrays disagree on how many."""
        arrays = self._arrays()
        for where in ("observations", "next_observations"):
            part = getattr(self, where)
            if isinstance(part, Mapping) and not part:
                raise SampleError(f"{name}: {where!r} is empty; it needs one array for each input of the network")
        for where, array in arrays.items():
            if not array.shape or array.shape[0] == 0:
                raise SampleError(f"{name}: '{printable(where, 60)}' has no rows; collect some transitions first")
            if array.shape[0] != len(self):
                shown = f"'{printable(where, 60)}' has {array.shape[0]} rows"
                raise SampleError(f"{name}: {shown}, the observations have {len(self)}; make the sample again")

    def _arrays(self) -> dict[str, ObservationArray]:
        """Return every array by its name, observations first; one of several inputs is ``observations/<name>``."""
        found: dict[str, ObservationArray] = {}
        for where in (one.name for one in fields(self) if one.name not in ("provenance", "source")):
            part = getattr(self, where)
            if isinstance(part, Mapping):
                found |= {f"{where}/{name}": array for name, array in part.items()}
            elif part is not None:
                found[where] = part
        return found
