"""Episode returns of a network before and after pruning, on the same episodes as far as they stay the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from dormancy.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from dormancy.pruning import Policy
    from dormancy.stats import Interval
    from dormancy_agents.algorithms.dqn.config import DQNConfig
    from dormancy_agents.envs import ContinuousEnvironment, Step

__all__ = ["EPSILON", "Returns", "environment_config", "play", "play_both"]

EPSILON = 0.001
"""The share of random actions in evaluation (Sokar et al. 2023, appendix A)."""
FROM_RUN = ("frame_skip", "frame_stack", "sticky_action_probability", "max_episode_agent_steps")


@final
@dataclass(frozen=True)
class Returns:
    """Undiscounted, unclipped returns, one an episode; episode i of both networks began in the same way."""

    env_id: str
    epsilon: float
    seed: int
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def intervals(self) -> dict[str, Interval]:
        """The means with their 95 % bootstrap intervals over episodes: before, after, and of the paired difference."""
        import numpy as np

        from dormancy.stats import stratified_bootstrap

        before, after = np.array(self.before), np.array(self.after)
        columns = {"before": before, "after": after, "difference": after - before}

        def mean(values: Any) -> float:
            return float(np.mean(values))

        return {name: stratified_bootstrap([values], mean, seed=self.seed) for name, values in columns.items()}

    def to_dict(self) -> dict[str, Any]:
        """Describe them in JSON-able form."""
        return {
            "env_id": self.env_id,
            "episodes": len(self.before),
            "epsilon": self.epsilon,
            "seed": self.seed,
            "returns": {"before": list(self.before), "after": list(self.after)},
            **{name: interval._asdict() for name, interval in self.intervals.items()},
        }


def environment_config(checkpoint: Path, env_id: str) -> DQNConfig:
    """Say how the environment is set up: as the run of the checkpoint says, or as in the paper."""
    from dormancy_agents.algorithms.registry import dqn_config

    recorded = _recorded(checkpoint.absolute().parent.parent / "run.json")
    same = recorded.get("env_id") == env_id
    return dqn_config(env_id, {name: recorded[name] for name in FROM_RUN if same and name in recorded})


def _recorded(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        config = found.get("config") if isinstance(found, dict) else None
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def play_both(
    before: nn.Module,
    after: nn.Module,
    policy: Policy,
    config: DQNConfig,
    episodes: Iterable[int],
    *,
    epsilon: float = EPSILON,
    seed: int = 0,
) -> Returns:
    """Play the numbered episodes with both networks, as `policy` says but for a share `epsilon` of random actions.

    Episode i has an environment and random actions of its own seed, the same for both networks: networks that agree
    on every action get the same return. Raises `UsageError` when the environment is unknown or of another kind, and
    `InputError` when the network does not play it.
    """
    both = (before, after)
    returns = [
        [play(model, policy, config, number, epsilon=epsilon, seed=seed) for model in both] for number in episodes
    ]
    return Returns(config.env_id, epsilon, seed, tuple(one for one, _ in returns), tuple(other for _, other in returns))


def play(
    model: nn.Module, policy: Policy, config: DQNConfig, number: int, *, epsilon: float = EPSILON, seed: int = 0
) -> float:
    """Play one episode and return the sum of its rewards; raises what `play_both` raises."""
    import numpy as np
    import torch

    chance = np.random.default_rng([seed, number])
    begin = int(chance.integers(2**31))
    with torch.inference_mode():
        if policy.choice == "largest":
            return _discrete(model, policy, config, begin, epsilon, chance)
        return _continuous(model, policy, config, begin, epsilon, chance)


def _discrete(
    model: nn.Module, policy: Policy, config: DQNConfig, begin: int, epsilon: float, chance: np.random.Generator
) -> float:
    from dormancy_agents.envs.make import make_environment

    with closing(make_environment(config, begin)) as env:
        observation, total = env.reset(), 0.0
        while True:
            explores = chance.random() < epsilon
            values = None if explores else _output(model, policy, observation, env.actions, env.env_id)
            step = env.step(int(chance.integers(env.actions)) if values is None else int(values.argmax()))
            total += step.reward
            if step.terminated or step.truncated:
                return total
            observation = step.observation


def _continuous(
    model: nn.Module, policy: Policy, config: DQNConfig, begin: int, epsilon: float, chance: np.random.Generator
) -> float:
    from dormancy_agents.envs.make import make_continuous

    with closing(make_continuous(config.env_id, begin)) as env:
        observation, total = env.reset(), 0.0
        while True:
            if chance.random() < epsilon:
                step = env.step(chance.uniform(-1.0, 1.0, env.actions))
            else:
                step = _acted(model, policy, observation, env)
            total += step.reward
            if step.terminated or step.truncated:
                return total
            observation = step.observation


def _acted(model: nn.Module, policy: Policy, observation: Any, env: ContinuousEnvironment) -> Step:
    """Take the action that the network outputs."""
    given = _output(model, policy, observation, env.actions, env.env_id)
    if policy.choice == "plain":
        return env.take(given.numpy())
    return env.step((given.tanh() if policy.choice == "squashed" else given).numpy())


def _output(model: nn.Module, policy: Policy, observation: Any, size: int, env_id: str) -> Tensor:
    """Return the numbers that choose the action, shape (size,), on the CPU."""
    import torch

    from dormancy.graph import call_model

    found = call_model(model, torch.from_numpy(observation).unsqueeze(0).to(next(model.parameters())))
    chosen = found[policy.output] if isinstance(found, tuple) else found
    if not isinstance(chosen, torch.Tensor) or chosen.shape != (1, size):
        shape = tuple(chosen.shape) if isinstance(chosen, torch.Tensor) else type(chosen).__name__
        raise InputError(
            f"the network gives {shape} for one observation, but {env_id} needs {(1, size)}; name the environment it "
            "was trained on with --env"
        )
    return chosen[0].cpu()
