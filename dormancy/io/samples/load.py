"""From a data set of another library to a `ReplaySample`, whatever kind of file it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dormancy.errors import FormatError
from dormancy.io.files import open_regular_file
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.io.samples.draw import pick_rows
from dormancy.io.samples.formats.d4rl import D4RL
from dormancy.io.samples.formats.dopamine import Dopamine
from dormancy.io.samples.formats.minari import Minari
from dormancy.io.samples.formats.native import SCHEMA, damage_named, open_guarded, own_sample
from dormancy.io.samples.formats.robomimic import Robomimic
from dormancy.io.samples.formats.stable_baselines3 import Sb3Replay
from dormancy.io.samples.formats.tianshou import Tianshou
from dormancy.io.samples.formats.torchrl import Torchrl
from dormancy.io.samples.sample import ReplaySample
from dormancy.io.signatures import HEAD_SIZE, describe
from dormancy.io.source import Source
from dormancy.registry import Registry
from dormancy.text.escape import printable

__all__ = ["SAMPLE_READERS", "STORE_READERS", "SampleReader", "StoreReader", "open_foreign_sample", "open_picked"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


class SampleReader(Protocol):
    """One kind of data set in HDF5: register an instance in `SAMPLE_READERS` under its name."""

    def sniff(self, guarded: GuardedFile) -> bool:
        """Whether the file is of this kind, by its content and never by its name."""
        ...

    def read(self, guarded: GuardedFile) -> ReplaySample:
        """Read it; raises an `InputError` that names the file when it is of this kind but wrong."""
        ...


class StoreReader(Protocol):
    """One kind of replay memory that is no HDF5 file: register an instance in `STORE_READERS` under its name."""

    def sniff(self, path: str | os.PathLike[str], head: bytes) -> bool:
        """Whether a file beginning with `head`, or a folder (no head), is of this kind."""
        ...

    def open(self, path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[ReplaySample]:
        """Open it, with its source and provenance; raises an `InputError` that names it when it is wrong."""
        ...


SAMPLE_READERS: Registry[SampleReader] = Registry("data set format")
"""Every kind of data set in HDF5 that can be converted, asked in this order."""

SAMPLE_READERS.register("minari")(Minari())
SAMPLE_READERS.register("robomimic")(Robomimic())
SAMPLE_READERS.register("tianshou")(Tianshou())
SAMPLE_READERS.register("d4rl")(D4RL())

STORE_READERS: Registry[StoreReader] = Registry("replay memory format")
"""Every other kind that can be converted, asked in this order."""

STORE_READERS.register("sb3")(Sb3Replay())
STORE_READERS.register("dopamine")(Dopamine())
STORE_READERS.register("torchrl")(Torchrl())


@contextlib.contextmanager
def open_foreign_sample(path: str | os.PathLike[str], *, frame_stack: int | None = None) -> Iterator[ReplaySample]:
    """Open a data set or a sample of this project; its rows are in order of time, its `source` tells kind and SHA-256.

    `path` is a file, or the folder of a replay memory. `frame_stack` is how many single frames of Dopamine make a state
    (None: 4). Observations are read by slab while it is open. Nothing in a file is executed. Raises what `open_sample`
    raises, and `FormatError` when it is of no kind that is known here.
    """
    head = _head(path)
    if head.startswith(_HDF5):
        with _open_hdf5(path) as sample:
            yield sample
        return
    kind = next((name for name in STORE_READERS if STORE_READERS[name].sniff(path, head)), None)
    if kind is None:
        seen = "a folder that holds none" if Path(path).is_dir() else f"not a data set but {describe(head)}"
        raise FormatError(f"{printable(path)}: {seen}; what is read: {', '.join(_known())}")
    reader = Dopamine(frame_stack) if kind == "dopamine" else STORE_READERS[kind]
    with reader.open(path) as sample:
        yield sample


def _head(path: str | os.PathLike[str]) -> bytes:
    if Path(path).is_dir():
        return b""
    with open_regular_file(path) as stream:
        return stream.read(HEAD_SIZE)


@contextlib.contextmanager
def _open_hdf5(path: str | os.PathLike[str]) -> Iterator[ReplaySample]:
    with contextlib.ExitStack() as stack:
        guarded, digest = stack.enter_context(open_guarded(path))
        if _has_schema(guarded):
            yield own_sample(guarded, digest)
            return
        with damage_named(path):
            kind = next((name for name in SAMPLE_READERS if SAMPLE_READERS[name].sniff(guarded)), None)
            if kind is None:
                raise FormatError(
                    f"{guarded.name}: an HDF5 file of an unknown kind; what is read: {', '.join(_known())}"
                )
            sample = SAMPLE_READERS[kind].read(guarded)
            sample.check(guarded.name)
            source = Source(os.fspath(path), kind, digest)
        yield replace(sample, source=source, provenance={"source": kind, "source_sha256": digest})


@contextlib.contextmanager
def open_picked(
    path: str | os.PathLike[str], rows: int | None, seed: int, *, frame_stack: int | None = None
) -> Iterator[ReplaySample]:
    """Open a data set as `open_foreign_sample` does and draw `rows` of it (None: all); the provenance says so."""
    with open_foreign_sample(path, frame_stack=frame_stack) as sample:
        if rows is None or rows >= len(sample):
            yield sample
            return
        drawn = {"rows": f"{rows} of {len(sample)}, drawn uniformly", "seed": str(seed)}
        yield replace(pick_rows(sample, rows, seed), provenance={**sample.provenance, **drawn})


def _has_schema(guarded: GuardedFile) -> bool:
    with damage_named(guarded.name):
        return "schema" in guarded.file.attrs


def _known() -> list[str]:
    return [*SAMPLE_READERS, *STORE_READERS, SCHEMA]
