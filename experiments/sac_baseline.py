"""Train the SAC of Stable-Baselines3 beside ours: same hyper-parameters, same environments, a run folder that reports.

Usage (where dormancy, stable-baselines3 and gymnasium[mujoco] are installed; one thread, one run after the other):

    OMP_NUM_THREADS=1 python experiments/sac_baseline.py HalfCheetah-v5 0 runs/sb3-HalfCheetah-v5-seed0

The folder is one as ``dormancy train`` writes it. Its checkpoints hold the same numbers in our own architecture, each
with a uniform sample of their replay, so that `dormancy report` shows returns and dormancy of both sides. `SHARED` is
what both are given; ours is started by `experiments/sac_mujoco.sh`. Not equal: initial weights, which are PyTorch's
there and Xavier-uniform with zero biases here, and the streams of random numbers.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC, __version__
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from torch import Tensor

from dormancy._version import versions
from dormancy.io import Checkpoint, ReplaySample
from dormancy.networks import NetworkSpec
from dormancy_agents.algorithms.sac.config import SACConfig
from dormancy_agents.envs.make import make_continuous
from dormancy_agents.run_folder.folder import RunFolder
from dormancy_agents.training.evaluation import play
from dormancy_agents.training.measurements import build_twin, dormancy_row, scan_parameters

SHARED: dict[str, Any] = {
    "agent_steps": 60_000,
    "threads": 1,
    "target_entropy_per_action": -1.0,
    "reward_scale": 1.0,
    "adam_epsilon": 1e-8,
    "evaluation_period_agent_steps": 60_000,
    "evaluation_episodes": 10,
    "checkpoint_period_agent_steps": 10_000,
    "resume_period_agent_steps": 10_000,
}


def their_options(config: SACConfig) -> dict[str, Any]:
    """Say the same in their words; what is not here has the same default there."""
    return {
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "gamma": config.gamma,
        "tau": config.target_smoothing,
        "buffer_size": config.replay_capacity,
        "learning_starts": config.warmup_agent_steps,
        "ent_coef": f"auto_{config.initial_temperature}",
        "target_entropy": "auto",  # minus the numbers of an action
        "policy_kwargs": {"net_arch": list(config.hidden), "optimizer_kwargs": {"eps": config.adam_epsilon}},
        "seed": config.seed,
        "device": "cpu",
    }


def as_ours(model: SAC) -> dict[str, Tensor]:
    """Give their parameters our names: the two heads of the actor become one, mean first."""
    theirs = model.policy.state_dict()
    towers = {"actor": "actor.latent_pi", "q1": "critic.qf0", "q2": "critic.qf1"}
    found = {
        f"{tower}.fc{layer}.{part}": theirs[f"{name}.{2 * layer - 2}.{part}"]
        for tower, name in towers.items()
        for layer in (1, 2)
        for part in ("weight", "bias")
    }
    for part in ("weight", "bias"):
        found[f"actor.head.{part}"] = torch.cat([theirs[f"actor.mu.{part}"], theirs[f"actor.log_std.{part}"]])
        found |= {f"{tower}.head.{part}": theirs[f"{towers[tower]}.4.{part}"] for tower in ("q1", "q2")}
    return {name: value.detach().clone() for name, value in found.items()}


class Log(BaseCallback):
    """Write what our trainer writes: episodes, checkpoints with samples and what a scan of them says, an evaluation."""

    def __init__(self, run: RunFolder, config: SACConfig, network: NetworkSpec) -> None:
        super().__init__()
        self.run, self.asked, self.network = run, config, network
        self.twin, self.episodes = build_twin(network, "cpu"), 0

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episodes += 1
                ended = {"return": float(info["episode"]["r"]), "length_agent_steps": int(info["episode"]["l"])}
                self._row("episode", episode=self.episodes, **ended)
        if self.num_timesteps % self.asked.checkpoint_period_agent_steps == 0:
            self._keep()
        if self.num_timesteps % self.asked.evaluation_period_agent_steps == 0:
            self._evaluate()
        return True

    def _row(self, kind: str, **values: Any) -> None:
        self.run.row(kind, self.num_timesteps, int(self.model._n_updates), **values)

    def _keep(self) -> None:
        step, asked, parameters = self.num_timesteps, self.asked, as_ours(self.model)
        rng = np.random.default_rng([asked.seed, step])
        buffer = self.model.replay_buffer
        rows = np.sort(rng.integers(0, buffer.size(), asked.sample_size))
        facts = {"env_id": asked.env_id, "source": f"uniform sample of the replay at agent step {step}"}
        sample = ReplaySample(
            buffer.observations[rows, 0].astype(np.float32), actions=buffer.actions[rows, 0], provenance=facts
        )
        checkpoint = Checkpoint(
            self.network, parameters, agent_step=step, gradient_step=self.model._n_updates, env_id=asked.env_id
        )
        name = self.run.save(checkpoint, sample)
        self._row(
            "dormancy", checkpoint=name, **dormancy_row(scan_parameters(self.twin, parameters, sample, asked.taus))
        )

    def _evaluate(self) -> None:
        env, seed = make_continuous(self.asked.env_id), self.asked.seed
        played = list(play(env, self._mean_action, self.asked.evaluation_episodes, seed))
        returns, lengths = [each.value for each in played], [each.agent_steps for each in played]
        mean = float(np.mean(returns))
        self._row("evaluation", episodes=len(played), mean_return=mean, returns=returns, mean_length=np.mean(lengths))

    def _mean_action(self, observation: Any, rng: np.random.Generator) -> Any:
        """Return their action of the mean, before it is stretched to the bounds of the environment."""
        with torch.inference_mode():
            return self.model.actor(torch.from_numpy(observation)[None], deterministic=True)[0].numpy()


def train(config: SACConfig, folder: Path) -> None:
    """Train one agent of theirs and leave a run folder."""
    import gymnasium

    torch.set_num_threads(config.threads)
    env = Monitor(gymnasium.make(config.env_id))
    shape = {"inputs": env.observation_space.shape[0], "actions": env.action_space.shape[0]}
    network = NetworkSpec("sac", {**shape, "hidden": list(config.hidden), "width": 1.0, "activation": "relu"})
    about = {
        "algorithm": "sac-sb3",
        "config": asdict(config),
        "network": {"arch": network.arch, "options": dict(network.options)},
        "threads": torch.get_num_threads(),
        "versions": {**versions("gymnasium", "ale_py"), "stable_baselines3": __version__},
    }
    model = SAC("MlpPolicy", env, **their_options(config))
    with RunFolder(folder, about) as run:
        model.learn(config.agent_steps, callback=Log(run, config, network))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="SAC of Stable-Baselines3, with a run folder of ours")
    parser.add_argument("env_id")
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=SHARED["agent_steps"], help="agent steps")
    asked = parser.parse_args()
    given = {**SHARED, "agent_steps": asked.steps, "seed": asked.seed}
    given["checkpoint_period_agent_steps"] = min(asked.steps, SHARED["checkpoint_period_agent_steps"])
    train(SACConfig(asked.env_id, **given), asked.folder)


if __name__ == "__main__":
    main()
