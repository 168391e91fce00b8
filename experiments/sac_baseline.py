"""Train the SAC of Stable-Baselines3 beside ours: same hyper-parameters, same environments, a run folder that reports.

Usage (in an environment with stable-baselines3 and gymnasium[mujoco]; one thread, one run after the other):

    OMP_NUM_THREADS=1 python experiments/sac_baseline.py HalfCheetah-v5 0 runs/sb3-HalfCheetah-v5-seed0

The folder holds ``run.json`` and ``metrics.jsonl`` as ``dormancy train`` writes them, which is all that
``dormancy report`` reads returns from. It keeps no checkpoints. What both sides use is in `COMMON`; ours is started as
`docs/trainers.md` tells.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import stable_baselines3
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor

AGENT_STEPS = 60_000
EVALUATION_EPISODES = 10
COMMON: dict[str, Any] = {
    "learning_rate": 3e-4,
    "batch_size": 256,
    "gamma": 0.99,
    "tau": 0.005,
    "buffer_size": 1_000_000,
    "learning_starts": 10_000,
    "train_freq": 1,
    "gradient_steps": 1,
    "ent_coef": "auto",  # starts at 1
    "target_entropy": "auto",  # minus the size of an action
    "policy_kwargs": {"net_arch": [256, 256]},
}


class Log(BaseCallback):
    """Write a row for each training episode, and one at the end for episodes with the mean action."""

    def __init__(self, path: Path, env_id: str, seed: int) -> None:
        super().__init__()
        self._file = path.open("x", encoding="utf-8")
        self._env = gymnasium.make(env_id)
        self._seed = seed
        self._started = time.monotonic()
        self._evaluating = 0.0
        self._episodes = 0

    def _row(self, kind: str, **values: Any) -> None:
        common = {"kind": kind, "agent_step": self.num_timesteps, "gradient_step": int(self.model._n_updates)}
        seconds = round(time.monotonic() - self._started, 3)
        self._file.write(json.dumps({**common, "wall_seconds": seconds, **values}) + "\n")
        self._file.flush()

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                episode = info["episode"]
                self._row(
                    "episode", episode=self._episodes, length_agent_steps=int(episode["l"]), **{"return": episode["r"]}
                )
                self._episodes += 1
        if self.num_timesteps == AGENT_STEPS:
            began = time.monotonic()
            returns = [self._evaluated(number) for number in range(EVALUATION_EPISODES)]
            self._evaluating += time.monotonic() - began
            self._row("evaluation", episodes=len(returns), returns=returns, mean_return=sum(returns) / len(returns))
        return True

    def _evaluated(self, number: int) -> float:
        observation, _ = self._env.reset(seed=1_000_000 + 1000 * self._seed + number)
        total, over = 0.0, False
        while not over:
            action, _ = self.model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = self._env.step(action)
            total, over = total + float(reward), terminated or truncated
        return total

    def _on_training_end(self) -> None:
        seconds = time.monotonic() - self._started - self._evaluating
        self._row("throughput", training_seconds=round(seconds, 3), agent_steps_per_second=AGENT_STEPS / seconds)
        self._file.close()
        self._env.close()


def _describe(folder: Path, env_id: str, seed: int) -> None:
    config = {"env_id": env_id, "seed": seed, "agent_steps": AGENT_STEPS, "learner": "stable-baselines3", **COMMON}
    versions = {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__}
    versions |= {"gymnasium": gymnasium.__version__, "python": platform.python_version()}
    content = {"schema": "dormancy.run/1", "algorithm": "sac-sb3", "config": config, "versions": versions}
    (folder / "run.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(env_id: str, seed: int, folder: Path) -> None:
    """Train one agent for `AGENT_STEPS` and leave `folder`."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    _describe(folder, env_id, seed)
    model = SAC("MlpPolicy", Monitor(gymnasium.make(env_id)), seed=seed, device="cpu", **COMMON)
    model.learn(AGENT_STEPS, callback=Log(folder / "metrics.jsonl", env_id, seed))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
