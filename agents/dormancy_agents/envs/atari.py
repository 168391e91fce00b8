"""Atari games through the vector environment of ale-py."""

from __future__ import annotations

from typing import final

import numpy as np

from dormancy_agents.config import DiscreteConfig
from dormancy_agents.envs.base import Array, Step

__all__ = ["AtariEnvironment"]


@final
class AtariEnvironment:
    """An Atari game through the vector environment of ale-py, which skips, max-pools, scales and stacks frames in C++.

    What that class does, observed with ale-py 0.12: the observations of an episode's first steps are stacked on
    black frames; with autoreset "same step" the step that ends an episode returns the first observation of the
    next one and keeps the last one in ``info["final_obs"]``; ``max_num_frames_per_episode`` counts frames, not
    steps. No random no-ops, no automatic fire: sticky actions provide the randomness (Machado et al. 2018).
    """

    def __init__(self, config: DiscreteConfig, game: str, seed: int) -> None:
        from ale_py.vector_env import AtariVectorEnv

        self.env_id = config.env_id
        self._envs = AtariVectorEnv(
            game,
            num_envs=1,
            num_threads=1,
            autoreset_mode="SameStep",
            max_num_frames_per_episode=config.max_episode_agent_steps * config.frame_skip,
            repeat_action_probability=config.sticky_action_probability,
            frameskip=config.frame_skip,
            stack_num=config.frame_stack,
            maxpool=True,
            noop_max=0,
            use_fire_reset=False,
            episodic_life=False,
            reward_clipping=False,  # the loop clips what is learned from; the return is logged as the game counts it
        )
        self._seed: int | None = seed
        self._first: Array | None = None
        self._action = np.zeros(1, np.int64)
        self.actions = len(self._envs.ale.get_action_set())
        self.action_shape: tuple[int, ...] = ()
        self.frame_stack: int | None = config.frame_stack
        self.frame_shape = tuple(self._envs.ale.get_observation_shape()[1:])
        self.dtype = np.dtype(np.uint8)

    def reset(self, seed: int | None = None) -> Array:
        """Return the first observation of the episode that the emulator has begun by itself, or begin one by a seed.

        A seed loads the game anew: that takes some fifteen times as long as the emulator's own reset.
        """
        seed = self._seed if seed is None else seed
        if seed is not None:
            self._first, self._seed = self._envs.reset(seed=seed)[0][0], None
        assert self._first is not None, "an episode that has not ended is given up by a seed only"
        first, self._first = self._first, None
        return first

    def step(self, action: int) -> Step:
        """Take an action for `frame_skip` frames."""
        self._action[0] = action
        observations, rewards, terminated, truncated, info = self._envs.step(self._action)
        observation = observations[0]
        if terminated[0] or truncated[0]:
            self._first, observation = observation, info["final_obs"][0]
        return Step(observation, float(rewards[0]), bool(terminated[0]), bool(truncated[0]))

    def close(self) -> None:
        """Stop the emulator's thread."""
        self._envs.close()
