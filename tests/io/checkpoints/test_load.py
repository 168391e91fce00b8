from __future__ import annotations

from pathlib import Path

import pytest

from dormancy.errors import FileError
from dormancy.io import Checkpoint, load_checkpoint, save_checkpoint
from dormancy.io.checkpoints.reader import READERS, Candidate, CheckpointReader
from dormancy.networks import NetworkSpec
from dormancy.registry import Registry
from tests.io.expectations import Refused


class FakeReader:
    """A reader of another format, as later ones are registered: it looks at the content only."""

    def sniff(self, candidate: Candidate) -> bool:
        return candidate.head.startswith(b"FAKE")

    def read(self, candidate: Candidate) -> Checkpoint:
        return Checkpoint(NetworkSpec("fake"), {}, source=candidate.source("fake"))


def test_readers_are_asked_in_order_and_by_content(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry: Registry[CheckpointReader] = Registry("checkpoint format")
    registry.register("fake")(FakeReader())
    registry.register("dormancy.checkpoint")(READERS["dormancy.checkpoint"])
    monkeypatch.setattr("dormancy.io.checkpoints.load.READERS", registry)
    (tmp_path / "named.pt").write_bytes(b"FAKE and more")
    read = load_checkpoint(tmp_path / "named.pt")
    assert read.source is not None
    assert (read.source.format, read.network.arch) == ("fake", "fake")
    odd = save_checkpoint(tmp_path / "named.fake", checkpoint)
    assert load_checkpoint(odd).agent_step == checkpoint.agent_step


def test_the_file_is_read_through_one_handle(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer that replaces the file meanwhile cannot make hash and content disagree."""
    path = save_checkpoint(tmp_path / "a.pt", checkpoint)
    honest = load_checkpoint(path)
    head = path.read_bytes()[:512]

    def replaced(_: Candidate) -> bytes:
        path.unlink(missing_ok=True)
        return head

    monkeypatch.setattr(Candidate, "head", property(replaced))
    read = load_checkpoint(path)
    assert read.source == honest.source


def test_what_is_no_file_is_told(tmp_path: Path, refused: Refused) -> None:
    assert "is a folder" in refused(FileError, lambda: load_checkpoint(tmp_path))
    assert "no such file" in refused(FileError, lambda: load_checkpoint(tmp_path / "a.pt"))
    assert "not a regular file" in refused(FileError, lambda: load_checkpoint("/dev/zero"))
