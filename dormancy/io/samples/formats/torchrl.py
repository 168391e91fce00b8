"""Replay buffers of torchrl and TensorDicts on disk: a folder of ``meta.json`` and one ``.memmap`` file an entry.

The layout is that of tensordict 0.3 to 0.14: ``rb.dumps(folder)`` writes ``storage/`` and ``writer/``, and
``tensordict.memmap(folder)`` what is in ``storage/`` alone. Files of raw numbers and JSON: nothing in them can run, and
the pickles that lie beside them are never opened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np

from dormancy.errors import FormatError, SampleError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.memmap import MemmapFolder
from dormancy.io.arrays.raw import SpanArray, whole
from dormancy.io.arrays.ring_buffer import Ring, one_or_by_name
from dormancy.io.samples.sample import ReplaySample
from dormancy.io.source import Source
from dormancy.text.escape import printable

__all__ = ["Torchrl"]

_CONTROL = frozenset({"done", "terminated", "truncated", "reward", "step_count", "is_init", "index", "_weight"})
_ALONE = ("observation", "pixels", "state")


@final
class Torchrl:
    """Buffers of `TensorDict` with a ``next`` entry, on storages of one dimension or two (steps, environments)."""

    def sniff(self, path: str | os.PathLike[str], head: bytes) -> bool:
        """Whether it is a folder with the description of a TensorDict."""
        return _storage(Path(path)) is not None

    @contextlib.contextmanager
    def open(self, path: str | os.PathLike[str]) -> Iterator[ReplaySample]:
        """Open a buffer; raises `SampleError` where it has no observations that its ``next`` has, too."""
        folder = _storage(Path(path))
        if folder is None:
            raise FormatError(f"{printable(path)}: no meta.json in it; name a folder that torchrl wrote")
        with contextlib.ExitStack() as stack:
            storage = MemmapFolder(folder, stack)
            buffer = _Buffer(storage, _ring(storage, Path(path), folder))
            found, provenance = buffer.sample(), {"source": "torchrl", "source_sha256": storage.digest()}
            found.check(printable(path))
            source = Source(os.fspath(path), "torchrl", provenance["source_sha256"])
            yield ReplaySample(**{**vars(found), "source": source, "provenance": {**provenance, **found.provenance}})


def _storage(path: Path) -> Path | None:
    return next((folder for folder in (path / "storage", path) if (folder / "meta.json").is_file()), None)


def _ring(storage: MemmapFolder, root: Path, folder: Path) -> Ring:
    """Order the rows: the writer says where it was, the storage how much of it is filled."""
    shape = storage.shape
    if not 1 <= len(shape) <= 2 or 0 in shape:
        raise SampleError(f"{storage.name}: batch dimensions {shape}; steps, or steps and environments, are read")
    size, columns = shape[0], shape[1] if len(shape) == 2 else 1
    told = storage.json(folder / "storage_metadata.json")
    length = told.get("len", size * columns)
    filled = length // columns if type(length) is int else -1
    cursor = storage.json(root / "writer" / "metadata.json").get("cursor", filled % size)
    if told.get("is_pytree") or type(cursor) is not int or not (0 < filled <= size and 0 <= cursor < size):
        raise SampleError(f"{storage.name}: an empty buffer, or one that says wrongly what of it is filled")
    return Ring.of(size, columns, cursor, filled)


@final
class _Buffer:
    """The entries of a TensorDict, named by their path with dots."""

    def __init__(self, storage: MemmapFolder, ring: Ring) -> None:
        self.storage = storage
        self.ring = ring
        self.entries = storage.entries()

    def sample(self) -> ReplaySample:
        names = self._observed()
        ends = self._flag("done") | self._flag("terminated") | self._flag("truncated")
        cut = self._flag("truncated")
        over = self._flag("terminated") if "next.terminated" in self.entries else ends & ~cut
        actions, how = self._actions()
        return ReplaySample(
            one_or_by_name({name: self._lazy(name) for name in names}, _ALONE),
            actions=actions,
            rewards=self._column("next.reward"),
            terminations=self.ring.flat(over),
            truncations=self.ring.flat(cut),
            next_observations=one_or_by_name({name: self._lazy(f"next.{name}") for name in names}, _ALONE),
            episode_ids=self._episodes(ends),
            provenance=how,
        )

    def _observed(self) -> list[str]:
        """Return what stands both at the root and under ``next``, and is no flag and no reward."""
        names = [
            name for name in self.entries if f"next.{name}" in self.entries and name.split(".")[-1] not in _CONTROL
        ]
        if not names:
            shown = ", ".join(f"'{printable(name, 40)}'" for name in list(self.entries)[:6]) or "nothing"
            raise SampleError(f"{self.storage.name}: no entry stands at the root and under 'next' (it holds {shown})")
        return names

    def _episodes(self, ends: Array) -> Array:
        """Number episodes by where they end, and by trajectory where a collector numbered those."""
        ids = self._whole("collector.traj_ids")
        if ids is not None:
            numbers = ids.reshape(self.ring.size, self.ring.columns)[self.ring.rows]
            changes = np.zeros_like(ends)
            changes[self.ring.rows[:-1]] = numbers[1:] != numbers[:-1]
            ends = ends | changes
        return self.ring.episodes(ends)

    def _array(self, name: str) -> SpanArray:
        return self.storage.array(name, self.entries[name], (self.ring.size, self.ring.columns))

    def _lazy(self, name: str) -> Any:
        return self.ring.joined(self._array(name), self.storage.name)

    def _whole(self, name: str) -> Array | None:
        return whole(self._array(name), name, self.storage.name) if name in self.entries else None

    def _flag(self, name: str) -> Array:
        """Read a flag of ``next`` as (steps, environments); False everywhere where there is none."""
        shape = (self.ring.size, self.ring.columns)
        found = self._whole(f"next.{name}")
        if found is None:
            return np.zeros(shape, dtype=bool)
        return np.asarray(found.reshape(*shape, -1).astype(bool).any(axis=2))

    def _column(self, name: str) -> Array | None:
        found = self._whole(name)
        if found is None:
            return None
        flat = self.ring.flat(found)
        return flat[:, 0] if flat.shape[1:] == (1,) else flat

    def _actions(self) -> tuple[Array | None, dict[str, str]]:
        """Return the actions; where every row is one-hot, as torchrl stores choices by default, the choices."""
        found = self._column("action")
        choices = found is not None and found.ndim == 2 and found.dtype.kind in "biu"
        if found is None or not choices or not ((found == 0) | (found == 1)).all() or (found.sum(1) != 1).any():
            return found, {}
        return found.argmax(1), {"actions": f"stored one-hot over {found.shape[1]}, given as numbers"}
