"""What logging, scanning and ReDo cost: each event is timed at a short period, then counted at its default one."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import dormancy_agents.algorithms.dqn.agent as page
from dormancy_agents.algorithms.dqn.config import DQNConfig
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.training.interventions import _Recycling
from dormancy_agents.training.journal import Journal
from training.dqn_ours import configuration
from training.duel import Row
from training.gate import Clock, Gate
from training.options import Options

GRADIENT_STEPS = 100
CHECKPOINT = "checkpoint with its sample and scan"
SHORT = {
    "metrics_period_agent_steps": 10,
    "dormancy_period_gradient_steps": 20,
    "checkpoint_period_agent_steps": 50,
    "recycler_period_gradient_steps": 10,
}


def run(options: Options) -> None:
    """Train with everything switched on and often."""
    short = tuple(f"{name}={value}" for name, value in SHORT.items())
    options = dataclasses.replace(options, settings=(*options.settings, *short, "recycler=redo"))
    clock = Clock()
    clock.wrap(Journal, "checkpoint", CHECKPOINT)
    clock.wrap(Journal, "_look", "scan")
    clock.wrap(Journal, "_learning_row", "learning row")
    clock.wrap(_Recycling, "step", "ReDo")
    for method in ("stepped", "learned"):
        clock.wrap(Journal, method, "sums and episode rows")
    Gate(clock).guard(RecordedEnvironment, "step")
    with tempfile.TemporaryDirectory() as folder:
        page.train(configuration(options), Path(folder) / "run", progress=False)


def table(row: Row, options: Options, seconds_an_agent_step: float) -> list[str]:
    """Return a Markdown table: the cost of an event, how often it comes by default, its share of the time."""
    ratio, calls = options.replay_ratio, row["calls"]
    recycled = row["agent_steps"] * ratio / SHORT["recycler_period_gradient_steps"]
    events = {
        "learning row": (calls["learning row"], DQNConfig.metrics_period_agent_steps),
        "scan": (calls["scan"], DQNConfig.dormancy_period_gradient_steps / ratio),
        CHECKPOINT: (calls[CHECKPOINT], DQNConfig.checkpoint_period_agent_steps),
        "ReDo": (recycled, DQNConfig.recycler_period_gradient_steps / ratio),
        "sums and episode rows": (row["agent_steps"], 1),
    }
    lines = [
        f"| replay ratio {ratio:g} | ms an event | every ... agent steps | share of the time |",
        "|---|---:|---:|---:|",
    ]
    total = 0.0
    for name, (count, period) in events.items():
        cost = row["parts"].get(name, 0.0) / max(count, 1)
        share = cost / period / seconds_an_agent_step
        total += share
        lines.append(f"| {name} | {cost * 1e3:.3f} | {period:g} | {share:.3%} |")
    return [*lines, f"| all | | | **{total:.2%}** |"]
