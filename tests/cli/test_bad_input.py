"""Files that cannot be used: one line on stderr that names the file, exit code 3, and nothing in it is executed."""

import os
import pickle
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from dormancy.io import Checkpoint, ReplaySample, load_checkpoint, save_checkpoint, save_sample
from tests.cli.runs import Dormancy


@pytest.fixture
def copy(series_folder: Path, tmp_path: Path) -> Path:
    """A run with one checkpoint and its sample, to be damaged."""
    for folder, name in (("checkpoints", "step_00001000.pt"), ("samples", "step_00001000.h5")):
        (tmp_path / "run" / folder).mkdir(parents=True)
        shutil.copy(series_folder / folder / name, tmp_path / "run" / folder / name)
    return tmp_path / "run"


def checkpoint_of(run: Path) -> Path:
    return run / "checkpoints" / "step_00001000.pt"


def sample_of(run: Path) -> Path:
    return run / "samples" / "step_00001000.h5"


def missing(run: Path) -> Path:
    checkpoint_of(run).unlink()
    return checkpoint_of(run)


def folder_without_checkpoints(run: Path) -> Path:
    return run / "samples"


def empty_checkpoint(run: Path) -> Path:
    checkpoint_of(run).write_bytes(b"")
    return checkpoint_of(run)


def truncated_checkpoint(run: Path) -> Path:
    data = checkpoint_of(run).read_bytes()
    checkpoint_of(run).write_bytes(data[: len(data) // 2])
    return checkpoint_of(run)


def flipped_bit(run: Path) -> Path:
    data = bytearray(checkpoint_of(run).read_bytes())
    with zipfile.ZipFile(checkpoint_of(run)) as archive:
        member = max(archive.infolist(), key=lambda info: info.file_size)
    data[member.header_offset + 200] ^= 1
    checkpoint_of(run).write_bytes(data)
    return checkpoint_of(run)


def text_file(run: Path) -> Path:
    checkpoint_of(run).write_text("step,loss\n1,2\n")
    return checkpoint_of(run)


def weights_that_are_nan(run: Path) -> Path:
    loaded = load_checkpoint(checkpoint_of(run))
    parameters = {name: torch.full_like(tensor, float("nan")) for name, tensor in loaded.parameters.items()}
    save_checkpoint(checkpoint_of(run), Checkpoint(network=loaded.network, parameters=parameters), force=True)
    return checkpoint_of(run)


def truncated_sample(run: Path) -> Path:
    data = sample_of(run).read_bytes()
    sample_of(run).write_bytes(data[: len(data) // 2])
    return sample_of(run)


def another_schema(run: Path) -> Path:
    with h5py.File(sample_of(run), "w") as file:
        file["states"] = np.zeros((4, 3))
    return sample_of(run)


def observations_of_another_shape(run: Path) -> Path:
    save_sample(sample_of(run), ReplaySample(observations=np.zeros((4, 7), dtype=np.float32)), force=True)
    return sample_of(run)


def observations_that_are_no_numbers(run: Path) -> Path:
    with h5py.File(sample_of(run), "r+") as file:
        del file["observations"]
        file["observations"] = np.array([[b"north"], [b"south"]], dtype="S5")
    return sample_of(run)


DAMAGES = [
    missing,
    folder_without_checkpoints,
    empty_checkpoint,
    truncated_checkpoint,
    flipped_bit,
    text_file,
    weights_that_are_nan,
    truncated_sample,
    another_schema,
    observations_of_another_shape,
    observations_that_are_no_numbers,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_one_line_names_the_file(dormancy: Dormancy, copy: Path, damage: Callable[[Path], Path]) -> None:
    culprit = damage(copy)
    target = culprit if culprit.suffix != ".h5" else checkpoint_of(copy)
    result = dormancy("scan", target)
    assert (result.code, result.out) == (3, "")
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: ")
    assert culprit.name in result.err


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("command", ["scan", "inspect", "report"])
@pytest.mark.parametrize("kind", ["plain pickle", "torch.save"])
def test_a_pickle_that_calls_a_function_is_refused(
    dormancy: Dormancy, tmp_path: Path, command: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, sprung = tmp_path / "trap.pt", tmp_path / "sprung"
    if kind == "torch.save":
        torch.save({"format": "dormancy.checkpoint", "state_dict": Trap(sprung)}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(sprung)))
    result = dormancy(command, path)
    assert result.code == 3
    assert result.err.count("\n") == 1
    assert "trap.pt" in result.err
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap is a trap


def test_a_pipe_is_not_waited_for(dormancy: Dormancy, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    result = dormancy("scan", tmp_path / "pipe.pt")
    assert result.code == 3
    assert "FIFO" in result.err


def test_a_name_from_a_file_cannot_act_on_the_terminal(dormancy: Dormancy, tmp_path: Path) -> None:
    path = tmp_path / "\x1b]0;owned\x07.pt"
    path.write_bytes(b"x")
    result = dormancy("scan", path)
    assert result.code == 3
    assert "\x1b" not in result.err


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv", "md"])
def test_a_file_name_of_any_bytes_can_be_written(dormancy: Dormancy, copy: Path, tmp_path: Path, format: str) -> None:
    odd = os.fsdecode(b"r\xfcn")  # Latin-1, as old disks have it
    (tmp_path / odd).mkdir()
    for folder in ("checkpoints", "samples"):
        shutil.copytree(copy / folder, tmp_path / odd / folder)
    path = tmp_path / "result"
    result = dormancy("scan", tmp_path / odd, "--format", format, "-o", path)
    assert (result.code, result.out) == (0, "")
    assert b"\\udcfcn" in path.read_bytes().replace(b"\\\\", b"\\")


class Impatient:
    """A standard input at which the user presses Ctrl-C."""

    def read(self) -> str:
        signal.raise_signal(signal.SIGINT)
        return ""


def test_ctrl_c_is_one_line_and_130(dormancy: Dormancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Impatient())
    result = dormancy("scan", "-")
    assert (result.code, result.out, result.err) == (130, "", "error: interrupted\n")
