"""A run's rows and scans as TensorBoard's event files, beside ``metrics.jsonl`` and with the same numbers.

Curves over agent steps are named ``<kind of row>/<value>``, those of scans as `scalars` of the monitor names them;
histograms hold the scores of each layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from dormancy.errors import UsageError
from dormancy.scanning.monitor import publish
from dormancy.scanning.result import DormancyScan

__all__ = ["TensorBoard", "require_tensorboard"]

NOT_CURVES = ("episode",)
"""Values that only number the rows."""


def require_tensorboard() -> None:
    """Raise `UsageError` where TensorBoard is not installed, before anything is written."""
    try:
        import torch.utils.tensorboard  # noqa: F401 - it imports TensorBoard, which may not be there
    except ImportError as error:
        raise UsageError(
            "TensorBoard is not installed: pip install 'dormancy[tensorboard]', or leave --tensorboard out"
        ) from error


def curves(kind: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Name every number of a row, also those in mappings of numbers by layer.

    >>> list(curves("recycling", {"tau": 0.1, "recycled": {"fc1": 3}, "recycler": "redo"}))
    [('recycling/tau', 0.1), ('recycling/recycled/fc1', 3.0)]
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from curves(f"{kind}/{name}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in NOT_CURVES:
            yield f"{kind}/{name}", float(value)


@final
class TensorBoard:
    """Writes event files into a folder, which it makes.

    What earlier files hold of agent steps later than `after` is not shown: a resumed run writes it once more.
    """

    def __init__(self, folder: Path, *, after: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=after + 1 if after else None)

    def row(self, kind: str, agent_step: int, values: Mapping[str, Any]) -> None:
        """Write the numbers of a row; those of scans come with `scanned`."""
        if kind != "dormancy":
            for tag, value in curves(kind, values):
                self._writer.add_scalar(tag, value, agent_step)

    def scanned(self, found: DormancyScan, agent_step: int) -> None:
        """Write the curves and the histograms of a scan."""
        publish(self._writer, found, agent_step, "dormancy")
        self._writer.flush()

    def close(self) -> None:
        """Write what is still waiting."""
        self._writer.close()
