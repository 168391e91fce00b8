"""Where the numbers are: a gradient step asks its device for no value and never waits for one that is on its way.

There need be no GPU for that. Tensors on PyTorch's device "meta" have no values, so that reading one is an error; and
every copy from the host can be seen: one that is not asynchronous would make the host wait for a GPU.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dormancy.errors import UsageError
from dormancy_agents.algorithms.dqn import agent as dqn
from dormancy_agents.algorithms.dqn.agent import DQN
from dormancy_agents.algorithms.drq.agent import DrQ
from dormancy_agents.algorithms.drq.config import DrQConfig
from dormancy_agents.algorithms.gradient_step import GradientStep
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.algorithms.sac import agent as sac
from dormancy_agents.algorithms.sac.agent import SAC
from dormancy_agents.algorithms.sac.config import SACConfig
from dormancy_agents.replay.buffer import Replay
from dormancy_agents.training.running_means import WindowMeans
from dormancy_agents.training.setup import prepare_device

SMALL = {"hidden": (16,), "width": 0.1, "batch_size": 4, "warmup_agent_steps": 50, "threads": 1, "replay_capacity": 500}


class Watch(TorchDispatchMode):
    """Lists what brings host and device together, but asynchronous copies and single numbers, which are arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.copies = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        result = function(*arguments, **keywords)
        read = [leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, Tensor)]
        written = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        host = [leaf for leaf in read if leaf.device.type == "cpu" and leaf.dim() > 0]
        if host and any(leaf.device.type == "meta" for leaf in [*read, *written]):
            self.copies += 1
            if not keywords.get("non_blocking"):
                self.waits.append(f"{function} of {[tuple(leaf.shape) for leaf in host]}")
        return result


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Let agents be made on the device "meta": its Adam is not fused, and there is no memory to pin for it."""

    def plain_adam(config: object, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1)

    for module in (dqn, sac):
        monkeypatch.setattr(module, "prepare_device", lambda config: None)
        monkeypatch.setattr(module, "adam", plain_adam)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    return Watch()


def far_dqn(**settings: object) -> DQN:
    """Return a DQN on the device "meta" that has seen 60 steps of Breakout."""
    return fed(DQN(dqn_config("ALE/Breakout-v5", {**SMALL, **settings, "device": "meta"})))


def far_drq() -> DQN:
    """Return a DrQ on the device "meta" that has seen 60 steps of Breakout."""
    return fed(DrQ(DrQConfig("ALE/Breakout-v5", **{**SMALL, "device": "meta"})))  # type: ignore[arg-type]


def fed(agent: DQN) -> DQN:
    """Let an agent see 60 steps of its game."""
    agent.replay.begin(agent.env.reset())
    for _ in range(60):
        step = agent.env.step(1)
        agent.replay.add(1, step.reward, step.terminated, step.truncated, step.observation)
        if step.terminated or step.truncated:
            agent.replay.begin(agent.env.reset())
    agent.env.close()
    return agent


def far_sac() -> SAC:
    """Return a SAC on the device "meta" that has seen 60 steps of a pendulum."""
    config = SACConfig("Pendulum-v1", hidden=(16, 16), batch_size=8, replay_capacity=500, device="meta")
    agent, action = SAC(config), np.zeros(1, np.float32)
    agent.replay.begin(agent.env.reset())
    for _ in range(60):
        step = agent.env.step(action)
        agent.replay.add(action, step.reward, step.terminated, step.truncated, step.observation)
    agent.env.close()
    return agent


def learns_without_waiting(agent: DQN | SAC, watch: Watch, kind: str) -> None:
    optimizers = list(agent.optimizers.values())
    agent._take_gradient_step = GradientStep(agent._update, optimizers, kind)  # type: ignore[assignment, arg-type]
    sums = WindowMeans("meta")
    with watch:
        for _ in range(3):
            sums.add(agent.learn())
        agent.update_target()
    assert watch.waits == []
    assert watch.copies > 0
    assert {parameter.device.type for parameter in agent.online.parameters()} == {"meta"}


@pytest.mark.parametrize("kind", ["none", "rehearsed"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"double": True, "dueling": True, "n_step": 3},
        {"arch": "impala"},
        {"norm": "layer", "activation": "crelu"},
        {"targets": "random-network"},
    ],
    ids=["plain", "double-dueling", "impala", "crelu", "fixed"],
)
def test_dqn_learns_without_waiting(watch: Watch, settings: dict[str, object], kind: str) -> None:
    learns_without_waiting(far_dqn(**settings), watch, kind)


def test_random_values_are_sent_without_waiting(watch: Watch) -> None:
    learns_without_waiting(far_dqn(targets="random-values"), watch, "none")


@pytest.mark.parametrize("kind", ["none", "rehearsed"])
def test_drq_learns_without_waiting(watch: Watch, kind: str) -> None:
    learns_without_waiting(far_drq(), watch, kind)


@pytest.mark.parametrize("kind", ["none", "rehearsed"])
def test_sac_learns_without_waiting(watch: Watch, kind: str) -> None:
    learns_without_waiting(far_sac(), watch, kind)


def test_storing_a_frame_waits_for_nothing(watch: Watch) -> None:
    replay = Replay(10, (84, 84), np.dtype(np.uint8), 4, "meta")
    stack = np.zeros((4, 84, 84), np.uint8)
    with watch:
        replay.begin(stack)
        replay.add(0, 0.0, False, False, stack)
    assert watch.copies == 2
    assert watch.waits == []


def test_choosing_an_action_is_what_reads_a_value(watch: Watch) -> None:
    agent = far_dqn(epsilon_final=0.0)
    agent.agent_step = 10**9
    with watch, pytest.raises(RuntimeError, match="item"):
        agent.act(np.zeros((4, 84, 84), np.uint8))
    assert watch.waits == []


def test_a_copy_that_waits_is_seen(watch: Watch) -> None:
    with watch:
        torch.zeros(3).to("meta")
        torch.empty(3, device="meta").copy_(torch.zeros(3))
        torch.zeros(3).to("meta", non_blocking=True)
    assert (len(watch.waits), watch.copies) == (2, 3)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let PyTorch believe in two GPUs; lists which one is made the current one."""
    chosen: list[int] = []

    def set_device(device: Any) -> None:
        chosen.append(torch.cuda._utils._get_device_index(device))

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    return chosen


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_gpu_is_named_with_or_without_its_number(two_gpus: list[int], device: str, index: int) -> None:
    prepare_device(dqn_config("CartPole-v1", {"device": device}))
    assert two_gpus == [index]
    assert torch.backends.cudnn.deterministic


def test_a_gpu_that_is_not_there_is_told(two_gpus: list[int]) -> None:
    with pytest.raises(UsageError, match=r"no device 'cuda:2'.*sees 2 GPUs"):
        prepare_device(dqn_config("CartPole-v1", {"device": "cuda:2"}))
    assert two_gpus == []
