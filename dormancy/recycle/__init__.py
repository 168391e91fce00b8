"""Give dormant neurons a new start: ReDo and its rivals, by plans that can be looked at before they are applied."""

from dormancy.recycle.adaptive import AdaptiveTau
from dormancy.recycle.base import RECYCLERS, Loss, Recycler, RecycleReport
from dormancy.recycle.checkpoints import RecycledCheckpoint, recycle_checkpoint
from dormancy.recycle.continual import ContinualBackprop, LayerMemory
from dormancy.recycle.edits import Edit, LayerPlan, RecyclePlan, apply_plan, edited_parameters
from dormancy.recycle.effect import Effect, effect_of
from dormancy.recycle.joint import Joint
from dormancy.recycle.optimizer import OptimizerPolicy
from dormancy.recycle.penalties import L2Init, add_weight_decay
from dormancy.recycle.planning import Planner, Rewrite
from dormancy.recycle.redo import ReDo
from dormancy.recycle.regrama import ReGraMa
from dormancy.recycle.resets import LayerReset, ShrinkAndPerturb
from dormancy.recycle.selection import Scheduled, Selection, Threshold
from dormancy.recycle.semantics import SEMANTICS, Semantics

__all__ = [
    "RECYCLERS",
    "SEMANTICS",
    "AdaptiveTau",
    "ContinualBackprop",
    "Edit",
    "Effect",
    "Joint",
    "L2Init",
    "LayerMemory",
    "LayerPlan",
    "LayerReset",
    "Loss",
    "OptimizerPolicy",
    "Planner",
    "ReDo",
    "ReGraMa",
    "RecyclePlan",
    "RecycleReport",
    "RecycledCheckpoint",
    "Recycler",
    "Rewrite",
    "Scheduled",
    "Selection",
    "Semantics",
    "ShrinkAndPerturb",
    "Threshold",
    "add_weight_decay",
    "apply_plan",
    "edited_parameters",
    "effect_of",
    "recycle_checkpoint",
]
