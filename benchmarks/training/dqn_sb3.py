"""The DQN of Stable-Baselines3 with our hyper-parameters, as a measured process."""

from __future__ import annotations

import ale_py
import gymnasium
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack
from stable_baselines3.dqn.policies import QNetwork

from training.gate import Clock, Gate
from training.options import Options


def environment(env_id: str) -> VecEnv:
    """The game as the paper plays it, by the wrappers of Stable-Baselines3: no no-ops, no loss of life, sticky .25."""
    gymnasium.register_envs(ale_py)
    wrappers = {"noop_max": 0, "terminal_on_life_loss": False, "clip_reward": True}
    raw = {"frameskip": 1, "repeat_action_probability": 0.25, "max_num_frames_per_episode": 108_000}
    return VecFrameStack(make_atari_env(env_id, seed=0, wrapper_kwargs=wrappers, env_kwargs=raw), 4)


def agent(options: Options) -> DQN:
    """Adam with our epsilon, a plain target copied every 2000 gradient steps, Huber loss, epsilon .01 after warm-up."""
    ratio = options.replay_ratio
    return DQN(
        "CnnPolicy",
        environment(options.env_id),
        learning_rate=6.25e-5,
        buffer_size=options.capacity,
        learning_starts=options.warmup,
        batch_size=32,
        gamma=0.99,
        train_freq=max(1, round(1 / ratio)),
        gradient_steps=max(1, round(ratio)),
        target_update_interval=round(2_000 / ratio),
        exploration_fraction=1e-9,
        exploration_final_eps=0.01,
        max_grad_norm=float("inf"),  # the paper clips no gradient; there is no way not to compute the norm
        policy_kwargs={"optimizer_kwargs": {"eps": 1.5e-4}},
        seed=0,
        device="cpu",
    )


def run(options: Options) -> None:
    """Train until the parent has seen enough."""
    torch.set_num_threads(options.threads)
    model, clock = agent(options), Clock()
    clock.wrap(model.env, "step", "environment")
    clock.wrap(model, "_sample_action", "act")
    clock.wrap(model, "_store_transition", "store")
    clock.wrap(ReplayBuffer, "sample", "sample")
    clock.wrap(QNetwork, "forward", lambda: "forward" if torch.is_grad_enabled() else "target forward")
    clock.wrap(torch.Tensor, "backward", "backward")
    clock.wrap(torch.nn.utils, "clip_grad_norm_", "gradient norm")
    clock.wrap(model.policy.optimizer, "step", "optimizer")
    for owner, method in ((Logger, "record"), (Logger, "dump"), (BaseCallback, "on_step")):
        clock.wrap(owner, method, "logging")
    Gate(clock).guard(model.env, "step")
    model.learn(1_000_000_000)
