"""Checkpoints of AgileRL: save_checkpoint writes with dill, networks and their descriptions in one file."""

from __future__ import annotations

import gymnasium as gym
import torch
from agilerl.algorithms import DQN, PPO, TD3
from observations import rows
from recording import Corpus, activations, hooked, silence
from torch import nn

torch.manual_seed(1)
corpus = Corpus("agilerl", "torch", "numpy")
CART, _ = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
cart, pendulum = gym.make("CartPole-v1"), gym.make("Pendulum-v1")
x, p, a = map(torch.as_tensor, (CART, PENDULUM, TORQUE))
small = {"latent_dim": 32, "encoder_config": {"hidden_size": [64, 64]}, "head_config": {"hidden_size": [64]}}


def quieten(module: nn.Module) -> None:
    """Make half of the first layer dead."""
    silence(next(m for m in module.modules() if isinstance(m, nn.Linear)))


def hidden(module: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    """Return the nonlinearities but those behind the outputs."""
    return {
        n: m for n, m in activations(module, prefix).items() if "output" not in n or "latent" in n or "encoder" in n
    }


dqn = DQN(cart.observation_space, cart.action_space, net_config=small)
quieten(dqn.actor)
dqn.actor.eval()
dqn.save_checkpoint(str(corpus.folder / "dqn.pt"))
flags = {"actor": ["--key", "actor", "--activation", "relu"]}
print(list(activations(dqn.actor)), dqn.actor)
truth = {"actor": hooked(lambda: dqn.actor(x), hidden(dqn.actor))}
corpus.note(
    "dqn.pt",
    "agent.save_checkpoint(path)",
    {"observations": CART},
    truth,
    flags=flags,
    remark="LayerNorm(elementwise_affine?) see AgileRL",
)
torch.save(dqn.actor.state_dict(), corpus.folder / "dqn_actor.pt")
corpus.note(
    "dqn_actor.pt",
    "torch.save(agent.actor.state_dict(), path)",
    {"observations": CART},
    truth,
    flags={"actor": ["--activation", "relu"]},
)
td3 = TD3(pendulum.observation_space, pendulum.action_space, net_config=small)
for network in (td3.actor, td3.critic_1, td3.critic_2):
    quieten(network)
    network.eval()
td3.save_checkpoint(str(corpus.folder / "td3.pt"))
truth = {
    "actor": hooked(lambda: td3.actor(p), hidden(td3.actor)),
    "critic_1": hooked(lambda: td3.critic_1(p, a), hidden(td3.critic_1)),
}
corpus.note(
    "td3.pt", "agent.save_checkpoint(path)", {"observations": PENDULUM, "actions": TORQUE}, truth,
    flags={n: ["--key", n, "--activation", "relu"] for n in truth},
)  # fmt: skip
ppo = PPO(cart.observation_space, cart.action_space, net_config=small)
for network in (ppo.actor, ppo.critic):
    quieten(network)
    network.eval()
ppo.save_checkpoint(str(corpus.folder / "ppo.pt"))
truth = {
    "actor": hooked(lambda: ppo.actor(x), hidden(ppo.actor)),
    "critic": hooked(lambda: ppo.critic(x), hidden(ppo.critic)),
}
corpus.note(
    "ppo.pt",
    "agent.save_checkpoint(path)",
    {"observations": CART},
    truth,
    flags={n: ["--key", n, "--activation", "relu"] for n in truth},
)
