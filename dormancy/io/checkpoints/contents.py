"""What lies in a file that cannot be scanned as it is: its networks by key, and what each of them still needs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import final

from dormancy.errors import DormancyError, FormatError
from dormancy.io.checkpoints.hints import Hints
from dormancy.io.checkpoints.load import reader_of
from dormancy.io.checkpoints.reader import Candidate, open_candidate
from dormancy.io.checkpoints.state_dicts import Parameters, beside_parameters
from dormancy.io.source import Source
from dormancy.text.escape import printable

__all__ = ["NetworkFound", "Survey", "survey_checkpoint"]

MOST_NETWORKS = 16
"""A file of more networks is listed up to here: each is matched with the templates."""


@final
@dataclass(frozen=True)
class NetworkFound:
    """One network of a file: what `--key` calls it ("" for the only one), its parameters, and what is missing.

    `missing` is None when it can be scanned with that key.
    """

    key: str
    parameters: Parameters
    missing: str | None


@final
@dataclass(frozen=True)
class Survey:
    """The networks of one file, in its order, and what lies beside them and is not read."""

    source: Source
    networks: tuple[NetworkFound, ...]
    beside: str | None = None


def survey_checkpoint(path: str | os.PathLike[str], hints: Hints | None = None) -> Survey:
    """List the networks of a file, each held against the templates with its key; nothing in it is executed.

    Raises `FileError` when it cannot be read, `FormatError` when it is of no kind that is known.
    """
    with open_candidate(path, hints) as candidate:
        name, reader = reader_of(candidate)
        found = list(reader.networks(candidate).items())[:MOST_NETWORKS]
        if not found:
            raise FormatError(f"{printable(path)}: holds no parameters by name; save model.state_dict()")
        networks = tuple(NetworkFound(key, parameters, _missing(candidate, key)) for key, parameters in found)
        beside = beside_parameters(candidate.content) if candidate.is_plain else ()
        return Survey(candidate.source(name), networks, beside[0].value if beside else None)


def _missing(candidate: Candidate, key: str) -> str | None:
    """Return what reading one network says is missing, without the name of the file."""
    chosen = Candidate(candidate.path, candidate.stream, replace(candidate.hints, key=key or None))
    try:
        reader_of(chosen)[1].read(chosen)
    except DormancyError as error:
        return str(error).removeprefix(f"{printable(candidate.path)}: ")
    return None
