"""The worlds an agent acts in, behind one small interface: reset, step, close."""

from __future__ import annotations

import difflib
import warnings
from types import ModuleType
from typing import Any, NamedTuple, Protocol, final

import numpy as np
from numpy.typing import NDArray

from dormancy.errors import UsageError
from dormancy_agents.config import DQNConfig

__all__ = ["AtariEnvironment", "Environment", "GymnasiumEnvironment", "Step", "make_environment"]

Array = NDArray[Any]


class Step(NamedTuple):
    """What one action led to: the observation reached, also where the episode ends there, and the reward unclipped."""

    observation: Array
    reward: float
    terminated: bool
    truncated: bool


class Environment(Protocol):
    """One environment with discrete actions; the first `reset` uses the seed it was made with.

    `frame_stack` says how many frames the first axis of an observation holds, newest last; None means no such axis.
    """

    env_id: str
    actions: int
    frame_shape: tuple[int, ...]
    frame_stack: int | None
    dtype: np.dtype[Any]

    def reset(self) -> Array:
        """Begin an episode and return its first observation."""

    def step(self, action: int) -> Step:
        """Take an action."""

    def close(self) -> None:
        """Give the environment up."""


def make_environment(config: DQNConfig, seed: int) -> Environment:
    """Build the environment of a run.

    Raises `UsageError` when it is unknown (naming the nearest one), when its package is not installed, and when its
    observations or actions are of a kind that no network here takes.
    """
    from dormancy_agents.minatar import MinAtarEnvironment, is_minatar

    if is_minatar(config.env_id):
        return MinAtarEnvironment(config, seed)
    gymnasium = _gymnasium()
    if config.env_id not in gymnasium.registry:
        raise UsageError(f"unknown environment {config.env_id!r} ({_meant(config.env_id, list(gymnasium.registry))})")
    if config.env_id.startswith("ALE/"):
        return AtariEnvironment(config, gymnasium.spec(config.env_id).kwargs["game"], seed)
    return GymnasiumEnvironment(config, gymnasium, seed)


def _gymnasium() -> ModuleType:
    try:
        import ale_py
        import gymnasium
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'dormancy[train]'") from error
    gymnasium.register_envs(ale_py)
    return gymnasium


def _meant(env_id: str, known: list[str]) -> str:
    """Find what was meant also without namespace and version: ``breakout`` is ``ALE/Breakout-v5``."""
    names = {_bare(name): name for name in known if "/" not in name or name.startswith("ALE/")}
    close = difflib.get_close_matches(_bare(env_id), names, n=1)
    return f"did you mean {names[close[0]]!r}?" if close else "for example ALE/Breakout-v5 or CartPole-v1"


def _bare(env_id: str) -> str:
    return env_id.split("/")[-1].rsplit("-v", 1)[0].lower()


@final
class AtariEnvironment:
    """An Atari game through the vector environment of ale-py, which skips, max-pools, scales and stacks frames in C++.

    What that class does, observed with ale-py 0.12: the observations of an episode's first steps are stacked on
    black frames; with autoreset "same step" the step that ends an episode returns the first observation of the
    next one and keeps the last one in ``info["final_obs"]``; ``max_num_frames_per_episode`` counts frames, not
    steps. No random no-ops, no automatic fire: sticky actions provide the randomness (Machado et al. 2018).
    """

    def __init__(self, config: DQNConfig, game: str, seed: int) -> None:
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
        self._seed = seed
        self._first: Array | None = None
        self._action = np.zeros(1, np.int64)
        self.actions = len(self._envs.ale.get_action_set())
        self.frame_stack: int | None = config.frame_stack
        self.frame_shape = tuple(self._envs.ale.get_observation_shape()[1:])
        self.dtype = np.dtype(np.uint8)

    def reset(self) -> Array:
        """Return the first observation of the episode that the emulator has begun by itself, or begin the first one."""
        if self._first is None:
            self._first = self._envs.reset(seed=self._seed)[0][0]
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


@final
class GymnasiumEnvironment:
    """An environment of gymnasium whose observations are vectors and whose actions are discrete."""

    def __init__(self, config: DQNConfig, gymnasium: ModuleType, seed: int) -> None:
        self.env_id = config.env_id
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gymnasium advises on versions and precision; the choice is the user's
            self._env = _make(gymnasium, config.env_id)
        space, actions = self._env.observation_space, self._env.action_space
        if not (isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1):
            raise UsageError(f"{config.env_id}: observations must be vectors, not {space}")
        if not isinstance(actions, gymnasium.spaces.Discrete):
            raise UsageError(f"{config.env_id}: DQN needs discrete actions, not {actions}")
        self._seed: int | None = seed
        self._first_action = int(actions.start)
        self.actions = int(actions.n)
        self.frame_shape = tuple(space.shape)
        self.frame_stack: int | None = None
        self.dtype = np.dtype(np.float32)

    def reset(self) -> Array:
        """Begin an episode."""
        observation, _ = self._env.reset(seed=self._seed)
        self._seed = None
        return np.asarray(observation, self.dtype)

    def step(self, action: int) -> Step:
        """Take an action."""
        observation, reward, terminated, truncated, _ = self._env.step(self._first_action + action)
        return Step(np.asarray(observation, self.dtype), float(reward), bool(terminated), bool(truncated))

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def _make(gymnasium: ModuleType, env_id: str) -> Any:
    try:
        return gymnasium.make(env_id)
    except gymnasium.error.Error as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{env_id} cannot be made: {reason}") from error
