"""What tests of files ask of errors and of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from dormancy.errors import DormancyError
from dormancy.io import ReplaySample

Refused: TypeAlias = Callable[[type[DormancyError], Callable[[], object]], str]
"""The type of the `refused` fixture."""


def one_printable_line(error: BaseException) -> str:
    """Return the message of an error, which must be one line that a terminal can show."""
    message = str(error)
    assert message.isprintable()
    assert 20 < len(message) < 900
    return message


def single_input(sample: ReplaySample) -> Any:
    """Return the observations of a sample that has one input."""
    assert not isinstance(sample.observations, Mapping)
    return sample.observations
