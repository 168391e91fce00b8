"""How a training run ends when it cannot go on, or has nothing left to do."""

from __future__ import annotations

from dormancy.errors import DormancyError, UsageError

__all__ = ["AlreadyFinished", "TrainingDiverged"]


class TrainingDiverged(DormancyError):
    """The loss became infinite or undefined; the files written before that moment are good."""

    exit_code = 4


class AlreadyFinished(UsageError):
    """The run to go on with is finished, and keeps no state that could be looked at; nothing was changed."""
