"""DQN beside that of Stable-Baselines3 with equal hyper-parameters, both in turns on the same machine.

Each side is a process of its own: one takes a slice of agent steps while the other waits, A B A B ..., and the ratio is
the median over the pairs. What is measured on our side is `dormancy train` itself, logging included.

    python benchmarks/train.py dqn --sb3-python ~/sb3/bin/python        # at replay ratios .25 and 1
    python benchmarks/train.py dqn --precision bf16 --replay-ratio 1
    python benchmarks/train.py dqn --alone --costs                      # ours only; what logging and ReDo cost
    python benchmarks/train.py dqn --against precision=bf16 --replay-ratio 1

The other environment needs `pip install stable-baselines3 ale-py opencv-python-headless`; without --sb3-python they are
expected in this one. On a machine that is not idle, trust the ratios, not the rates.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import platform
import statistics
import sys
from contextlib import ExitStack

from training.duel import Row, Side, breakdown, in_turns, rates
from training.options import Options

PARTS = (
    "environment", "act", "store", "sample", "target forward", "forward", "backward", "gradient norm", "optimizer",
    "recycling", "logging",
)  # fmt: skip
ENVIRONMENT = "ALE/Breakout-v5"
WORKERS = {"dormancy": "training.dqn_ours", "sb3": "training.dqn_sb3", "costs": "training.costs"}


def work(side: str, options: Options) -> None:
    """Be the measured process of one side."""
    importlib.import_module(WORKERS[side]).run(options)


def compare(options: Options, arguments: argparse.Namespace) -> list[str]:
    """Measure one replay ratio; return its tables as Markdown."""
    agent_steps = max(1, round(arguments.slice / options.replay_ratio))
    with ExitStack() as stack:
        sides = [stack.enter_context(Side("dormancy", sys.executable, options))]
        if arguments.against:
            other = dataclasses.replace(options, settings=(*options.settings, *arguments.against))
            sides.append(stack.enter_context(Side("dormancy", sys.executable, other, " ".join(arguments.against))))
        elif not arguments.alone:
            sides.append(stack.enter_context(Side("sb3", arguments.sb3_python, options)))
        found = in_turns(sides, options.warmup, agent_steps, arguments.rounds)
    head = f"DQN, {options.env_id}, replay ratio {options.replay_ratio:g}, {options.precision}"
    title = f"{head}, {options.threads} threads, {arguments.rounds} slices of {agent_steps} agent steps"
    tables = [f"### {title}", "", *rates(found, options.replay_ratio), "", *breakdown(found, PARTS), ""]
    return [*tables, *event_costs(options, found["dormancy"])] if arguments.costs else tables


def event_costs(options: Options, rows: list[Row]) -> list[str]:
    """Measure what logging, scanning and recycling cost, as shares of the time an agent step was just found to take."""
    from training import costs

    an_agent_step = statistics.median(row["seconds"] / row["agent_steps"] for row in rows)
    with Side("costs", sys.executable, options) as side:
        side.take(options.warmup)
        row = side.take(round(costs.GRADIENT_STEPS / options.replay_ratio))
    return [*costs.table(row, options, an_agent_step), ""]


def parse(words: list[str]) -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="train.py dqn", description=__doc__, formatter_class=layout)
    parser.add_argument("--env", default=ENVIRONMENT)
    parser.add_argument("--replay-ratio", type=float, nargs="+", default=[0.25, 1.0])
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32", help="of our side")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch, both sides")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--slice", type=int, default=40, help="gradient steps of a slice")
    parser.add_argument("--sb3-python", default=sys.executable, help="the Python that has stable-baselines3")
    parser.add_argument("--alone", action="store_true", help="measure our side only")
    parser.add_argument("--against", action="append", metavar="NAME=VALUE", help="not SB3 but ours with this setting")
    parser.add_argument("--costs", action="store_true", help="also what logging, scanning and ReDo cost")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of our configuration")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    """Measure and print, or be one of the measured processes."""
    arguments = parse(words)
    if arguments.worker:
        work(arguments.worker, Options.read(arguments.options))
        return
    common = Options(
        env_id=arguments.env,
        threads=arguments.threads,
        precision=arguments.precision,
        settings=tuple(arguments.set),
    )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load} before it began\n", flush=True)
    for ratio in arguments.replay_ratio:
        print("\n".join(compare(dataclasses.replace(common, replay_ratio=ratio), arguments)), flush=True)
