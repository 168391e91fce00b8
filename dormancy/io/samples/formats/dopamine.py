"""Replay memories of Dopamine: ``$store$_observation_ckpt.N.gz`` and its siblings; single frames, stacked here.

The layout is that of Dopamine's circular replay buffer (versions 1 to 4, and the public DQN replay data set): a NumPy
array a file, and K - 1 blank transitions before each episode where states are stacks of K. Rows here are the states
that Dopamine would draw, save that a blank transition is never taken for the state of an agent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from dormancy.errors import FileError, FormatError, SampleError, UsageError
from dormancy.io.arrays.base import Array
from dormancy.io.arrays.concatenated import JoinedArray
from dormancy.io.arrays.frame_stack import StackedArray
from dormancy.io.arrays.gzip import GzipArray, read_gzip
from dormancy.io.arrays.raw import OpenFile
from dormancy.io.arrays.ring_buffer import episode_ids
from dormancy.io.files import sha256_file
from dormancy.io.safety.pickle_replay import read_replay_pickle
from dormancy.io.samples.sample import ReplaySample
from dormancy.io.source import Source
from dormancy.text.escape import printable

__all__ = ["FRAME_STACK", "Dopamine"]

FRAME_STACK = 4
MAX_STACK = 32
MAX_ENDS = 1 << 24
_NAME = re.compile(r"(?:\$store\$_)?(\w+)_ckpt\.(\d{1,9})\.gz")
_CHECKED = 3


@final
class Dopamine:
    """The newest replay memory of a folder, or the one that a file in it belongs to; states are stacks of `stack`."""

    def __init__(self, stack: int | None = None) -> None:
        if stack is not None and not 1 <= stack <= MAX_STACK:
            raise UsageError(f"a frame stack has 1 to {MAX_STACK} frames, not {stack}")
        self.stack = stack

    def sniff(self, path: str | os.PathLike[str], head: bytes) -> bool:
        """Whether it is gzip, or a folder with such files, by names that only Dopamine uses."""
        place = Path(path)
        if place.is_dir():
            return _newest(place) is not None
        return head.startswith(b"\x1f\x8b") and _NAME.fullmatch(place.name) is not None

    @contextlib.contextmanager
    def open(self, path: str | os.PathLike[str]) -> Iterator[ReplaySample]:
        """Open a memory; raises `SampleError` where its blank transitions do not fit stacks of that many frames."""
        place = Path(path)
        named = _NAME.fullmatch(place.name) if not place.is_dir() else None
        number = int(named[2]) if named else _newest(place)
        if number is None:
            raise FormatError(f"{printable(path)}: no replay memory of Dopamine in it; name its folder")
        with contextlib.ExitStack() as stack:
            memory = _Memory(place if place.is_dir() else place.parent, number, stack)
            frames = FRAME_STACK if self.stack is None else self.stack
            memory.check_stack(frames, told=self.stack is not None)
            sample, digest = memory.sample(frames), memory.digest()
            sample.check(memory.name)
            layout = {"layout": "NCHW, newest frame last", "frame_stack": str(frames), "iteration": str(number)}
            provenance = {"source": "dopamine", "source_sha256": digest} | layout
            source = Source(os.fspath(path), "dopamine", digest)
            yield ReplaySample(**{**vars(sample), "source": source, "provenance": provenance})


def _newest(folder: Path) -> int | None:
    """Return the number of the newest memory in a folder, as Dopamine itself takes it up again."""
    found = (_NAME.fullmatch(entry.name) for entry in folder.iterdir())
    return max((int(name[2]) for name in found if name and name[1] == "observation"), default=None)


@final
class _Memory:
    """The files of one memory; positions count in order of time, from the oldest row that is kept."""

    def __init__(self, folder: Path, number: int, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.number = number
        self.name = printable(folder / f"$store$_observation_ckpt.{number}.gz")
        self.files: set[Path] = set()
        self._stack = stack
        terminals = self.column("terminal")
        count = int(self.array("add_count").whole())
        self.capacity = len(terminals)
        self.filled = min(count, self.capacity)
        self.oldest = count % self.capacity if count >= self.capacity else 0
        if self.filled < 2:
            raise SampleError(f"{self.name}: an empty memory; save it after some steps")
        self.terminals = self.ordered(terminals).astype(bool)
        self.ends = self.terminals | self._told_ends()

    def _path(self, name: str) -> Path:
        path = self.folder / f"{name}_ckpt.{self.number}.gz"
        self.files.add(path)
        return path

    def array(self, name: str) -> GzipArray:
        return GzipArray(self._path(name), self._stack)

    def column(self, name: str) -> Array:
        """Read an array of one value a step as a whole."""
        found = self.array(f"$store$_{name}")
        if len(found.shape) != 1 or not found.shape[0]:
            raise SampleError(f"{self.name}: '{name}' has the shape {found.shape}; one value a step is read")
        return found.whole()

    def ordered(self, values: Array) -> Array:
        """Put the filled rows of a ring in order of time."""
        if len(values) != self.capacity:
            raise SampleError(f"{self.name}: its arrays differ in length; save the memory again")
        return np.roll(values, -self.oldest)[: self.filled]

    def _told_ends(self) -> Array:
        """Return where episodes ended otherwise than at a terminal, which newer versions keep in a file of its own."""
        flags, path = np.zeros(self.capacity, dtype=bool), self._path("episode_end_indices")
        if not path.exists():
            self.files.discard(path)
            return self.ordered(flags)
        raw = read_gzip(path, MAX_ENDS)
        indices = read_replay_pickle(OpenFile.of(BytesIO(raw), path))
        if not isinstance(indices, list) or not all(
            type(index) is int and 0 <= index < self.capacity for index in indices
        ):
            raise FileError(f"{printable(path)}: not the places where episodes end; save the memory again")
        flags[indices] = True
        return self.ordered(flags)

    def digest(self) -> str:
        """Return the SHA-256 of the names and SHA-256 of the files that were read."""
        lines = sorted(f"{path.name} {sha256_file(path)}\n" for path in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def frames(self) -> JoinedArray:
        """Open the frames anew, in order of time."""
        array = self.array("$store$_observation")
        if len(array) != self.capacity:
            raise SampleError(f"{self.name}: its arrays differ in length; save the memory again")
        seam = min(self.oldest + self.filled, self.capacity)
        return JoinedArray([(array, self.oldest, seam), (array, 0, self.oldest)], self.name)

    def check_stack(self, frames: int, told: bool) -> None:
        """Raise `SampleError` where the first episodes begin with another number of blank transitions than K - 1."""
        starts = [0] if self.filled < self.capacity else []
        starts += [int(end) + 1 for end in np.flatnonzero(self.ends)[:_CHECKED]]
        whole = [start for start in starts if start + frames <= self.filled]
        if not whole:
            return
        stream = self.frames()
        blank = min(_leading_blanks(stream[start : start + MAX_STACK]) for start in whole)
        if blank < frames - 1 or (blank > frames - 1 and not told):
            raise SampleError(
                f"{self.name}: episodes begin with {blank} blank frames, states of {frames} frames with {frames - 1}; "
                f"give --frame-stack {blank + 1} if that is how the agent was trained"
            )

    def sample(self, frames: int) -> ReplaySample:
        rows = self._rows(frames)
        return ReplaySample(
            StackedArray(self.frames(), rows, frames),
            actions=self.ordered(self.column("action"))[rows],
            rewards=self.ordered(self.column("reward"))[rows],
            terminations=self.terminals[rows],
            next_observations=StackedArray(self.frames(), rows + 1, frames),
            episode_ids=episode_ids(self.ends)[rows],
        )

    def _rows(self, frames: int) -> NDArray[np.int64]:
        """Return the positions that are states: whole stacks within an episode whose next state is known."""
        before = np.concatenate([[0], np.cumsum(self.ends)])
        rows = np.arange(frames - 1, self.filled - 1, dtype=np.int64)
        within = before[rows] == before[rows - frames + 1]
        known = self.terminals[rows] | ~self.ends[rows]
        if not (within & known).any():
            raise SampleError(f"{self.name}: no state of {frames} frames in it; save it after some steps")
        return np.asarray(rows[within & known])


def _leading_blanks(frames: Array) -> int:
    seen = frames.reshape(len(frames), -1).any(axis=1)
    return int(np.argmax(seen)) if seen.any() else len(frames)
