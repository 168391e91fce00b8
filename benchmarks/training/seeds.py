"""Several seeds at once: threads of one process beside a process each, in what stays on the processor beside a GPU.

Run with ``python benchmarks/train.py seeds``. A step is one agent step of DQN on Breakout and a draw of batch rows.
The network is too small to count, for on a GPU neither it nor the frames of the replay are the processor's work; a
gradient step would be one launch more. The two ways take turns, A B A B ...; every seed takes as many steps in a turn.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier

import torch

from dormancy_agents.algorithms.dqn.agent import DQN
from dormancy_agents.algorithms.registry import ALGORITHMS
from dormancy_agents.config import resolve

TINY = {"threads": 1, "replay_capacity": 20_000, "width": 0.05, "hidden": (16,)}


class Seed:
    """One run, past its warm-up and without learning."""

    def __init__(self, seed: int) -> None:
        config = resolve(ALGORITHMS["dqn"], "ALE/Breakout-v5", []).config
        self.agent = DQN(dataclasses.replace(config, seed=seed, **TINY))  # type: ignore[arg-type]
        self.observation = self.agent.env.reset()
        self.agent.replay.begin(self.observation)
        self.agent.agent_step = self.agent.config.agent_steps
        self.advance(200)

    def advance(self, steps: int) -> None:
        """Act, store, and find the rows of a batch."""
        agent, replay = self.agent, self.agent.replay
        for _ in range(steps):
            action = agent.act(self.observation)
            step = agent.env.step(action)
            reward = agent.learned_reward(step.reward)
            replay.add(action, reward, step.terminated, step.truncated, step.observation)
            self.observation = step.observation
            if step.terminated or step.truncated:
                self.observation = agent.env.reset()
                replay.begin(self.observation)
            positions = replay.draw(agent.streams.replay, 32)
            replay.records(positions)
            for rows in (positions, positions + 1):
                replay._rows(rows)  # without the frames, which a GPU would gather


def _process(seed: int, steps: int, rounds: int, barrier: Barrier) -> None:
    torch.set_num_threads(1)
    one = Seed(seed)
    barrier.wait()
    for _ in range(rounds):
        barrier.wait()
        one.advance(steps)
        barrier.wait()


def main(words: list[str]) -> None:
    """Measure and print."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="train.py seeds", description=__doc__, formatter_class=layout)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=300, help="agent steps of each seed in a turn")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(asked.seeds + 1)
    arguments = (asked.steps, asked.rounds, barrier)
    processes = [context.Process(target=_process, args=(seed, *arguments)) for seed in range(asked.seeds)]
    for process in processes:
        process.start()
    seeds = [Seed(seed) for seed in range(asked.seeds)]
    barrier.wait()  # all are there
    taken: dict[str, list[float]] = {"one seed alone": [], "threads": [], "processes": []}
    for _ in range(asked.rounds):
        taken["one seed alone"].append(_timed(lambda: seeds[0].advance(asked.steps)))
        taken["threads"].append(_timed(lambda: _together(seeds, asked.steps)))
        barrier.wait()
        taken["processes"].append(_timed(barrier.wait))
    for process in processes:
        process.join()
    print(f"{asked.seeds} seeds of dqn without its network, {asked.rounds} rounds of {asked.steps} agent steps a seed")
    for name, seconds in taken.items():
        each = [1000 * value / asked.steps for value in seconds]
        print(
            f"{name:16} {statistics.median(each):.2f} ms for an agent step of each ({min(each):.2f} to {max(each):.2f})"
        )
    ratios = [a / b for a, b in zip(taken["threads"], taken["processes"], strict=True)]
    print(f"threads / processes: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _together(seeds: list[Seed], steps: int) -> None:
    threads = [threading.Thread(target=seed.advance, args=(steps,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
