"""A checkpoint in memory, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor, nn

from dormancy.errors import InputError
from dormancy.io.checkpoints.build import rebuild, refilled
from dormancy.io.source import Source
from dormancy.networks import NetworkSpec
from dormancy.text.escape import printable

__all__ = ["Assumption", "Checkpoint"]


@final
@dataclass(frozen=True)
class Assumption:
    """One thing that was not measured: what, its value, and where that came from.

    `origin` is ``"file"``, ``"template"`` or ``"flag"``, possibly with a detail behind a colon; ``"not certain"``
    where a scan must warn.
    """

    what: str
    value: str
    origin: str


@final
@dataclass(frozen=True)
class Checkpoint:
    """The parameters of a network, what is needed to rebuild it, and when it was saved.

    `optimizer` maps a parameter's name to its optimizer state (``{"exp_avg": ..., "step": ...}``), never to
    a position. `agent_step` counts actions, `gradient_step` optimizer steps. `metadata` is JSON-able. `factory` is the
    user's own code that makes the network, where `network` names none of ours; it is never read from a file.
    """

    network: NetworkSpec
    parameters: Mapping[str, Tensor]
    optimizer: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    agent_step: int | None = None
    gradient_step: int | None = None
    env_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    assumptions: tuple[Assumption, ...] = ()
    source: Source | None = None
    factory: Callable[[], nn.Module] | None = field(default=None, compare=False)

    def build(self) -> nn.Module:
        """Rebuild the network on the CPU, in evaluation mode, with these parameters.

        Raises `ArchitectureUnknown`, and `InputError` when names or shapes do not fit the architecture.
        """
        if self.factory is not None:
            return refilled(self.factory, self.parameters, self._name)
        return rebuild(self.network, self.parameters, self._name)

    def nonfinite(self) -> dict[str, int]:
        """Count the values that are NaN or infinite, for each parameter that has any."""
        counts = {name: int((~tensor.isfinite()).sum()) for name, tensor in self.parameters.items()}
        return {name: count for name, count in counts.items() if count}

    def require_finite(self) -> None:
        """Raise `InputError` when a parameter holds values that are not finite: the network has diverged.

        Its neurons would have scores that are not numbers, and a NaN passes for alive in every comparison.
        """
        for name, count in self.nonfinite().items():
            raise InputError(
                f"{self._name}: {count} of {self.parameters[name].numel()} values of '{printable(name, 80)}' are NaN "
                "or infinite: the network has diverged; take an earlier checkpoint"
            )

    @property
    def _name(self) -> str:
        return printable(self.source.path) if self.source else "checkpoint"
