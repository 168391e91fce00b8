"""Agents written and saved as CleanRL's single-file programs do it: modules of a script, saved with torch.save."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from recording import ROWS, Corpus, hooked, silence, silence_odd
from torch import nn

corpus = Corpus("torch", "numpy", "gymnasium")
torch.manual_seed(1)
rng = np.random.default_rng(1)


@dataclass
class Args:
    """The options of a program, as tyro reads them."""

    exp_name: str = "ppo"
    seed: int = 1
    learning_rate: float = 2.5e-4


def layer_init(layer: nn.Linear, std: float = 2**0.5) -> nn.Linear:
    """Initialise as the program does."""
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, 0.0)
    return layer


class PPOAgent(nn.Module):
    """The agent of ppo.py."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            layer_init(nn.Linear(inputs, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 1), 1.0),
        )  # fmt: skip
        self.actor = nn.Sequential(
            layer_init(nn.Linear(inputs, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, actions), 0.01),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        """Return logits and value."""
        return self.actor(x), self.critic(x)


class PPOContinuous(nn.Module):
    """The agent of ppo_continuous_action.py."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            layer_init(nn.Linear(inputs, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 1), 1.0),
        )  # fmt: skip
        self.actor_mean = nn.Sequential(
            layer_init(nn.Linear(inputs, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, actions), 0.01),
        )  # fmt: skip
        self.actor_logstd = nn.Parameter(torch.zeros(1, actions))

    def forward(self, x: Any) -> Any:
        """Return mean and value."""
        return self.actor_mean(x), self.critic(x)


class SoftQ(nn.Module):
    """The critic of sac_continuous_action.py and, with one of it, of ddpg_continuous_action.py."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(inputs + actions, 64), nn.Linear(64, 64), nn.Linear(64, 1)

    def forward(self, x: Any, a: Any) -> Any:
        """Return the value."""
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(torch.cat([x, a], 1))))))


class SACActor(nn.Module):
    """The actor of sac_continuous_action.py."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, 64), nn.Linear(64, 64)
        self.fc_mean, self.fc_logstd = nn.Linear(64, actions), nn.Linear(64, actions)
        self.register_buffer("action_scale", torch.full((actions,), 2.0))
        self.register_buffer("action_bias", torch.zeros(actions))

    def forward(self, x: Any) -> Any:
        """Return mean and log of the deviation."""
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        return self.fc_mean(x), torch.tanh(self.fc_logstd(x))


class QNetwork(nn.Module):
    """The network of dqn.py."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(inputs, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, actions)
        )

    def forward(self, x: Any) -> Any:
        """Return the values."""
        return self.network(x)


class RNDLike(nn.Module):
    """An encoder that two heads read, as in shared-trunk agents."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.pi, self.vf = nn.Linear(64, 2), nn.Linear(64, 1)

    def forward(self, x: Any) -> Any:
        """Return logits and value."""
        z = self.encoder(x)
        return self.pi(z), self.vf(z)


def rows(env_id: str) -> tuple[Any, Any]:
    """Return raw observations and actions of a random policy."""
    env = gym.make(env_id)
    observation, _ = env.reset(seed=1)
    env.action_space.seed(1)
    seen, taken = [], []
    for _ in range(ROWS):
        action = env.action_space.sample()
        seen.append(observation)
        taken.append(action)
        observation, _, ended, cut, _ = env.step(action)
        if ended or cut:
            observation, _ = env.reset()
    return np.stack(seen).astype(np.float32), np.stack(taken)


CART, _ = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
cart, pendulum, torque = map(torch.as_tensor, (CART, PENDULUM, TORQUE))


def sequential(module: nn.Module) -> dict[str, nn.Module]:
    """Return the nonlinearities that are modules."""
    return {name: m for name, m in module.named_modules() if isinstance(m, (nn.ReLU, nn.Tanh))}


def train(module: nn.Module, call: Any) -> torch.optim.Adam:
    """Take a few gradient steps, so that there is a state of an optimizer."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, eps=1e-5)
    for _ in range(20):
        out = call()
        out = out if isinstance(out, tuple) else (out,)
        loss = sum((o**2).mean() for o in out)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return optimizer


