"""Our observations of Atari against Gymnasium's own wrappers: what they skip, pool, shrink and stack, frame by frame.

Gymnasium shrinks frames with OpenCV, which is not among our packages. In its place stands the definition of what it is
asked for (INTER_AREA): each pixel of the small picture is the mean of the area that it covers in the large one. Our
frames are shrunk by OpenCV within ale-py, so this compares that with its definition as well.
"""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs.make import make_environment


def area_weights(small: int, large: int) -> np.ndarray:
    """Return which share of each large pixel lies in each small one, (small, large), rows adding up to 1."""
    edges = np.arange(small + 1) * large / small
    pixels = np.arange(large)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlap, 0) / (large / small)


def shrunk(image: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """Stand in for ``cv2.resize`` with INTER_AREA; `size` is width, height."""
    assert interpolation == AREA
    rows, columns = area_weights(size[1], image.shape[0]), area_weights(size[0], image.shape[1])
    return np.rint(rows @ image.astype(np.float64) @ columns.T).astype(np.uint8)


AREA = 3


@pytest.fixture
def opencv(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("cv2")
    module.resize, module.INTER_AREA = shrunk, AREA  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv2", module)
    return


def wrapped(env_id: str, **options: Any) -> gymnasium.Env[Any, Any]:
    gymnasium.register_envs(ale_py)
    game = gymnasium.make(env_id, frameskip=1, repeat_action_probability=0.0)
    small = AtariPreprocessing(game, noop_max=0, frame_skip=4, screen_size=84, **options)
    return FrameStackObservation(small, 4, padding_type="zero")


@pytest.mark.parametrize("game", ["Breakout", "SpaceInvaders", "MsPacman"])
def test_stacks_equal_those_of_gymnasium(game: str, opencv: None) -> None:
    """Rewards, ends and stacks over some games, no sticky actions; frames may differ by one grey level of rounding."""
    env_id = f"ALE/{game}-v5"
    theirs = wrapped(env_id)
    ours = make_environment(dqn_config(env_id, {"sticky_action_probability": 0.0}), seed=0)
    assert ours.actions == theirs.action_space.n  # type: ignore[attr-defined]
    rng, ended, unequal, steps = np.random.default_rng(0), 0, 0, 500
    now, expected = ours.reset(), theirs.reset(seed=0)[0]
    for _ in range(steps):
        assert np.abs(now.astype(int) - expected).max() <= 1
        unequal += int((now != expected).sum())
        action = int(rng.integers(ours.actions))
        step = ours.step(action)
        expected, reward, terminated, truncated, _ = theirs.step(action)
        assert (step.reward, step.terminated, step.truncated) == (float(reward), terminated, truncated)
        now = step.observation
        if terminated:
            ended += 1
            now, expected = ours.reset(), theirs.reset()[0]
    theirs.close()
    ours.close()
    assert unequal < 2e-3 * steps * now.size
    assert ended or game != "Breakout"  # five balls last less than 500 steps
