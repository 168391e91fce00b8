"""Replay samples on disk: HDF5, schema ``dormancy.sample`` 1.0.

``/observations`` in their stored type (pixels stay ``uint8``), or ``/observations/<name>`` for a network with several
inputs; optional ``/actions /rewards /terminations /truncations /next_observations /episode_ids /steps`` with as many
rows; the provenance as root attributes. Chunks of 16 rows, gzip 4, shuffle, fletcher32. No variable-length data.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import h5py

from dormancy.errors import DormancyError, FileError, FormatError, SampleError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.hdf5 import HDF5_ERRORS, StoredArray
from dormancy.io.files import open_regular_file, sha256_stream
from dormancy.io.safety.hdf5 import GuardedFile
from dormancy.io.samples.sample import ReplaySample
from dormancy.io.signatures import HEAD_SIZE, describe
from dormancy.io.source import Source
from dormancy.text.escape import one_line, printable

__all__ = ["OPTIONAL_ARRAYS", "SCHEMA", "SCHEMA_VERSION", "damage_named", "open_guarded", "open_sample", "own_sample"]

SCHEMA = "dormancy.sample"
SCHEMA_VERSION = "1.0"
OPTIONAL_ARRAYS = ("actions", "rewards", "terminations", "truncations", "episode_ids", "steps")

_MAGIC = b"\x89HDF\r\n\x1a\n"


@contextlib.contextmanager
def open_sample(path: str | os.PathLike[str]) -> Iterator[ReplaySample]:
    """Open a sample file for reading; observations are read by slab while it is open, the other arrays at once.

    Its `source` has the file's SHA-256, its `provenance` the root attributes. Raises `FileError` when the file is
    missing, truncated or damaged (also later, when a slice is read), `UnsafeFileError` when it reaches outside itself
    or claims far more than it holds, `FormatError` when it follows another schema, `SampleError` when it breaks this
    one.
    """
    with open_guarded(path) as (guarded, digest):
        yield own_sample(guarded, digest)


def own_sample(guarded: GuardedFile, digest: str) -> ReplaySample:
    """Read an open file of this project's own schema; `digest` is its SHA-256. Raises as `open_sample` does."""
    with damage_named(str(guarded.path)):
        return _sample(guarded, Source(str(guarded.path), SCHEMA, digest))


@contextlib.contextmanager
def open_guarded(path: str | os.PathLike[str]) -> Iterator[tuple[GuardedFile, str]]:
    """Open an HDF5 file behind the guard; gives it with its SHA-256. Raises as `open_sample` does."""
    digest, size = _identified(path)
    with contextlib.ExitStack() as stack:
        with damage_named(path):
            # Without a lock: published files are never changed, and some network file systems cannot lock.
            file = h5py.File(os.fspath(path), "r", locking=False)
            stack.callback(_close, file)
        yield GuardedFile(file, path, size), digest


@contextlib.contextmanager
def damage_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the HDF5 library says about a damaged file into a `FileError` that names it."""
    try:
        yield
    except DormancyError:
        raise
    except HDF5_ERRORS as error:
        reason = one_line(error, 120)
        raise FileError(f"{printable(path)}: truncated or damaged ({reason}); copy or make it again") from error


def _identified(path: str | os.PathLike[str]) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file that begins as HDF5 files do."""
    with open_regular_file(path) as stream:
        head = stream.read(HEAD_SIZE)
        if not head.startswith(_MAGIC):
            raise FormatError(f"{printable(path)}: not a sample but {describe(head)}; name a sample in HDF5")
        return sha256_stream(stream, path), stream.tell()


def _close(file: h5py.File) -> None:
    with contextlib.suppress(*HDF5_ERRORS):  # closing a damaged file may complain once more
        file.close()


def _sample(guarded: GuardedFile, source: Source) -> ReplaySample:
    provenance = guarded.attributes()
    names = guarded.entries(guarded.file)
    _check_schema(guarded, provenance, names)
    if "observations" not in names:
        raise SampleError(f"{guarded.name}: no 'observations'; make the sample again")
    sample = ReplaySample(
        _observations(guarded, "observations"),
        next_observations=_observations(guarded, "next_observations") if "next_observations" in names else None,
        provenance={name: value for name, value in provenance.items() if name not in ("schema", "schema_version")},
        source=source,
        **_optional(guarded, names),
    )
    sample.check(guarded.name)
    return sample


def _optional(guarded: GuardedFile, names: list[str]) -> dict[str, Array]:
    return {name: guarded.in_memory(guarded.file, name) for name in OPTIONAL_ARRAYS if name in names}


def _check_schema(guarded: GuardedFile, attributes: dict[str, str], names: list[str]) -> None:
    if "schema" not in attributes:
        shown = ", ".join(f"'{printable(name, 40)}'" for name in names[:6]) or "nothing"
        raise FormatError(
            f"{guarded.name}: an HDF5 file without a schema (it holds {shown}); write samples with save_sample"
        )
    schema, version = attributes["schema"], attributes.get("schema_version", "")
    if schema != SCHEMA or version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        found = printable(f"{schema} {version}", 80)
        raise FormatError(
            f"{guarded.name}: follows '{found}', but '{SCHEMA} {SCHEMA_VERSION}' is read here; convert it"
        )


def _observations(guarded: GuardedFile, name: str) -> StoredArray | dict[str, StoredArray]:
    group = guarded.file[name]
    if not isinstance(group, h5py.Group):
        return guarded.lazy(guarded.file, name)
    return {inner: guarded.lazy(group, inner) for inner in guarded.entries(group)}