def ppo() -> None:
    """PPO's files: the state_dict alone, and the training checkpoints people make of it."""
    agent = PPOAgent(4, 2)
    optimizer = train(agent, lambda: agent(cart))
    silence_odd(agent.actor[0])
    silence_odd(agent.critic[2], 0.25)
    truth = {"agent": hooked(lambda: agent(cart), sequential(agent))}
    sample = {"observations": CART}
    activation = {"agent": ["--activation", "tanh"]}
    saves: dict[str, tuple[str, Any]] = {
        "ppo.cleanrl_model": ("torch.save(agent.state_dict(), path)", agent.state_dict()),
        "ppo_args_dataclass.pt": (
            "torch.save({'model': agent.state_dict(), 'optimizer': ..., 'args': args (dataclass), 'global_step': n}, path)",
            {"model": agent.state_dict(), "optimizer": optimizer.state_dict(), "args": Args(), "global_step": 4000},
        ),
        "ppo_args_namespace.pt": (
            "the same with argparse.Namespace, RNG states, NumPy scalars, Path, dtype, device, time, set",
            {
                "agent": agent.state_dict(),
                "args": argparse.Namespace(seed=1, out=Path("runs"), gamma=0.99),
                "global_step": np.int64(4000),
                "best_return": np.float64(195.0),
                "numpy_rng": np.random.get_state(),
                "generator": np.random.default_rng(1),
                "torch_rng": torch.get_rng_state(),
                "dtype": torch.float32,
                "device": torch.device("cpu"),
                "started": time.struct_time((2025, 1, 1, 0, 0, 0, 0, 0, 0)),
                "tags": {"a", "b"},
                "shape": torch.Size([4]),
                "observation_space": gym.make("CartPole-v1").observation_space,
                "action_space": gym.make("CartPole-v1").action_space,
                "optimizer_object": optimizer,
                "function": F.relu,
            },
        ),
        "ppo_step_4000.pt": (
            "torch.save({'state_dict': ..., 'update': 31}, 'ppo_step_4000.pt')",
            {"state_dict": agent.state_dict(), "update": 31},
        ),
    }
    for file, (how, value) in saves.items():
        torch.save(value, corpus.folder / file)
        corpus.note(file, how, sample, truth, flags=activation)
    for protocol in (3, 4, 5):
        file = f"ppo_protocol{protocol}.pt"
        torch.save({"model": agent.state_dict(), "args": Args()}, corpus.folder / file, pickle_protocol=protocol)
        corpus.note(file, f"torch.save(..., pickle_protocol={protocol})", sample, truth, flags=activation)
    torch.save(agent.state_dict(), corpus.folder / "ppo_legacy.pt", _use_new_zipfile_serialization=False)
    corpus.note("ppo_legacy.pt", "torch.save in the format of torch before 1.6", sample, truth, flags=activation)
    torch.save(agent, corpus.folder / "ppo_module.pt")
    corpus.note("ppo_module.pt", "torch.save(agent, path): the pickled module", sample, truth, flags=activation)
    compiled = {f"_orig_mod.{k}": v for k, v in agent.state_dict().items()}
    torch.save({"model": compiled}, corpus.folder / "ppo_compiled.pt")
    corpus.note("ppo_compiled.pt", "state_dict of torch.compile(agent)", sample, truth, flags=activation)
    ema = torch.optim.swa_utils.AveragedModel(agent)
    torch.save({"model": agent.state_dict(), "ema": ema.state_dict()}, corpus.folder / "ppo_ema.pt")
    corpus.note(
        "ppo_ema.pt", "with an AveragedModel's state_dict (n_averaged, module.)", sample,
        {"model": truth["agent"], "ema": truth["agent"]},
        flags={"model": ["--key", "model", "--activation", "tanh"], "ema": ["--key", "ema.module", "--activation", "tanh"]},
    )  # fmt: skip


def ppo_continuous() -> None:
    """A log deviation that belongs to no layer, and gym's NormalizeObservation whose means are lost."""
    agent = PPOContinuous(3, 1)
    train(agent, lambda: agent(pendulum))
    silence_odd(agent.actor_mean[0])
    truth = {"agent": hooked(lambda: agent(pendulum), sequential(agent))}
    torch.save(agent.state_dict(), corpus.folder / "ppo_continuous_action.cleanrl_model")
    corpus.note(
        "ppo_continuous_action.cleanrl_model", "torch.save(agent.state_dict(), path)", {"observations": PENDULUM}, truth,
        flags={"agent": ["--activation", "tanh"]},
    )  # fmt: skip


