"""Our trainers beside those of Stable-Baselines3, with equal hyper-parameters: steps a second, and where the time goes.

Run with ``python benchmarks/train.py sac --threads 1`` where stable-baselines3 and gymnasium[mujoco] are installed. The
two sides live in one process and take turns (A B A B ...), so that other work on the machine disturbs both. A row gives
the median of the rounds; the last line gives the median ratio within a round. Processor time counts all threads; on a
machine that is not idle it says more than the clock on the wall.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch

PARTS = ("environment", "act", "sample", "forward", "backward", "optimizer", "target", "logging", "rest")


class Stopwatch:
    """Processor time by part; what a part calls that is a part itself is not counted twice."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Put a timed function in place of an attribute."""
        setattr(owner, name, self.timed(getattr(owner, name), part))

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Return a function that does the same and is counted."""

        @functools.wraps(function)
        def counted(*arguments: Any, **keywords: Any) -> Any:
            self._inner.append(0.0)
            start = time.process_time()
            try:
                return function(*arguments, **keywords)
            finally:
                taken = time.process_time() - start
                self.seconds[part] += taken - self._inner.pop()
                if self._inner:
                    self._inner[-1] += taken

        return counted


class Side(Protocol):
    """One trainer, past its warm-up."""

    name: str
    watch: Stopwatch

    def advance(self, steps: int) -> None:
        """Take so many agent steps, each with its gradient steps."""


class OurSAC:
    """`dormancy train sac`, its run folder included."""

    name = "dormancy"

    def __init__(self, env_id: str, threads: int, warmup: int, stack: ExitStack) -> None:
        from dormancy_agents.algorithms.sac.agent import SAC
        from dormancy_agents.algorithms.sac.config import SACConfig
        from dormancy_agents.training.session import Session

        standard: dict[str, Any] = {"adam_epsilon": 1e-8, "target_entropy_per_action": -1.0, "reward_scale": 1.0}
        config = SACConfig(env_id, agent_steps=100_000, warmup_agent_steps=warmup, threads=threads, **standard)
        self.agent, self.watch = SAC(config), Stopwatch()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.session = stack.enter_context(Session(self.agent, folder / "run", progress=False))
        self.observation = self.session.begin()
        self.advance(warmup + 50)
        self._instrument()

    def _instrument(self) -> None:
        watch, agent, journal = self.watch, self.agent, self.session.journal
        places = [(agent.env, "step", "environment"), (agent.env, "reset", "environment"), (agent, "act", "act")]
        places += [(agent.replay, "batch", "sample"), (agent, "learn", "forward"), (agent, "update_target", "target")]
        places += [(optimizer, "step", "optimizer") for optimizer in agent.optimizers.values()]
        places += [(journal, name, "logging") for name in ("stepped", "learned", "write_due")]
        for place in places:
            watch.watch(*place)

    def advance(self, steps: int) -> None:
        """Do what the loop of `dormancy_agents.algorithms.sac.agent.train` does."""
        agent, journal = self.agent, self.session.journal
        for _ in range(steps):
            action = agent.act(self.observation)
            agent.agent_step += 1
            while agent.gradient_step < agent.gradient_steps_due():
                journal.learned(agent.learn())
                for row in agent.intervene(journal.look):
                    journal.intervened(row)
                agent.update_target()
            step = agent.env.step(action)
            agent.replay.add(action, step.reward, step.terminated, step.truncated, step.observation)
            journal.stepped(step)
            self.observation = step.observation
            if step.terminated or step.truncated:
                self.observation = agent.env.reset()
                agent.replay.begin(self.observation)
            journal.write_due()


class TheirSAC:
    """Stable-Baselines3's SAC with its defaults, which are the same numbers."""

    name = "stable-baselines3"

    def __init__(self, env_id: str, threads: int, warmup: int, stack: ExitStack) -> None:
        from stable_baselines3 import SAC
        from stable_baselines3.sac import sac

        del threads, stack  # torch has one number of threads for both
        self.watch = Stopwatch()
        self.model = model = SAC("MlpPolicy", env_id, learning_starts=warmup, device="cpu", seed=0)
        self.advance(warmup + 50)
        watch = self.watch
        watch.watch(model.env, "step", "environment")
        watch.watch(model, "_sample_action", "act")
        watch.watch(model.replay_buffer, "sample", "sample")
        watch.watch(model, "train", "forward")
        for optimizer in (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer):
            watch.watch(optimizer, "step", "optimizer")
        watch.watch(sac, "polyak_update", "target")
        watch.watch(model, "dump_logs", "logging")

    def advance(self, steps: int) -> None:
        """Go on learning; the callback that `learn` makes anew each time costs nothing beside 100 steps."""
        self.model.learn(steps, reset_num_timesteps=False)


ENVIRONMENT = "HalfCheetah-v5"


class Round:
    """One turn of one side: seconds on the wall, processor time, and its parts, all for one agent step."""

    def __init__(self, side: Side, steps: int) -> None:
        side.watch.seconds.clear()
        original = torch.Tensor.backward
        torch.Tensor.backward = side.watch.timed(original, "backward")  # type: ignore[method-assign]
        wall, processor = time.perf_counter(), time.process_time()
        try:
            side.advance(steps)
        finally:
            torch.Tensor.backward = original  # type: ignore[method-assign]
        self.wall = (time.perf_counter() - wall) / steps
        self.processor = (time.process_time() - processor) / steps
        parts = {part: side.watch.seconds[part] / steps for part in PARTS}
        self.parts = {**parts, "rest": self.processor - sum(parts.values())}


def _report(name: str, rounds: list[Round]) -> None:
    wall, processor = (statistics.median(getattr(each, what) for each in rounds) for what in ("wall", "processor"))
    parts = {part: 1000 * statistics.median(each.parts[part] for each in rounds) for part in PARTS}
    shown = "  ".join(f"{part} {milliseconds:.2f}" for part, milliseconds in parts.items())
    print(f"{name:18} {1 / wall:7.1f} steps/s  {1000 * processor:6.2f} ms of processor a step: {shown}")


def main(words: list[str]) -> None:
    """Measure and print."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="train.py sac", description=__doc__, formatter_class=layout)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200, help="agent steps a turn")
    asked = parser.parse_args(words)
    torch.set_num_threads(asked.threads)
    env_id = ENVIRONMENT
    with ExitStack() as stack:
        sides = [build(env_id, asked.threads, 500, stack) for build in (OurSAC, TheirSAC)]
        rounds = [[Round(side, asked.steps) for side in sides] for _ in range(asked.rounds)]
    print(f"sac on {env_id}, {asked.threads} thread(s), {asked.rounds} rounds of {asked.steps} steps")
    for side, turns in zip(sides, zip(*rounds, strict=True), strict=True):
        _report(side.name, list(turns))
    by = {what: [getattr(b, what) / getattr(a, what) for a, b in rounds] for what in ("wall", "processor")}
    told = ", ".join(f"{statistics.median(x):.2f} ({min(x):.2f} to {max(x):.2f}) by {what}" for what, x in by.items())
    print(f"theirs / ours: {told} time")
