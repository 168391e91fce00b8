"""Kill a trainer at many points, let it resume, and compare with a run that nobody disturbed, bit for bit.

    python benchmarks/durability.py --algorithm dqn --kills 50 --signals 10 --full-disks 10

Half of the kills (SIGKILL) fall on file operations spread evenly over a run, a torn write among them; the others fall
after random agent steps. Some runs are killed a second time while they resume. After each, the run is resumed with no
clean-up. What must hold: every checkpoint that was there after the kill can be read and is there in the end; the final
weights and every row of metrics (but for times) equal those of the undisturbed run; no temporary file is left.

A full disk is a small tmpfs with part of the space that a run needs; where mounting is not permitted, that part says
so and is left out. Runs are processes forked from this one, so that torch is loaded once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from dormancy.io import find_sample, load_checkpoint
from dormancy_agents.algorithms.registry import ALGORITHMS, train_function
from dormancy_agents.config import Layer, resolve

TIMES = ("wall_seconds", "agent_steps_per_second", "gradient_steps_per_second")
COMMON = {
    "threads": 1,
    "batch_size": 8,
    "sample_size": 64,
    "warmup_agent_steps": 50,
    "metrics_period_agent_steps": 50,
    "dormancy_period_gradient_steps": 40,
    "checkpoint_period_agent_steps": 100,
    "resume_period_agent_steps": 70,
    "recycler": "redo",
    "recycler_tau": 0.3,
    "recycler_period_gradient_steps": 30,
    "prune_dormant": True,
    "prune_period_gradient_steps": 50,
    "prune_sample_size": 32,
}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("CartPole-v1", {"agent_steps": 400, "hidden": (16, 16), "replay_ratio": 0.5}),
    "drq": (
        "ALE/Breakout-v5",
        {
            "agent_steps": 250,
            "width": 0.1,
            "warmup_agent_steps": 100,
            "replay_ratio": 0.5,
            "evaluation_episodes": 2,
            "max_episode_agent_steps": 60,
        },
    ),
    "dqn-atari": ("ALE/Breakout-v5", {"agent_steps": 300, "width": 0.1, "replay_capacity": 200}),
    "sac": ("Pendulum-v1", {"agent_steps": 450, "hidden": (16, 16), "replay_ratio": 0.5, "replay_capacity": 300}),
    "sac-mujoco": ("Hopper-v5", {"agent_steps": 400, "hidden": (16, 16), "replay_ratio": 0.5}),
}
"""What is run: an environment, and what differs from `COMMON`; the algorithm is what comes before a dash."""


class Killer:
    """Counts file operations and agent steps of this process, and ends it at one of them."""

    HOOKED = ("open", "write", "fsync", "link", "replace", "unlink", "mkdir", "ftruncate")

    def __init__(self, operation: int | None = None, step: int | None = None, number: int = signal.SIGKILL) -> None:
        self.operation, self.step, self.number, self.count = operation, step, number, 0

    def install(self) -> None:
        """Put a counter before every operation that changes what is on the disk, and after every agent step."""
        for name in self.HOOKED:
            setattr(os, name, self._counted(name, getattr(os, name)))
        from dormancy_agents.training.journal import Journal

        stepped = Journal.stepped

        def counted(journal: Journal, *arguments: Any) -> None:
            stepped(journal, *arguments)
            if journal._agent.agent_step == self.step:
                os.kill(os.getpid(), self.number)

        Journal.stepped = counted  # type: ignore[method-assign]

    def _counted(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **keywords: Any) -> Any:
            reads = name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR)
            self.count += not reads
            if self.count == self.operation and not reads:
                if name == "write":
                    original(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **keywords)

        return operation


@dataclass
class Bench:
    """One algorithm's runs, below one folder."""

    name: str
    folder: Path

    def train(self, out: Path, killer: Killer | None = None) -> int:
        """Train in a forked process, resuming what is in `out`; return its status as a shell would say it."""
        child = os.fork()
        if child == 0:
            os._exit(self._child(out, killer))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _child(self, out: Path, killer: Killer | None) -> int:
        from dormancy.errors import DormancyError

        torch.set_num_threads(1)
        counter = killer or Killer()
        counter.install()
        try:
            env_id, own = RUNS[self.name]
            algorithm = ALGORITHMS[self.name.partition("-")[0]]
            config = resolve(algorithm, env_id, [Layer("benchmark", {**COMMON, **own})]).config
            outcome = train_function(algorithm)(config, out, progress=False, resume=True)
        except DormancyError as error:
            print(f"  {error}", file=sys.stderr)
            return error.exit_code
        (self.folder / "operations").write_text(str(counter.count))
        return 0 if outcome.signal is None else 128 + outcome.signal

    @property
    def agent_steps(self) -> int:
        """The length of a run."""
        return int(RUNS[self.name][1]["agent_steps"])


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the parameters of the last checkpoint."""
    return dict(load_checkpoint(sorted((run / "checkpoints").glob("*.pt"))[-1]).parameters)


def rows(run: Path) -> list[dict[str, Any]]:
    """Return all rows of metrics without times."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in found]


