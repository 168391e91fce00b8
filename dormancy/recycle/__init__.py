"""Give dormant neurons a new start: ReDo and its rivals, by plans that can be looked at before they are applied."""

from dormancy.edits.edit import Edit
from dormancy.edits.optimizer_state import OptimizerPolicy
from dormancy.edits.schedule import Loss
from dormancy.recycle.adaptive_tau import AdaptiveTau
from dormancy.recycle.checkpoint import RecycledCheckpoint, recycle_checkpoint
from dormancy.recycle.continual_backprop import ContinualBackprop, LayerMemory
from dormancy.recycle.effect import Effect, effect_of
from dormancy.recycle.joint_network import Joint
from dormancy.recycle.penalties import L2Init, add_weight_decay
from dormancy.recycle.plan import LayerPlan, RecyclePlan, apply_plan, edited_parameters
from dormancy.recycle.planner import Planner, Rewrite
from dormancy.recycle.recycler import RECYCLERS, Recycler, RecycleReport
from dormancy.recycle.redo import ReDo
from dormancy.recycle.regrama import ReGraMa
from dormancy.recycle.resets import LayerReset, ShrinkAndPerturb
from dormancy.recycle.selection import Scheduled, Selection, Threshold
from dormancy.recycle.variants import SEMANTICS, Semantics

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
