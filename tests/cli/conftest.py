"""A run on disk, and a command line to look at it with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dormancy_cli.main import run
from tests.cli.runs import SILENCED, Dormancy, Outcome, write_checkpoint


@pytest.fixture(autouse=True)
def _no_terminal_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as their content, whatever width the test runner tells its workers."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def dormancy(capsys: pytest.CaptureFixture[str]) -> Dormancy:
    """Run a command line in this process."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def series_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with three checkpoints, each with its sample."""
    folder = tmp_path_factory.mktemp("runs") / "cartpole"
    for index, silenced in enumerate(SILENCED):
        write_checkpoint(folder, 1000 * (index + 1), silenced)
    return folder


@pytest.fixture(scope="session")
def checkpoint(series_folder: Path) -> Path:
    """The middle checkpoint: 2 of 8 neurons of fc1 and 3 of 4 of fc2 are silent, 5 of 12 altogether."""
    return series_folder / "checkpoints" / "step_00002000.pt"


@pytest.fixture
def other_network(tmp_path: Path) -> Callable[[Path], Path]:
    """Add a checkpoint of another network to a folder."""

    def add(folder: Path) -> Path:
        return write_checkpoint(folder, 9000, (0, 0), hidden=(6, 4))

    return add


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file that is no checkpoint."""
    path = tmp_path / "broken.pt"
    path.write_bytes(b"not a checkpoint at all")
    return path