def acknowledged(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Return the parameters of every checkpoint that has its name; each must be readable, with its sample."""
    paths = sorted((run / "checkpoints").glob("step_*.pt"))
    assert all(find_sample(path) is not None for path in paths), "a checkpoint without its sample"
    return {path.name: dict(load_checkpoint(path).parameters) for path in paths}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two networks are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def compare(reference: Path, run: Path, before: dict[str, dict[str, torch.Tensor]], extra: bool) -> str | None:
    """Say what is wrong with a resumed run, None when nothing is. `extra` rows may be there after a signal."""
    after = acknowledged(run)
    lost = [name for name, parameters in before.items() if name not in after or not same(parameters, after[name])]
    expected, found = rows(reference), rows(run)
    if extra:
        found = [row for row in found if row in expected]
    checks = {
        f"checkpoints lost or changed: {lost}": not lost,
        "other final weights": same(weights(reference), weights(run)),
        "other rows of metrics": found == expected,
        "temporary files are left": not list(run.rglob("*.tmp")),
    }
    return next((what for what, holds in checks.items() if not holds), None)


def disturb(bench: Bench, reference: Path, killers: list[Killer]) -> str | None:
    """Run with one killer after another, then resume to the end; say what is wrong, or None."""
    run = bench.folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    before: dict[str, dict[str, torch.Tensor]] = {}
    for killer in killers:
        code = bench.train(run, killer)
        expected = -signal.SIGKILL if killer.number == signal.SIGKILL else 128 + killer.number
        if code not in (expected, 0):
            return f"left with {code}, not {expected}"
        if run.exists():
            before |= acknowledged(run)
    if (code := bench.train(run)) != 0:
        return f"did not resume: {code}"
    return compare(reference, run, before, any(killer.number != signal.SIGKILL for killer in killers))


def killers_of(bench: Bench, kills: int, operations: int, rng: random.Random) -> list[list[Killer]]:
    """Spread kills over file operations and random steps; every fifth run is killed once more when it resumes."""
    by_file = [Killer(1 + (operations - 1) * k // max(1, kills // 2 - 1)) for k in range(kills // 2)]
    by_time = [Killer(step=rng.randrange(1, bench.agent_steps)) for _ in range(kills - len(by_file))]
    plans = [[killer] for killer in (*by_file, *by_time)]
    for plan in plans[::5]:
        plan.append(Killer(rng.randrange(1, 60)))
    return plans


def bytes_of(run: Path) -> int:
    """Return the space that a run takes in blocks of 4096 bytes."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in run.rglob("*") if path.is_file())


def full_disks(bench: Bench, reference: Path, count: int) -> list[str]:
    """Train on a tmpfs with part of the space that a run needs: what was there stays, with space again all goes on."""
    disk, needed = bench.folder / "disk", bytes_of(reference)
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={2 * needed}", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        print("full disk: mounting a tmpfs is not permitted here; left out")
        return []
    problems = []
    try:
        for k in range(count):
            problem = fill(bench, reference, disk, 2 * needed - needed * (k + 1) // (count + 1))
            problems += [f"full disk {k}: {problem}"] if problem else []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return problems


def fill(bench: Bench, reference: Path, disk: Path, taken: int) -> str | None:
    """Take this many bytes of the disk, train, free them, resume."""
    run, ballast = disk / "run", disk / "ballast"
    ballast.write_bytes(bytes(taken))
    code = bench.train(run)
    before = acknowledged(run) if run.exists() else {}
    ballast.unlink()
    free = shutil.disk_usage(disk).total - taken
    print(f"  {free} bytes free: left with {code}, {len(before)} checkpoints", flush=True)
    if code not in (0, 3):
        return f"left with {code}"
    if bench.train(run) != 0:
        return "did not resume"
    problem = compare(reference, run, before, extra=True) if code else None
    if not same(weights(reference), weights(run)):
        problem = "other final weights"
    shutil.rmtree(run)
    return problem


def main() -> int:
    """Run everything that was asked for; 1 when anything was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=sorted(RUNS), default="dqn")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--signals", type=int, default=10)
    parser.add_argument("--full-disks", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    started, rng = time.monotonic(), random.Random(asked.seed)
    for module in ("gymnasium", "ale_py", ALGORITHMS[asked.algorithm.partition("-")[0]].module):
        import_module(module)  # once, here, and not in every process
    with tempfile.TemporaryDirectory(prefix="durability-") as temporary:
        bench, reference = Bench(asked.algorithm, Path(temporary)), Path(temporary) / "reference"
        assert bench.train(reference) == 0, "the undisturbed run failed"
        operations = int((bench.folder / "operations").read_text())
        plans = killers_of(bench, asked.kills, operations, rng)
        steps = [rng.randrange(1, bench.agent_steps) for _ in range(asked.signals)]
        plans += [[Killer(step=step, number=signal.SIGTERM)] for step in steps]
        problems = []
        for number, plan in enumerate(plans, 1):
            if problem := disturb(bench, reference, plan):
                at = f"operation {plan[0].operation}, step {plan[0].step}, signal {plan[0].number}"
                problems.append(f"{at}: {problem}")
            if number % 10 == 0:
                print(f"  {number} of {len(plans)} runs disturbed, {len(problems)} problems", flush=True)
        problems += full_disks(bench, reference, asked.full_disks) if asked.full_disks else []
    print("\n".join(problems) or "every run came to the same end, bit for bit")
    counts = f"{asked.kills} kills ({operations} file operations a run), {asked.signals} SIGTERM"
    print(f"{asked.algorithm}: {counts}: {len(problems)} problems, {time.monotonic() - started:.0f} s")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
