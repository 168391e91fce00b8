"""Replay buffers of Stable-Baselines3, as ``model.save_replay_buffer`` writes them: pickles, of which nothing is run.

The layout is that of versions 1.8 to 2.9: arrays of (steps, environments, ...) in the state of the buffer. A subclass
is read by the arrays that it shares with the library's own buffers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, NoReturn, final

import numpy as np

from dormancy.errors import FormatError, SampleError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.raw import OpenFile, SpanArray, whole
from dormancy.io.arrays.ring_buffer import Ring
from dormancy.io.files import open_regular_file, sha256_stream
from dormancy.io.safety.pickle_arrays import ArrayRecord, Opaque, Span
from dormancy.io.safety.pickle_replay import is_pickle, read_replay_pickle
from dormancy.io.samples.sample import ReplaySample
from dormancy.io.source import Source
from dormancy.text.escape import printable

__all__ = ["Sb3Replay"]

_NEEDED = ("observations", "actions", "rewards", "dones", "pos", "full")


@final
class Sb3Replay:
    """``ReplayBuffer``, ``DictReplayBuffer`` and ``HerReplayBuffer``; transitions as stored, goals not drawn anew."""

    def sniff(self, path: str | os.PathLike[str], head: bytes) -> bool:
        """Whether it is a pickle."""
        return is_pickle(head)

    @contextlib.contextmanager
    def open(self, path: str | os.PathLike[str]) -> Iterator[ReplaySample]:
        """Open a buffer; raises `FormatError` for a pickle of something else, and what `read_replay_pickle` raises."""
        with open_regular_file(path) as stream:
            digest = sha256_stream(stream, path)
            file = OpenFile.of(stream, path)
            sample = _Buffer(file, _state(read_replay_pickle(file), path)).sample()
            yield _with_source(sample, Source(os.fspath(path), "sb3", digest))


def _with_source(sample: ReplaySample, source: Source) -> ReplaySample:
    sample.check(printable(source.path))
    provenance = {"source": source.format, "source_sha256": source.sha256}
    return ReplaySample(**{**vars(sample), "source": source, "provenance": provenance})


def _state(content: Any, path: object) -> Mapping[str, Any]:
    state = content.state if isinstance(content, Opaque) else content
    if isinstance(state, dict) and all(name in state for name in _NEEDED):
        return state
    shown = printable(content.name.replace(" ", "."), 60) if isinstance(content, Opaque) else type(content).__name__
    raise FormatError(
        f"{printable(path)}: a pickle of '{shown}', not of a replay buffer; nothing in it was run. What is read of "
        "pickles: what model.save_replay_buffer of Stable-Baselines3 writes"
    )


@final
class _Buffer:
    """The state of a buffer, with its arrays in the file."""

    def __init__(self, file: OpenFile, state: Mapping[str, Any]) -> None:
        self.file = file
        self.name = printable(file.path)
        self.state = state
        dones = self.array("dones", state["dones"])
        if len(dones.shape) != 2 or not dones.shape[1]:
            self.wrong("'dones' has not one value a step and environment")
        self.ring = self._ring(*dones.shape)

    def wrong(self, reason: str) -> NoReturn:
        raise SampleError(f"{self.name}: {reason}; save the buffer again")

    def _ring(self, size: int, columns: int) -> Ring:
        cursor, full = self.state["pos"], self.state["full"]
        if type(cursor) is not int or type(full) is not bool or not 0 <= cursor < max(size, 1):
            self.wrong("says wrongly what of it is filled")
        filled = size if full else cursor
        # Without arrays of their own, the next observation is the next row, and the newest one overwrote the oldest.
        oldest_lost = int(full and self.shares_rows)
        if filled - oldest_lost < 1:
            self.wrong("an empty buffer")
        return Ring.of(size, columns, cursor, filled - oldest_lost)

    @property
    def shares_rows(self) -> bool:
        """Whether observations serve as the next ones, too (``optimize_memory_usage``)."""
        return self.state.get("next_observations") is None

    def sample(self) -> ReplaySample:
        dones, timeouts = self.column("dones").astype(bool), self.state.get("timeouts")
        late = np.zeros_like(dones) if timeouts is None else self.column("timeouts").astype(bool)
        following = (
            self.inputs("observations", self.ring.after())
            if self.shares_rows
            else self.inputs("next_observations", self.ring)
        )
        actions = self.ring.flat(self.column("actions"))
        return ReplaySample(
            self.inputs("observations", self.ring),
            actions=actions[:, 0] if actions.shape[1:] == (1,) and actions.dtype.kind in "iu" else actions,
            rewards=self.ring.flat(self.column("rewards")),
            terminations=self.ring.flat(dones & ~late),
            truncations=self.ring.flat(dones & late),
            next_observations=following,
            episode_ids=self.ring.episodes(dones),
        )

    def array(self, name: str, record: Any) -> SpanArray:
        if not isinstance(record, ArrayRecord) or record.dtype is None or record.data is None:
            raise SampleError(f"{self.name}: '{printable(name, 60)}' holds no numbers; save the buffer again")
        if not record.in_order or len(record.shape) < 2:
            raise SampleError(
                f"{self.name}: '{printable(name, 60)}' is not stored row by row; save np.ascontiguousarray of it"
            )
        if isinstance(record.data, Span):
            return SpanArray(self.file, name, record.dtype, record.shape, record.data.offset)
        return SpanArray(OpenFile.of(BytesIO(record.data), self.file.path), name, record.dtype, record.shape)

    def column(self, name: str) -> Array:
        """Read an array of one value, or one vector, a step and environment."""
        array = self.array(name, self.state[name])
        self._require_steps(name, array)
        return whole(array, name, self.file.path)

    def _require_steps(self, name: str, array: SpanArray) -> None:
        if array.shape[:2] != (self.ring.size, self.ring.columns):
            self.wrong(f"'{printable(name, 60)}' has not as many steps and environments as 'dones'")

    def inputs(self, name: str, ring: Ring) -> Any:
        """Return observations, which are read when they are asked for: one array, or several by name."""
        found = self.state[name]
        if not isinstance(found, dict):
            return self._joined(name, found, ring)
        return {str(key): self._joined(str(key), record, ring) for key, record in found.items()}

    def _joined(self, name: str, record: Any, ring: Ring) -> Any:
        array = self.array(name, record)
        self._require_steps(name, array)
        return ring.joined(array, self.name)
