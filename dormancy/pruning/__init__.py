"""Take neurons out of a network, and measure what that does to it."""

from dormancy.pruning.bench import PruneBench
from dormancy.pruning.checkpoints import PrunedCheckpoint, prune_checkpoint, prune_on, pruning_bench, pruning_inputs
from dormancy.pruning.cost import Cost, cost_of
from dormancy.pruning.effect import Controls, HeldOut, PruneEffect
from dormancy.pruning.outputs import OutputChange, Reference
from dormancy.pruning.plan import Cut, LayerPruning, Mode, PrunePlan
from dormancy.pruning.planning import PrunePlanner, plan_pruning
from dormancy.pruning.policies import Policy, policy_of
from dormancy.pruning.selection import dormant_neurons, random_neurons, strongest_neurons
from dormancy.pruning.surgery import prune
from dormancy.pruning.sweep import TAUS, PruneSweep, SweepPoint, sweep_pruning, sweep_taus
from dormancy.pruning.training import PruneDormant, PruneReport
from dormancy.pruning.writeback import Written, write_pruned

__all__ = [
    "TAUS",
    "Controls",
    "Cost",
    "Cut",
    "HeldOut",
    "LayerPruning",
    "Mode",
    "OutputChange",
    "Policy",
    "PruneBench",
    "PruneDormant",
    "PruneEffect",
    "PrunePlan",
    "PrunePlanner",
    "PruneReport",
    "PruneSweep",
    "PrunedCheckpoint",
    "Reference",
    "SweepPoint",
    "Written",
    "cost_of",
    "dormant_neurons",
    "plan_pruning",
    "policy_of",
    "prune",
    "prune_checkpoint",
    "prune_on",
    "pruning_bench",
    "pruning_inputs",
    "random_neurons",
    "strongest_neurons",
    "sweep_pruning",
    "sweep_taus",
    "write_pruned",
]
