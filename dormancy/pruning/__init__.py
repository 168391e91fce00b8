"""Take neurons out of a network, and measure what that does to it."""

from dormancy.edits.output_change import OutputChange, Reference
from dormancy.pruning.action_rule import Policy, policy_of
from dormancy.pruning.apply import prune
from dormancy.pruning.checkpoint import PrunedCheckpoint, prune_checkpoint, prune_on, pruning_bench, pruning_inputs
from dormancy.pruning.cost import Cost, cost_of
from dormancy.pruning.during_training import PruneDormant, PruneReport
from dormancy.pruning.effect import Controls, HeldOut, PruneEffect
from dormancy.pruning.experiment import PruneBench
from dormancy.pruning.plan import Cut, LayerPruning, Mode, PrunePlan
from dormancy.pruning.planner import PrunePlanner, plan_pruning
from dormancy.pruning.selection import dormant_neurons, random_neurons, strongest_neurons
from dormancy.pruning.tau_sweep import TAUS, PruneSweep, SweepPoint, sweep_pruning, sweep_taus
from dormancy.pruning.write_back import Written, write_pruned

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
