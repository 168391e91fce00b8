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
    steps. No automatic fire; random no-ops only where the configuration asks for them: sticky actions provide the
    randomness (Machado et al. 2018).

    With `life_loss_terminates` an episode is one life, as in Dopamine: it terminates where a life is lost, and the next
    one goes on in the same game, its first observations on black frames like those of any other. (The emulator's own
    ``episodic_life`` would begin a new game instead.)
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
            noop_max=config.noop_max,
            use_fire_reset=False,
            episodic_life=False,  # see above
            reward_clipping=False,  # the loop clips what is learned from; the return is logged as the game counts it
        )
        self._seed: int | None = seed
        self._first: Array | None = None
        self._one_life = config.life_loss_terminates
        self._lives, self._age = 0, config.frame_stack
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
            observations, info = self._envs.reset(seed=seed)
            self._first, self._seed, self._lives = observations[0], None, int(info["lives"][0])
            self._age = len(self._first)  # the emulator's own black frames are there
        assert self._first is not None, "an episode that has not ended is given up by a seed only"
        first, self._first = self._first, None
        return self._seen(first)

    def step(self, action: int) -> Step:
        """Take an action for `frame_skip` frames."""
        self._action[0] = action
        observations, rewards, terminated, truncated, info = self._envs.step(self._action)
        observation, over = observations[0], bool(terminated[0] or truncated[0])
        lives, before = int(info["lives"][0]), self._lives
        self._lives, self._age = lives, self._age + 1
        if over:
            self._first, observation = observation, info["final_obs"][0]
        lost = self._one_life and not over and lives < before
        step = Step(self._seen(observation), float(rewards[0]), bool(terminated[0]) or lost, bool(truncated[0]), lost)
        if over or lost:
            self._age = len(observation) if over else 1
            self._first = self._first if over else observation
        return step

    def _seen(self, observation: Array) -> Array:
        """Blacken the frames that are older than the episode."""
        if self._age >= len(observation):
            return observation
        seen = observation.copy()
        seen[: -self._age] = 0
        return seen

    def close(self) -> None:
        """Stop the emulator's thread."""
        self._envs.close()
