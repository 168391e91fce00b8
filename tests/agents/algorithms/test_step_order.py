"""What happens within an agent step, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dormancy_agents.algorithms.registry import ALGORITHMS, train_function
from dormancy_agents.config import Layer, resolve
from dormancy_agents.envs import RecordedEnvironment
from dormancy_agents.replay.buffer import Replay

WARMUP, STEPS = 40, 60
CASES = {
    "dqn": ("CartPole-v1", {"hidden": (8,), "replay_ratio": 0.5}),
    "drq": ("ALE/Pong-v5", {"width": 0.05, "hidden": (8,), "n_step": 3}),
    "sac": ("Pendulum-v1", {"hidden": (8,), "replay_ratio": 2.0}),
}


@pytest.mark.parametrize("algorithm", CASES)
def test_gradient_steps_begin_before_the_environment_steps_and_no_action_waits_for_more_of_them(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_id, given = CASES[algorithm]
    events: list[str] = []

    def noted(owner: type, method: str, word: str) -> None:
        original = getattr(owner, method)

        def call(*arguments: Any, **options: Any) -> Any:
            events.append(word)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, method, call)

    noted(RecordedEnvironment, "step", "step")
    noted(Replay, "add", "store")
    noted(Replay, "batch", "learn")
    more = {"agent_steps": STEPS, "warmup_agent_steps": WARMUP, "threads": 1, "sample_size": 16, "batch_size": 4}
    config = resolve(ALGORITHMS[algorithm], env_id, [Layer("given", {**more, **given})]).config
    train_function(ALGORITHMS[algorithm])(config, tmp_path / "run", progress=False, resume=False)

    expected = []
    for step in range(1, STEPS + 1):
        due, before = (int(max(0, each - WARMUP) * config.replay_ratio) for each in (step, step - 1))
        expected += ["learn"] * (due - before) + ["step", "store"]
    assert events == expected
