"""What a run needs to go on bit for bit, kept in ``resume/`` of its folder.

::

    latest.json                            which state, and which shards of the replay; switched last
    state_000020000.pt                     networks, optimizers, interventions, randomness, journal, environment
    replay_000000000000_000000016384.npz   rows of the replay, by position

Everything is data: tensors, arrays and plain values, read through the guard of checkpoints. A state is written beside
the one before; ``latest.json`` then names it, in one step, and what it no longer names is removed. Whenever the machine
stops, one of the two is there, whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import torch

from dormancy.errors import DormancyError, FileError, FormatError, OutputError
from dormancy.io import atomic_path
from dormancy.io.files import open_regular_file, require_regular_file, why_unwritable
from dormancy.io.safety.torch_load import load_guarded
from dormancy.text.escape import one_line, printable
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.replay.shards import Shard, is_shard, read_shards, write_shards

__all__ = ["ResumeStore"]

SCHEMA = "dormancy.resume/1"
POINTER = "latest.json"
MAX_POINTER = 4 << 20


@final
class ResumeStore:
    """The ``resume/`` folder of a run. `load` comes before the first `save`, where there is something to load."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: list[Shard] = []
        self._pointer: Mapping[str, Any] | None = None

    def find(self) -> bool:
        """Look which state is the latest; return whether there is one.

        Raises `FileError` or `FormatError` when the pointer is damaged or of another kind.
        """
        path = self.folder / POINTER
        if not path.exists():
            return False
        try:
            if require_regular_file(path).stat().st_size > MAX_POINTER:
                raise ValueError("it is too large")
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise FileError(f"{printable(path)}: cannot be read ({one_line(error, 120)}); restore it") from error
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise FormatError(
                f"{printable(path)}: not a resume state of schema {SCHEMA!r}; start anew in another --out"
            )
        self._shards = [_shard(item, path) for item in found.get("shards", ())]
        self._pointer = found
        return True

    @property
    def agent_step(self) -> int:
        """The agent step of the state that was found or saved last, -1 where there is none."""
        return -1 if self._pointer is None else int(self._pointer["agent_step"])

    def load(self) -> dict[str, Any]:
        """Return the latest state; raises `FileError` and its kin when it is missing or damaged."""
        path = self.folder / _state_name(self.agent_step)
        with open_regular_file(path) as stream:
            found = load_guarded(stream, path)
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise FormatError(f"{printable(path)}: not a resume state of schema {SCHEMA!r}; restore it")
        state: dict[str, Any] = found["state"]
        return state

    def load_replay(self, replay: Replay, counters: Mapping[str, Any]) -> None:
        """Fill an empty replay; raises `FileError` for shards that do not fit, `FormatError` when some are missing."""
        replay.load_state(counters)
        reached = replay.oldest
        for shard in self._shards:
            reached = shard.stop if shard.first <= reached else reached
        if reached != replay.newest + 1:
            raise FormatError(f"{printable(self.folder / POINTER)}: its shards do not make up the replay; restore it")
        read_shards(replay, self.folder, self._shards)

    def save(self, agent_step: int, state: Mapping[str, Any], replay: Replay) -> None:
        """Write a state and what is new in the replay, then let the pointer name them, then remove what was before.

        Raises `OutputError` when that cannot be written; the state before is still there then.
        """
        path = self.folder / POINTER
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(why_unwritable(self.folder, error)) from error
        try:
            shards = write_shards(replay, self.folder, self._shards)
            _write_state(self.folder / _state_name(agent_step), state)
            pointer = {"schema": SCHEMA, "agent_step": agent_step, "shards": [list(shard) for shard in shards]}
            with atomic_path(path, force=True) as temporary:
                temporary.write_text(json.dumps(pointer) + "\n", encoding="utf-8")
        except OutputError:
            self._give_up()
            raise
        self._shards, self._pointer = shards, pointer
        self._sweep()

    def _give_up(self) -> None:
        """Remove what was half done, for it takes space that others need; the pointer on the disk says what stays."""
        with suppress(DormancyError):
            self.find()
            self._sweep()

    def _sweep(self) -> None:
        """Remove files of ours that the pointer does not name."""
        named = {POINTER, _state_name(self.agent_step), *(shard.name for shard in self._shards)}
        for path in self.folder.iterdir():
            if path.name not in named and (is_shard(path.name) or re.fullmatch(r"state_\d{9,}\.pt", path.name)):
                with suppress(OSError):
                    path.unlink()


def _write_state(path: Path, state: Mapping[str, Any]) -> None:
    with atomic_path(path, force=True) as temporary:
        try:
            with temporary.open("wb") as stream:
                torch.save({"schema": SCHEMA, "state": dict(state)}, stream)
        except RuntimeError as error:  # torch's own complaint about what its stream met
            raise OutputError(why_unwritable(path, error)) from error


def _state_name(agent_step: int) -> str:
    return f"state_{agent_step:09d}.pt"


def _shard(item: Any, path: Path) -> Shard:
    if not (isinstance(item, list) and len(item) == 2 and all(type(each) is int for each in item)):
        raise FormatError(f"{printable(path)}: a shard is two positions, not {printable(item, 40)}; restore it")
    shard = Shard(*item)
    if not 0 <= shard.first < shard.stop:
        raise FormatError(f"{printable(path)}: no shard has the positions {printable(item, 40)}; restore it")
    return shard
