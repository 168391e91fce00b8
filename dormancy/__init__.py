"""See, understand and cure dormant neurons in deep reinforcement learning networks.

These are the public names. Each is imported when it is first used: `import dormancy` alone does not load torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dormancy.errors import DormancyError
    from dormancy.graph import NeuronGraph, NeuronLayer
    from dormancy.io import Checkpoint, ReplaySample
    from dormancy.scan import DormancyScan, LayerScore, scan, scan_checkpoint
    from dormancy.series import DormancySeries

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "DormancyError",
    "DormancyScan",
    "DormancySeries",
    "LayerScore",
    "NeuronGraph",
    "NeuronLayer",
    "ReplaySample",
    "__version__",
    "scan",
    "scan_checkpoint",
]

_HOMES = {
    "Checkpoint": "dormancy.io",
    "DormancyError": "dormancy.errors",
    "DormancyScan": "dormancy.scan",
    "DormancySeries": "dormancy.series",
    "LayerScore": "dormancy.scan",
    "NeuronGraph": "dormancy.graph",
    "NeuronLayer": "dormancy.graph",
    "ReplaySample": "dormancy.io",
    "scan_checkpoint": "dormancy.scan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dormancy' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `dormancy.scan` the function: importing the module of that name would else put the module there."""

    @property
    def scan(self) -> Any:
        return importlib.import_module("dormancy.scan").scan

    @scan.setter
    def scan(self, module: ModuleType) -> None:
        """Decline: the import system offers every submodule to its package."""


sys.modules[__name__].__class__ = _Package
