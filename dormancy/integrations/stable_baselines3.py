"""Stable-Baselines3: a callback that watches the networks of an agent while it learns.

What of an agent is watched, and on which observations, is decided by the functions here, which need no
Stable-Baselines3; `sb3_callback` puts them into one of its callbacks. Written against versions 2.4 to 2.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dormancy.errors import NetworkError, OutputError, UsageError
from dormancy.io.files import why_unwritable
from dormancy.scanning.monitor import Monitor, scalars
from dormancy.scanning.series import DormancySeries
from dormancy.text.escape import printable

__all__ = ["AgentMonitor", "gradient_steps_of", "networks_of", "observations_of", "sb3_callback"]

Array: TypeAlias = "NDArray[Any]"
NETWORKS = ("q", "quantile", "actor", "critic", "policy")


def sb3_callback(
    every: int = 1000, tau: float | tuple[float, ...] = 0.1, *, rows: int = 256, seed: int = 0, **options: Any
) -> Any:
    """Make a callback for ``model.learn(callback=...)`` that scans every `every` environment steps.

    It watches the Q network (DQN, QR-DQN), the actor and the critic (SAC, TD3), or the whole policy (PPO, A2C), on
    `rows` observations drawn from the replay or rollout buffer by a random generator of its own, so that the training
    is the same with and without it. Dormant shares go to the logger of Stable-Baselines3 under ``dormancy/``; the
    callback's `monitor.series` holds a `DormancySeries` by network. `options` are those of `AgentMonitor`.

    Raises `UsageError` when Stable-Baselines3 is not installed.
    """
    try:
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError as error:
        raise UsageError("stable-baselines3 is not installed: pip install 'dormancy[sb3]'") from error

    class DormancyCallback(BaseCallback):  # type: ignore[misc]
        """Calls the monitor once an environment step; see `sb3_callback`."""

        def __init__(self) -> None:
            super().__init__()
            self.monitor = AgentMonitor(every, tau, rows=rows, seed=seed, **options)

        def _on_step(self) -> bool:
            for tag, value in self.monitor.step(self.model, self.num_timesteps).items():
                self.logger.record(f"dormancy/{tag}", value)
            return True

    return DormancyCallback()


@final
class AgentMonitor:
    """Watches every network of an agent of Stable-Baselines3, one `Monitor` each, from the agent's first step on.

    `every` counts environment steps over all parallel environments, as the ``num_timesteps`` of the library does; a
    scan is taken at the first opportunity at or after each multiple of it. While the buffer holds too few observations
    nothing is scanned. `folder` gets one file of JSON lines a network, ``<network>.jsonl``.

    Raises `UsageError` for what cannot be, and `OutputError` when the folder holds such files already.
    """

    def __init__(
        self,
        every: int = 1000,
        tau: float | tuple[float, ...] = 0.1,
        *,
        rows: int = 256,
        seed: int = 0,
        metrics: tuple[str, ...] | None = None,
        layers: str | None = None,
        folder: Path | str | None = None,
    ) -> None:
        if every < 1 or rows < 1:
            raise UsageError(f"every and rows must be 1 or more, not {every} and {rows}")
        self.every = every
        self.rows = rows
        self.monitors: dict[str, Monitor] = {}
        self._options: dict[str, Any] = {"tau": tau, "metrics": metrics, "layers": layers}
        self._folder = None if folder is None else _new_files_in(Path(folder))
        self._rng = np.random.default_rng(seed)
        self._next = every

    @property
    def series(self) -> dict[str, DormancySeries]:
        """What was found, by network."""
        return {name: monitor.series for name, monitor in self.monitors.items()}

    def step(self, agent: Any, environment_steps: int) -> dict[str, float]:
        """Scan `agent` when it is time and return the curves by name; empty when it is not, or nothing was seen yet."""
        if environment_steps < self._next:
            return {}
        observations = observations_of(agent, self.rows, self._rng)
        if observations is None:
            return {}
        self._next = (environment_steps // self.every + 1) * self.every
        return self._scan(agent, observations, environment_steps)

    def _scan(self, agent: Any, observations: Mapping[str, Any], environment_steps: int) -> dict[str, float]:
        curves: dict[str, float] = {}
        for name, network in networks_of(agent).items():
            if name not in self.monitors:
                self.monitors[name] = self._monitor(name, network)
            updates = gradient_steps_of(agent)
            found = self.monitors[name].scan(observations[name], gradient_step=updates, agent_step=environment_steps)
            curves |= {f"{name}/{tag}": value for tag, value in scalars(found)}
        return curves

    def _monitor(self, name: str, network: nn.Module) -> Monitor:
        lines = None if self._folder is None else self._folder / f"{name}.jsonl"
        return Monitor(network, name=name, jsonl=lines, **self._options)


def _new_files_in(folder: Path) -> Path:
    """Make the folder where it is missing; what is wrong with it is told now and not after hours of training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(why_unwritable(folder, error)) from error
    for name in NETWORKS:
        if (folder / f"{name}.jsonl").exists():
            raise OutputError(f"{printable(folder)}: already holds {name}.jsonl of another run; name a new folder")
    return folder


def networks_of(agent: Any) -> dict[str, nn.Module]:
    """Return what is worth watching: ``q``, ``quantile``, ``actor`` and ``critic``, or else the whole ``policy``."""
    policy = agent.policy
    for attribute, name in (("q_net", "q"), ("quantile_net", "quantile")):
        if isinstance(getattr(policy, attribute, None), nn.Module):
            return {name: getattr(policy, attribute)}
    if isinstance(getattr(policy, "critic", None), nn.Module):
        return {"actor": policy.actor, "critic": policy.critic}
    return {"policy": policy}


def gradient_steps_of(agent: Any) -> int | None:
    """Return the gradient steps that an off-policy agent took; None for the others, which count epochs instead."""
    return int(agent._n_updates) if _is_off_policy(agent) else None


def _is_off_policy(agent: Any) -> bool:
    return getattr(agent, "replay_buffer", None) is not None


def observations_of(agent: Any, rows: int, rng: np.random.Generator) -> dict[str, Any] | None:
    """Draw `rows` observations for each network of `networks_of` from the agent's buffer, without replacement.

    They are those that the networks are trained on: normalised where the agent normalises them. A critic gets the
    actions that were taken, too. None while the buffer holds fewer, unless it can never hold that many.
    """
    buffer = agent.replay_buffer if _is_off_policy(agent) else agent.rollout_buffer
    if isinstance(buffer.observations, Mapping):
        raise NetworkError(
            "observations in several parts are not watched by this callback; use dormancy.Monitor on the network itself"
        )
    # A rollout buffer is filled after the callback was called, so the callback never sees its last row.
    capacity = (buffer.buffer_size - 1) * buffer.n_envs
    available = buffer.size() * buffer.n_envs
    count = max(1, min(rows, capacity))
    if available < count:
        return None
    chosen = np.sort(rng.choice(available, size=count, replace=False))
    return _rows_of(agent, buffer, chosen)


def _rows_of(agent: Any, buffer: Any, chosen: Array) -> dict[str, Any]:
    step, env = np.divmod(chosen, buffer.n_envs)
    observations = buffer.observations[step, env]
    normalizer = agent.get_vec_normalize_env()
    if _is_off_policy(agent) and normalizer is not None:  # a replay buffer keeps what the environment said
        observations = normalizer.normalize_obs(observations)
    pair = {"obs": observations, "actions": buffer.actions[step, env]}
    return {"q": observations, "quantile": observations, "actor": observations, "critic": pair, "policy": observations}
