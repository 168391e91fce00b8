"""What is decided once, before the first step: device and threads, the network, what ``run.json`` says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from math import prod
from typing import Any

import torch
from torch import Tensor

from dormancy._version import versions
from dormancy.errors import UsageError
from dormancy.networks import NetworkSpec
from dormancy_agents.config import CommonConfig, DiscreteConfig
from dormancy_agents.envs import Environment
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.replay.pixel_layout import keep_freed_memory

__all__ = [
    "adam",
    "autocast",
    "describe",
    "empty_replay",
    "graph_kind",
    "known_device",
    "network_spec",
    "prepare_device",
]

PIXEL_SCALE = 1 / 255


def known_device(name: str) -> torch.device:
    """Return the device of this name; raise `UsageError` for what nobody trains on. It may be missing here."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"device must be cpu, cuda or cuda:N, not {name!r}")
    return torch.device(name)


def prepare_device(config: CommonConfig) -> None:
    """Set the number of threads and keep freed memory; raise `UsageError` when there is no such device here."""
    device = known_device(config.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UsageError(f"no device {config.device!r}: torch {torch.__version__} sees {found} GPUs; use --device cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)  # streams and graphs are made on the current one
        torch.backends.cudnn.deterministic = True  # a run is to be repeated bit for bit
    keep_freed_memory()
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.precision == "tf32"


def autocast(config: CommonConfig) -> AbstractContextManager[None]:
    """Return the context of forward passes: with precision bf16, products are computed in bfloat16."""
    if config.precision != "bf16":
        return nullcontext()  # an autocast that is off costs as much as a small product
    found: AbstractContextManager[None] = torch.autocast(torch.device(config.device).type, torch.bfloat16)
    return found


def adam(config: CommonConfig, parameters: Iterable[Tensor]) -> torch.optim.Adam:
    """Return the fused Adam of a configuration; weight decay is L2, added to the gradient before Adam."""
    return torch.optim.Adam(
        parameters,
        lr=config.learning_rate,
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=True,
        capturable=graph_kind(config) == "cuda",
    )


def graph_kind(config: CommonConfig) -> str:
    """Say how `GradientStep` works on this device: as a recorded graph on a GPU, unless the configuration says no."""
    return "cuda" if torch.device(config.device).type == "cuda" and config.cuda_graph else "none"


def empty_replay(config: CommonConfig, env: Environment) -> Replay:
    """Return the replay of a run. One of T agent steps sees at most 2 T observations: it needs no larger ring."""
    rows = min(config.replay_capacity, 2 * config.agent_steps + config.n_step + 1)
    shape = env.action_shape
    return Replay(rows, env.frame_shape, env.dtype, env.frame_stack, config.device, action_shape=shape)


def network_spec(config: DiscreteConfig, env: Environment) -> NetworkSpec:
    """Say which network a run trains: its architecture and every option that shapes it.

    Raises `UsageError` where the architecture does not take the observations of the environment.
    """
    common: dict[str, Any] = {"outputs": env.actions, "width": config.width, "activation": config.activation}
    if config.norm != "none":
        common["norm"] = config.norm
    if config.arch == "mlp":
        return NetworkSpec("mlp", {"inputs": _vector_size(env), "hidden": list(config.hidden), **common})
    common |= {"hidden": config.hidden[0], "dueling": config.dueling}
    if config.arch == "minatar":
        return NetworkSpec("minatar", {**common, "observation_shape": list(_board_shape(env))})
    if env.frame_stack is None:
        raise UsageError(
            f"the {config.arch} network takes frames, which {env.env_id} does not show: {_fitting(config, env)}"
        )
    common |= {"observation_shape": [env.frame_stack, *env.frame_shape], "input_scale": PIXEL_SCALE}
    return NetworkSpec(config.arch, common | ({"padding": config.padding} if config.arch == "nature" else {}))


def _fitting(config: DiscreteConfig, env: Environment) -> str:
    if config.algorithm == "drq":
        return "drq augments frames; use `dormancy train dqn`"
    return "give --set arch=minatar" if len(env.frame_shape) == 3 else "give --set arch=mlp"


def _vector_size(env: Environment) -> int:
    if env.frame_stack is not None:
        raise UsageError(f"the mlp takes vectors, not the frames of {env.env_id}: give --set arch=nature")
    return prod(env.frame_shape)


def _board_shape(env: Environment) -> tuple[int, ...]:
    if env.frame_stack is not None or len(env.frame_shape) != 3:
        raise UsageError(f"the minatar network takes the boards of MinAtar, not what {env.env_id} shows")
    return env.frame_shape


def describe(config: CommonConfig, env: Environment, network: NetworkSpec) -> dict[str, Any]:
    """Return what ``run.json`` says of a run, JSON-able."""
    return {
        "algorithm": config.algorithm,
        "config": asdict(config),
        "environment": {
            "env_id": env.env_id,
            "actions": env.actions,
            "frame_shape": list(env.frame_shape),
            "frame_stack": env.frame_stack,
            "dtype": env.dtype.name,
        },
        "network": {"arch": network.arch, "options": dict(network.options)},
        "threads": torch.get_num_threads(),
        "versions": versions("gymnasium", "ale_py"),
    }
