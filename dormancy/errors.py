"""Every error a caller may want to catch, and the exit code it stands for.

::

    DormancyError                 70   something is wrong that has no class of its own yet
    ├── UsageError                 2   the caller asked for something that cannot be
    │   └── ReferenceRequired      2   the question compares with another checkpoint, and none was given
    ├── InputError                 3   a file, sample or network cannot be used as it is
    │   ├── FileError              3   missing, not a regular file, truncated, damaged
    │   │   └── UnsafeFileError    3   it would run code, or is built to exhaust the machine
    │   ├── FormatError            3   readable, but not a kind of file that is known here
    │   ├── KeyNeeded              3   a file holds several networks, and one must be chosen
    │   ├── ArchitectureUnknown    3   parameters without a network to put them in
    │   ├── NetworkError           3   the network cannot be traced or does not take this input
    │   ├── SampleError            3   the sample does not fit the schema or the network
    │   │   └── SampleRequired     3   the question cannot be answered without observations
    │   │       └── TransitionsRequired  3   nor without what followed them
    │   ├── ReferenceUnfit         3   the earlier checkpoint cannot be compared with
    │   └── RewriteRefused         3   scoring works, but rewriting these neurons would be wrong
    ├── OutputError                3   a result cannot be written where it should go
    └── PartialFailure             4   some of many inputs failed, the others were done

A message says in one line what is wrong, in which file or layer, and what to do next.
"""

from __future__ import annotations

__all__ = [
    "ArchitectureUnknown",
    "DormancyError",
    "FileError",
    "FormatError",
    "InputError",
    "KeyNeeded",
    "NetworkError",
    "OutputError",
    "PartialFailure",
    "ReferenceRequired",
    "ReferenceUnfit",
    "RewriteRefused",
    "SampleError",
    "SampleRequired",
    "TransitionsRequired",
    "UnsafeFileError",
    "UsageError",
]


class DormancyError(Exception):
    """The root: catch it to catch every expected failure of this library."""

    exit_code = 70


class UsageError(DormancyError, ValueError):
    """An option, name or value that cannot be, such as a negative tau."""

    exit_code = 2


class ReferenceRequired(UsageError):
    """A question about what has changed, with nothing to compare with."""


class InputError(DormancyError):
    """A file, sample or network that cannot be used as it is."""

    exit_code = 3


class FileError(InputError):
    """A file that is missing, not a regular file, truncated or damaged."""


class UnsafeFileError(FileError):
    """A file that would run code when loaded, or that is built to exhaust the machine."""


class FormatError(InputError):
    """A readable file of a kind, schema or version that is not known here."""


class ArchitectureUnknown(InputError):
    """Parameters whose network could not be told; the message names the flags to give."""


class KeyNeeded(InputError):
    """A file holds several networks, and which one is meant is not said, or not one of them."""


class NetworkError(InputError):
    """A network that cannot be traced, or that does not take the observations it was given."""


class SampleError(InputError):
    """A sample that breaks its schema or does not fit the network."""


class SampleRequired(SampleError):
    """A question that cannot be answered without observations."""


class TransitionsRequired(SampleRequired):
    """A question about what followed the observations, of a sample that does not tell."""


class ReferenceUnfit(InputError):
    """An earlier checkpoint that cannot be read, or is of another network: there is nothing to compare with."""


class RewriteRefused(InputError):
    """Neurons that can be scored, but that recycling or pruning would rewrite wrongly."""


class OutputError(DormancyError):
    """A result that cannot be written: the path exists, or its folder cannot be written to."""

    exit_code = 3


class PartialFailure(DormancyError):
    """Some of many inputs failed; the results of the others were given."""

    exit_code = 4
