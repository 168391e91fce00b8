"""What pruning does to real checkpoints: effect against controls, file, time, return. Writes the tables of a document.

Every checkpoint of the fixture runs is pruned at tau 0 and .1. Neurons are looked for on the sample of the checkpoint;
controls mask as many neurons of each layer at random (mean of 5 draws) and with the highest scores. Forward times are
taken in turns, narrower and original network one after the other, and compared pair by pair: what else the machine does
falls on both. Returns are of the last checkpoint of each run.
Run: python benchmarks/pruning.py [--episodes 20] [--write docs/pruning.md]
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dormancy.io import Checkpoint, list_checkpoints, save_checkpoint
from dormancy.pruning import (
    Controls,
    HeldOut,
    PruneBench,
    PrunedCheckpoint,
    dormant_neurons,
    policy_of,
    prune,
    prune_on,
    pruning_bench,
    pruning_inputs,
    random_neurons,
    strongest_neurons,
)
from dormancy_agents.acting.paired_returns import Returns, environment_config, play

RUNS = (Path("fixtures/breakout-dqn"), Path("fixtures/breakout-redo"))
TAUS = (0.0, 0.1)
ROUNDS = 60
EPISODE, EPSILON = 2000, 0.01
"""Agent steps after which an episode is cut, and the share of random actions, that of training.

Greedily, these networks hardly ever serve the ball: they would stand still for 27 000 steps.
"""


def forward_ratio(before: nn.Module, after: nn.Module, rows: torch.Tensor) -> float:
    """Return the median over pairs of (time of the narrower network / time of the original), taken in turns."""
    ratios = []
    with torch.inference_mode():
        for _ in range(ROUNDS):
            times = []
            for model in (after, before):
                start = time.perf_counter()
                model(rows)
                times.append(time.perf_counter() - start)
            ratios.append(times[0] / times[1])
    return float(np.median(ratios[ROUNDS // 4 :]))


def file_size(checkpoint: Checkpoint) -> int:
    path = Path(f"pruned-{time.time_ns()}.pt")
    try:
        return save_checkpoint(path, checkpoint).stat().st_size
    finally:
        path.unlink(missing_ok=True)


def effect_row(path: Path, pruned: PrunedCheckpoint, sizes: tuple[int, int], ratio: float) -> str:
    effect, plan = pruned.effect, pruned.plan
    held_out, controls = effect.held_out, effect.controls
    assert isinstance(held_out, HeldOut)
    cells = [
        f"{path.parent.parent.name} {int(path.stem.split('_')[1]):,}".replace(",", " "),
        f"{pruned.tau:g}",
        f"{plan.pruned} ({plan.share:.0%})",
        f"{effect.sample.largest:.2g}",
        f"{held_out.unseen.largest:.2g}",
        f"{controls.random_mean.largest:.2g}" if isinstance(controls, Controls) else "",
        f"{controls.strongest.largest:.2g}" if controls else "",
        *(f"{share:.1%}" for share in (effect.sample.agreement, held_out.unseen.agreement) if share is not None),
        f"{controls.random_mean.agreement:.1%}" if controls else "",
        f"{controls.strongest.agreement:.1%}" if controls else "",
        f"{sizes[1] / sizes[0]:.0%}",
        f"{ratio:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


EFFECT_HEAD = (
    "| checkpoint (agent step) | tau | pruned | Δ sample | Δ held out | Δ random | Δ highest | same action, sample "
    "| held out | random | highest | file | time |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)


def effects(runs: tuple[Path, ...]) -> Iterator[str]:
    yield from EFFECT_HEAD
    for run in runs:
        for path in list_checkpoints(run):
            with pruning_inputs(path, None) as (checkpoint, sample):
                bench = pruning_bench(checkpoint, sample)
                rows = torch.from_numpy(sample.observations[0:256])  # type: ignore[index]
                for tau in TAUS:
                    pruned = prune_on(bench, checkpoint, sample, tau, "mask")
                    removed = prune_on(bench, checkpoint, sample, tau, "remove", draws=0)
                    sizes = path.stat().st_size, file_size(removed.checkpoint)
                    ratio = forward_ratio(bench.model, removed.checkpoint.build(), rows)
                    yield effect_row(path, pruned, sizes, ratio)


def variants(bench: PruneBench) -> Iterator[tuple[str, int, nn.Module]]:
    """Give the network as it is, without its dormant neurons, and without as many others of each layer."""
    yield "as trained", 0, bench.model
    for tau in TAUS:
        plan = bench.planner.plan(dormant_neurons(bench.scan, tau, keep_one=True))
        counts = {layer.name: layer.pruned for layer in plan}
        sizes = {layer.name: layer.size for layer in plan}
        yield f"dormant, tau {tau:g}", plan.pruned, prune(bench.model, plan)
        random = random_neurons(sizes, counts, np.random.default_rng(0))
        yield "as many at random", plan.pruned, prune(bench.model, bench.planner.plan(random))
        strongest = strongest_neurons(bench.scan, counts)
        yield "as many with the highest scores", plan.pruned, prune(bench.model, bench.planner.plan(strongest))


def returns(runs: tuple[Path, ...], episodes: int) -> Iterator[str]:
    yield "| checkpoint | neurons masked | how many | return | difference to as trained, by episode |"
    yield "|---|---|---|---|---|"
    for run in runs:
        path = list_checkpoints(run)[-1]
        with pruning_inputs(path, None) as (checkpoint, sample):
            bench = pruning_bench(checkpoint, sample)
            policy = policy_of(checkpoint)
            assert checkpoint.env_id is not None
            assert policy is not None
            config = replace(environment_config(path, checkpoint.env_id), max_episode_agent_steps=EPISODE)
            before: tuple[float, ...] = ()
            for name, pruned, model in variants(bench):
                after = tuple(play(model, policy, config, number, epsilon=EPSILON) for number in range(episodes))
                before = before or after
                yield f"| {run.name} | {name} | {pruned} | {' | '.join(interval_cells(before, after))} |"


def interval_cells(before: tuple[float, ...], after: tuple[float, ...]) -> Iterator[str]:
    found = Returns("", EPSILON, 0, before, after).intervals
    for name in ("after", "difference"):
        interval = found[name]
        yield f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def write(path: Path, name: str, lines: list[str]) -> None:
    """Replace what stands between the marks of one table in a document."""
    begin, end = f"<!-- {name}: made by benchmarks/pruning.py -->\n", f"<!-- end of {name} -->"
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{path}: no place for the table {name!r}")
    table = begin + "\n".join(lines) + "\n" + end
    path.write_text(pattern.sub(lambda _: table, text), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20, help="episodes a network; 0 leaves the returns out")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document")
    arguments = parser.parse_args()
    tables = {"effects": list(effects(RUNS))}
    if arguments.episodes:
        tables["returns"] = list(returns(RUNS, arguments.episodes))
    for name, lines in tables.items():
        if arguments.write:
            write(arguments.write, name, lines)
        print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()
