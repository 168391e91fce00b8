"""Stable-Baselines3: a callback that watches the networks of an agent while it learns.

What of an agent is watched, and on which observations, is decided by the functions here, which need no
Stable-Baselines3; `sb3_callback` puts them into one of its callbacks. Written against versions 2.4 to 2.9.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dormancy.errors import NetworkError, OutputError, UsageError
from dormancy.io.files import why_unwritable
from dormancy.scanning.monitor import Monitor, reason_of, scalars
from dormancy.scanning.scanner import scan
from dormancy.scanning.series import DormancySeries
from dormancy.text.escape import printable

__all__ = ["AgentMonitor", "gradient_steps_of", "networks_of", "observations_of", "sb3_callback"]

Array: TypeAlias = "NDArray[Any]"
NETWORKS = ("q", "quantile", "actor", "critic", "policy")
WATCHED = (
    "A2C, DDPG, DQN, PPO, SAC and TD3 of stable-baselines3 and CrossQ, MaskablePPO, QRDQN, TQC and TRPO of "
    "sb3-contrib, on observations in one array"
)


def sb3_callback(
    every: int = 1000, tau: float | tuple[float, ...] = 0.1, *, rows: int = 256, seed: int = 0, **options: Any
) -> Any:
    """Make a callback for ``model.learn(callback=...)`` that scans every `every` environment steps.

    It watches the Q network (DQN, QRDQN), the actor and the critic (SAC, TD3, DDPG, TQC, CrossQ), or the whole policy
    (PPO, A2C, TRPO, MaskablePPO), on `rows` observations drawn from the replay or rollout buffer by a random generator
    of its own, so that the training is the same with and without it. Dormant shares go to the logger of
    Stable-Baselines3 under ``dormancy/``; the callback's `monitor.series` holds a `DormancySeries` by network.
    `options` are those of `AgentMonitor`.

    ``learn`` raises `UsageError` before its first step for an agent that cannot be watched (RecurrentPPO, ARS). A later
    failure warns once and stops the watching; with ``strict=True`` it raises.

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

        def _on_training_start(self) -> None:
            self.monitor.check(self.model)

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

    After `check` or one scan has worked, a failure warns once (`UserWarning`), `stopped` holds the reason, and nothing
    is scanned any more; with `strict` it raises.

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
        strict: bool = False,
    ) -> None:
        if every < 1 or rows < 1:
            raise UsageError(f"every and rows must be 1 or more, not {every} and {rows}")
        self.every = every
        self.rows = rows
        self.monitors: dict[str, Monitor] = {}
        self.strict = strict
        self.stopped: str | None = None
        self._checked = False
        self._options: dict[str, Any] = {"tau": tau, "metrics": metrics, "layers": layers}
        self._folder = None if folder is None else _new_files_in(Path(folder))
        self._rng = np.random.default_rng(seed)
        self._next = every

    @property
    def series(self) -> dict[str, DormancySeries]:
        """What was found, by network."""
        return {name: monitor.series for name, monitor in self.monitors.items()}

    def check(self, agent: Any) -> None:
        """Scan every network of `agent` on two rows of zeros and keep nothing; call it before the training.

        Raises `UsageError` for an agent that cannot be watched, with the reason and the algorithms that can.
        """
        try:
            buffer = _buffer_of(agent)
            zeros = {"observations": buffer.observations, "actions": buffer.actions}
            rows = _inputs_of(agent, *(np.zeros((2, *each.shape[2:]), each.dtype) for each in zeros.values()))
            for name, network in networks_of(agent).items():
                scan(network, rows[name], **self._options)
        except Exception as error:
            kind = type(agent).__name__
            raise UsageError(f"{kind} cannot be watched: {reason_of(error)}. The callback watches {WATCHED}") from error
        self._checked = True

    def step(self, agent: Any, environment_steps: int) -> dict[str, float]:
        """Scan `agent` when it is time and return the curves by name; empty when it is not, or nothing was seen yet.

        Raises what `dormancy.scan` raises until `check` or a scan has worked, and always with `strict`.
        """
        if environment_steps < self._next or self.stopped is not None:
            return {}
        try:
            observations = observations_of(agent, self.rows, self._rng)
            if observations is None:
                return {}
            self._next = (environment_steps // self.every + 1) * self.every
            curves = self._scan(agent, observations, environment_steps)
        except Exception as error:
            if self.strict or not self._checked:
                raise
            self.stopped = reason_of(error)
            warnings.warn(
                f"dormancy is not watched any more from environment step {environment_steps} on, the training "
                f"continues: {self.stopped} (strict=True raises instead)",
                stacklevel=2,
            )
            return {}
        self._checked = True
        return curves

    def _scan(self, agent: Any, observations: Mapping[str, Any], environment_steps: int) -> dict[str, float]:
        curves: dict[str, float] = {}
        for name, network in networks_of(agent).items():
            if name not in self.monitors:
                self.monitors[name] = self._monitor(name, network)
            updates = gradient_steps_of(agent)
            found = self.monitors[name].scan(observations[name], gradient_step=updates, agent_step=environment_steps)
            curves |= {f"{name}/{tag}": value for tag, value in scalars(found)} if found else {}
        return curves

    def _monitor(self, name: str, network: nn.Module) -> Monitor:
        lines = None if self._folder is None else self._folder / f"{name}.jsonl"
        return Monitor(
            network, name=name, jsonl=lines, strict=True, **self._options
        )  # `step` decides what a failure does


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
    buffer = _buffer_of(agent)
    # A rollout buffer is filled after the callback was called, so the callback never sees its last row.
    capacity = (buffer.buffer_size - 1) * buffer.n_envs
    available = buffer.size() * buffer.n_envs
    count = max(1, min(rows, capacity))
    if available < count:
        return None
    chosen = np.sort(rng.choice(available, size=count, replace=False))
    step, env = np.divmod(chosen, buffer.n_envs)
    return _inputs_of(agent, buffer.observations[step, env], buffer.actions[step, env])


def _buffer_of(agent: Any) -> Any:
    """Return the buffer that the agent learns from; raise `NetworkError` where none has observations in one array."""
    buffer = agent.replay_buffer if _is_off_policy(agent) else getattr(agent, "rollout_buffer", None)
    if buffer is None:
        raise NetworkError("it keeps no observations in a replay or rollout buffer")
    if isinstance(buffer.observations, Mapping):
        raise NetworkError(
            "observations in several parts are not watched by this callback; use dormancy.Monitor on the network itself"
        )
    return buffer


def _inputs_of(agent: Any, observations: Array, actions: Array) -> dict[str, Any]:
    """Return what each network of `networks_of` reads, for observations and actions of shape (rows, ...)."""
    normalizer = agent.get_vec_normalize_env()
    if _is_off_policy(agent) and normalizer is not None:  # a replay buffer keeps what the environment said
        observations = normalizer.normalize_obs(observations)
    inputs: dict[str, Any] = dict.fromkeys(NETWORKS, observations)
    critic = networks_of(agent).get("critic")
    names = ("obs", "actions") if critic is None else inspect.signature(critic.forward).parameters  # TQC: obs, action
    inputs["critic"] = dict(zip(names, (observations, actions), strict=False))
    return inputs
