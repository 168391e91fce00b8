"""The replay on disk: immutable shards of consecutive rows, and an index that says which of them make up the ring.

A shard is an ``.npz`` of arrays without objects, named by the positions that it holds. The newest row
of a replay is not finished (its action is not known yet), so the next shard begins with it once more, and later shards
win. Shards that have left the ring altogether are dropped from the index; nothing published is ever changed.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dormancy.errors import FileError
from dormancy.io import atomic_path
from dormancy.io.files import require_regular_file
from dormancy.text.escape import one_line, printable
from dormancy_agents.replay.buffer import Replay

__all__ = ["Shard", "is_shard", "read_shards", "write_shards"]

ROWS = 16_384
"""Rows in a shard at most: what is held in memory while one is written or read."""
SMALL_SHARDS = 64
"""Shards beyond those that full ones would need, before all are written anew."""


class Shard(NamedTuple):
    """One shard: the rows at positions `first`..`stop`-1."""

    first: int
    stop: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"replay_{self.first:012d}_{self.stop:012d}.npz"


def write_shards(replay: Replay, folder: Path, known: Sequence[Shard]) -> list[Shard]:
    """Write the rows that no known shard holds in their final form; return the shards that make up the replay now.

    Raises `OutputError` when they cannot be written.
    """
    low, stop = replay.oldest, replay.newest + 1
    kept = [shard for shard in known if shard.stop > low]
    if len(kept) > SMALL_SHARDS + (stop - low) // ROWS:
        kept = []
    begin = max(low, kept[-1].stop - 1) if kept else low
    fresh = [Shard(first, min(first + ROWS, stop)) for first in range(begin, stop, ROWS)]
    for shard in fresh:
        _write(replay, folder / shard.name, shard)
    return [*kept, *fresh]


def _write(replay: Replay, path: Path, shard: Shard) -> None:
    with (
        atomic_path(path, force=True) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, rows in replay.rows(shard.first, shard.stop).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(rows), allow_pickle=False)


def read_shards(replay: Replay, folder: Path, shards: Sequence[Shard]) -> None:
    """Put the rows of shards into an empty replay, in order.

    Raises `FileError` for a shard that is missing, damaged or of another replay.
    """
    for shard in shards:
        replay.put_rows(shard.first, _read(replay, folder / shard.name, shard.stop - shard.first))


def _read(replay: Replay, path: Path, count: int) -> Mapping[str, NDArray[Any]]:
    expected = replay.row_types()
    try:
        with zipfile.ZipFile(require_regular_file(path)) as archive:
            if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in expected):
                raise ValueError("it holds other arrays")
            return {name: _array(archive, name, (count, *shape), kind) for name, (shape, kind) in expected.items()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise FileError(f"{printable(path)}: no shard of this replay ({one_line(error, 120)}); restore it") from error


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Read one array after its header has been found to be the one expected: a header may claim any size."""
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{name} is in another version of the format")
        found = np.lib.format.read_array_header_1_0(stream)
        if found != (shape, False, kind):
            raise ValueError(f"{name} is {found[2]} of shape {found[0]}")
        data = stream.read(kind.itemsize * int(np.prod(shape, dtype=np.int64)) + 1)
    return np.frombuffer(data, kind).reshape(shape)


def is_shard(name: str) -> bool:
    """Whether a file name is that of a shard."""
    return re.fullmatch(r"replay_\d{12}_\d{12}\.npz", name) is not None
