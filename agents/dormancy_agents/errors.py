"""How a training run ends when it cannot go on."""

from __future__ import annotations

from dormancy.errors import DormancyError

__all__ = ["TrainingDiverged"]


class TrainingDiverged(DormancyError):
    """The loss became infinite or undefined; the files written before that moment are good."""

    exit_code = 4
