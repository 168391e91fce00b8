"""See, understand and cure dormant neurons in deep reinforcement learning networks.

These are the public names. Each is imported when it is first used: `import dormancy` alone does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dormancy._version import __version__

if TYPE_CHECKING:
    from dormancy.errors import DormancyError
    from dormancy.graph import NeuronGraph, NeuronLayer
    from dormancy.io import Checkpoint, ReplaySample
    from dormancy.pruning import PrunedCheckpoint, PruneDormant, PrunePlan, plan_pruning, prune, prune_checkpoint
    from dormancy.recycle import RecyclePlan, RecycleReport, ReDo, apply_plan
    from dormancy.scanning.monitor import Monitor
    from dormancy.scanning.result import DormancyScan, LayerScore
    from dormancy.scanning.scanner import scan, scan_checkpoint
    from dormancy.scanning.series import DormancySeries

__all__ = [
    "Checkpoint",
    "DormancyError",
    "DormancyScan",
    "DormancySeries",
    "LayerScore",
    "Monitor",
    "NeuronGraph",
    "NeuronLayer",
    "PruneDormant",
    "PrunePlan",
    "PrunedCheckpoint",
    "ReDo",
    "RecyclePlan",
    "RecycleReport",
    "ReplaySample",
    "__version__",
    "apply_plan",
    "plan_pruning",
    "prune",
    "prune_checkpoint",
    "scan",
    "scan_checkpoint",
]

_HOMES = {
    "Checkpoint": "dormancy.io",
    "DormancyError": "dormancy.errors",
    "DormancyScan": "dormancy.scanning.result",
    "DormancySeries": "dormancy.scanning.series",
    "LayerScore": "dormancy.scanning.result",
    "Monitor": "dormancy.scanning.monitor",
    "NeuronGraph": "dormancy.graph",
    "NeuronLayer": "dormancy.graph",
    "PruneDormant": "dormancy.pruning",
    "PrunePlan": "dormancy.pruning",
    "PrunedCheckpoint": "dormancy.pruning",
    "ReDo": "dormancy.recycle",
    "RecyclePlan": "dormancy.recycle",
    "RecycleReport": "dormancy.recycle",
    "ReplaySample": "dormancy.io",
    "apply_plan": "dormancy.recycle",
    "plan_pruning": "dormancy.pruning",
    "prune": "dormancy.pruning",
    "prune_checkpoint": "dormancy.pruning",
    "scan": "dormancy.scanning.scanner",
    "scan_checkpoint": "dormancy.scanning.scanner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dormancy' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
