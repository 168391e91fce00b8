"""The five games of MinAtar (Young & Tian 2019): boards of 10 x 10 cells, one plane for each kind of thing."""

from __future__ import annotations

from types import ModuleType
from typing import final

import numpy as np

from dormancy.errors import UsageError
from dormancy.registry import nearest
from dormancy_agents.config import DiscreteConfig
from dormancy_agents.envs.base import Array, Step

__all__ = ["MINATAR_GAMES", "MinAtarEnvironment", "is_minatar"]

MINATAR_GAMES = {
    f"MinAtar/{name.title().replace('_', '')}-v1": name
    for name in ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
}
"""The games by the names under which gymnasium knows them; version 1 has the actions that do something only."""


def is_minatar(env_id: str) -> bool:
    """Return whether `env_id` means a MinAtar game, known or not."""
    return env_id.lower().startswith("minatar")


@final
class MinAtarEnvironment:
    """A MinAtar game. Observations are boards (kinds of things, 10, 10), ``uint8`` of 0 and 1; one frame a step.

    Made from the package's own class: what it registers with gymnasium leaves sticky actions to a keyword that
    gymnasium does not show and promises float observations where boards are boolean. An action is repeated with the
    given probability (.1 in the package), difficulty rises as the package has it, and no episode is cut short.
    """

    def __init__(self, config: DiscreteConfig, seed: int) -> None:
        if config.env_id not in MINATAR_GAMES:
            meant = nearest(config.env_id, list(MINATAR_GAMES))
            raise UsageError(f"unknown environment {config.env_id!r}{meant}; known: {', '.join(MINATAR_GAMES)}")
        self.env_id = config.env_id
        self._game = _minatar().Environment(MINATAR_GAMES[config.env_id], config.sticky_action_probability)
        self._seed: int | None = seed
        self._action_set = list(self._game.minimal_action_set())
        self.actions = len(self._action_set)
        self.action_shape: tuple[int, ...] = ()
        height, columns, kinds = self._game.state_shape()
        self.frame_shape: tuple[int, ...] = (kinds, height, columns)
        self.frame_stack: int | None = None
        self.dtype = np.dtype(np.uint8)

    def reset(self, seed: int | None = None) -> Array:
        """Begin an episode."""
        self._game.seed(self._seed if seed is None else seed)  # None: the package goes on with the numbers it has
        self._seed = None
        self._game.reset()
        self._game.last_action = 0  # the package lets a sticky action reach over from the last episode
        return self._board()

    def step(self, action: int) -> Step:
        """Take an action."""
        reward, over = self._game.act(self._action_set[action])
        return Step(self._board(), float(reward), bool(over), False)

    def _board(self) -> Array:
        return np.ascontiguousarray(self._game.state().transpose(2, 0, 1), self.dtype)

    def close(self) -> None:
        """Nothing is open: the games live in Python."""


def _minatar() -> ModuleType:
    try:
        import minatar
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'dormancy[minatar]'") from error
    found: ModuleType = minatar
    return found
