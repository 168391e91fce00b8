"""Acting in an environment to get a sample: what a network is looked at with when no replay was kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dormancy.errors import SampleError, UsageError
from dormancy.io import ReplaySample, load_checkpoint, printable
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs import Environment
from dormancy_agents.envs.make import make_environment

__all__ = ["collect_sample"]

Array: TypeAlias = "NDArray[Any]"
Greedy: TypeAlias = Callable[[Array], int]

RANDOM = "random"


def collect_sample(
    env_id: str, policy: str | os.PathLike[str] = RANDOM, *, rows: int, seed: int = 0, epsilon: float = 0.01
) -> ReplaySample:
    """Take `rows` agent steps and return what was seen before each of them, in order.

    `policy` is "random", or a checkpoint whose network gives a value for each action: the best one is taken, and a
    random one with probability `epsilon`. The environment is made as for training (on Atari: frames skipped and
    stacked, sticky actions). The same arguments give the same sample.

    Raises `UsageError` for an environment that cannot be made, and for rows or an epsilon that cannot be; `InputError`
    and its kin for the checkpoint; `SampleError` when its network does not fit the environment.
    """
    if rows < 1 or not 0 <= epsilon <= 1:
        raise UsageError(f"rows must be 1 or more and epsilon between 0 and 1, not {rows} and {epsilon:g}")
    config = dqn_config(env_id, {"seed": seed})
    with closing(make_environment(config, seed)) as env:
        greedy = None if policy == RANDOM else _greedy(policy, env)
        sample = _act(env, greedy, rows, np.random.default_rng(seed), 1.0 if greedy is None else epsilon)
    return ReplaySample(**sample, provenance=_provenance(env, policy, seed, epsilon))


def _act(
    env: Environment, greedy: Greedy | None, rows: int, rng: np.random.Generator, epsilon: float
) -> dict[str, Any]:
    observation = env.reset()
    seen = np.empty((rows, *observation.shape), env.dtype)
    taken, ends = np.empty(rows, np.int64), np.zeros((2, rows), bool)
    rewards, episodes, episode = np.empty(rows, np.float32), np.empty(rows, np.int64), 0
    for row in range(rows):
        explore = greedy is None or rng.random() < epsilon
        action = int(rng.integers(env.actions)) if greedy is None or explore else greedy(observation)
        step = env.step(action)
        seen[row], taken[row], rewards[row], episodes[row] = observation, action, step.reward, episode
        ends[:, row] = step.terminated, step.truncated
        observation = step.observation
        if step.terminated or step.truncated:
            observation, episode = env.reset(), episode + 1
    return {
        "observations": seen,
        "actions": taken,
        "rewards": rewards,
        "terminations": ends[0],
        "truncations": ends[1],
        "episode_ids": episodes,
        "steps": np.arange(1, rows + 1),
    }


def _greedy(path: str | os.PathLike[str], env: Environment) -> Greedy:
    """Make the function that chooses the action of the highest value, after trying it on one observation."""
    checkpoint = load_checkpoint(path)
    checkpoint.require_finite()
    network = checkpoint.build().eval()

    def values(observation: Array) -> Array:
        with torch.inference_mode():
            found: Array = network(torch.from_numpy(observation)[None].float()).numpy()
            return found

    shape = (env.frame_stack, *env.frame_shape) if env.frame_stack else env.frame_shape
    try:
        given = values(np.zeros(shape, env.dtype)).shape
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise _misfit(path, env, f"does not take observations of shape {shape}") from error
    if given != (1, env.actions):
        raise _misfit(path, env, f"gives values of shape {given}, not of {(1, env.actions)}")
    return lambda observation: int(values(observation).argmax())


def _misfit(path: str | os.PathLike[str], env: Environment, how: str) -> SampleError:
    return SampleError(f"{printable(path)}: its network {how}, as {env.env_id} needs it; name the right environment")


def _provenance(env: Environment, policy: str | os.PathLike[str], seed: int, epsilon: float) -> dict[str, str]:
    acting = "random policy" if policy == RANDOM else f"{os.fspath(policy)}, epsilon {epsilon:g}"
    facts = {"env_id": env.env_id, "source": f"collected with {acting}", "seed": str(seed)}
    stacked = {"layout": "NCHW, newest frame last", "frame_stack": str(env.frame_stack)}
    return facts | stacked if env.frame_stack is not None and len(env.frame_shape) == 2 else facts