def off_policy() -> None:
    """The tuples of td3 and ddpg, the dictionary that sac users save, and dqn's file."""
    actor, q1, q2 = SACActor(3, 1), SoftQ(3, 1), SoftQ(3, 1)
    train(actor, lambda: actor(pendulum))
    train(q1, lambda: q1(pendulum, torque))
    for module in (actor, q1, q2):
        silence(module.fc1)
    relu = torch.relu

    def two(module: nn.Module, prefix: str = "") -> list[Any]:
        return [(f"{prefix}fc1", module.fc1, relu), (f"{prefix}fc2", module.fc2, relu)]

    a = hooked(lambda: actor(pendulum), two(actor))
    c1 = hooked(lambda: q1(pendulum, torque), two(q1))
    c2 = hooked(lambda: q2(pendulum, torque), two(q2))
    sample = {"observations": PENDULUM, "actions": TORQUE}
    log_alpha = torch.zeros(1, requires_grad=True)
    torch.save(
        {
            "actor": actor.state_dict(), "qf1": q1.state_dict(), "qf2": q2.state_dict(), "log_alpha": log_alpha,
            "global_step": 1000,
        },
        corpus.folder / "sac.pt",
    )  # fmt: skip
    corpus.note(
        "sac.pt", "torch.save({'actor': ..., 'qf1': ..., 'qf2': ..., 'log_alpha': ..., 'global_step': n}, path)", sample,
        {"actor": a, "qf1": c1, "qf2": c2},
        flags={n: ["--key", n, "--activation", "relu"] for n in ("actor", "qf1", "qf2")},
    )  # fmt: skip
    torch.save((actor.state_dict(), q1.state_dict()), corpus.folder / "ddpg_continuous_action.cleanrl_model")
    corpus.note(
        "ddpg_continuous_action.cleanrl_model", "torch.save((actor.state_dict(), qf1.state_dict()), path)", sample,
        {"0": a, "1": c1}, flags={"0": ["--key", "0"], "1": ["--key", "1", "--activation", "relu"]},
    )  # fmt: skip
    both = nn.ModuleDict({"q1": q1, "q2": q2})
    torch.save({"actor": actor.state_dict(), "critic": both.state_dict()}, corpus.folder / "twin.pt")
    corpus.note(
        "twin.pt", "torch.save({'actor': ..., 'critic': ModuleDict(q1, q2).state_dict()}, path)", sample,
        {"actor": a, "critic.q1": c1, "critic": [*c1, *c2]},
        flags={
            "actor": ["--key", "actor", "--activation", "relu"],
            "critic.q1": ["--key", "critic.q1", "--activation", "relu"],
            "critic": ["--key", "critic", "--activation", "relu"],
        },
    )  # fmt: skip
    dqn = QNetwork(4, 2)
    optimizer = train(dqn, lambda: dqn(cart))
    silence(dqn.network[0])
    truth = {"q": hooked(lambda: dqn(cart), sequential(dqn))}
    torch.save(dqn.state_dict(), corpus.folder / "dqn.cleanrl_model")
    corpus.note("dqn.cleanrl_model", "torch.save(q_network.state_dict(), path)", {"observations": CART}, truth)
    value = {"model_weights": dqn.state_dict(), "args": vars(Args()), "optimizer": optimizer.state_dict()}
    torch.save(value, corpus.folder / "dqn_weights.pt")
    corpus.note("dqn_weights.pt", "with vars(args) and the optimizer's state_dict", {"observations": CART}, truth)


def shared() -> None:
    """A trunk saved as one entry, its heads as others: the trunk's last layer is no output."""
    agent = RNDLike()
    train(agent, lambda: agent(cart))
    silence(agent.encoder[0])
    truth = {
        "whole": hooked(lambda: agent(cart), sequential(agent)),
        "encoder": hooked(lambda: agent(cart), sequential(agent)),
    }
    value = {name: getattr(agent, name).state_dict() for name in ("encoder", "pi", "vf")}
    torch.save(value, corpus.folder / "encoder_pi_vf.pt")
    corpus.note(
        "encoder_pi_vf.pt", "torch.save({'encoder': ..., 'pi': ..., 'vf': ...}, path)", {"observations": CART}, truth,
        flags={"encoder": ["--key", "encoder", "--activation", "relu"], "whole": ["--activation", "relu"]},
        remark="encoder: 128 neurons, its last layer is hidden, for pi and vf read it",
    )  # fmt: skip
    torch.save(agent.state_dict(), corpus.folder / "shared.pt")
    corpus.note(
        "shared.pt", "torch.save(agent.state_dict(), path)", {"observations": CART}, {"encoder": truth["encoder"], "whole": truth["whole"]},
        flags={"encoder": ["--key", "encoder", "--activation", "relu"], "whole": ["--activation", "relu"]},
        remark="the same in one state_dict",
    )  # fmt: skip


ppo()
ppo_continuous()
off_policy()
shared()
