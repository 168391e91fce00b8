"""Algorithms of Tianshou 2: state_dicts of the whole algorithm and of its policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from observations import rows
from recording import Corpus, activations, hooked, silence
from tianshou.algorithm import DQN, PPO, SAC
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.modelfree.sac import AutoAlpha, SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch import nn

torch.manual_seed(1)
corpus = Corpus("tianshou", "torch", "numpy", "gymnasium")
cart_env, pendulum_env = gym.make("CartPole-v1"), gym.make("Pendulum-v1")
CART, _ = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
optim = AdamOptimizerFactory(lr=1e-3)


def first(module: nn.Module) -> nn.Linear:
    """Return the first dense layer."""
    return next(m for m in module.modules() if isinstance(m, nn.Linear))


def save(name: str, algorithm: Any, sample: dict[str, Any], networks: dict[str, Any], keys: dict[str, str]) -> None:
    """Save in the three ways of the library's examples."""
    torch.save(algorithm.state_dict(), corpus.folder / f"{name}.pth")
    torch.save(
        {"model": algorithm.state_dict(), "epoch": 3, "env_step": 3000}, corpus.folder / f"{name}_checkpoint.pth"
    )
    flags = {n: ["--key", key, "--activation", "relu"] for n, key in keys.items()}
    corpus.note(f"{name}.pth", "torch.save(algorithm.state_dict(), path)", sample, networks, flags=flags)
    corpus.note(
        f"{name}_checkpoint.pth", "torch.save({'model': algorithm.state_dict(), 'epoch': ..., 'env_step': ...}, path)", sample,
        networks, flags=flags,
    )  # fmt: skip


net = Net(state_shape=4, action_shape=2, hidden_sizes=[64, 64])
silence(first(net))
policy = DiscreteQLearningPolicy(model=net, action_space=cart_env.action_space)
dqn = DQN(policy=policy, optim=optim, target_update_freq=100)
q = hooked(lambda: net(CART), activations(net))
save("dqn", dqn, {"observations": CART}, {"policy.model": q}, {"policy.model": "policy.model"})
torch.save(policy.state_dict(), corpus.folder / "dqn_policy.pth")
corpus.note(
    "dqn_policy.pth",
    "torch.save(policy.state_dict(), path)",
    {"observations": CART},
    {"model": q},
    flags={"model": ["--activation", "relu"]},
)
dueling = Net(
    state_shape=4, action_shape=2, hidden_sizes=[64], dueling_param=({"hidden_sizes": [64]}, {"hidden_sizes": [64]})
)
silence(first(dueling))
policy = DiscreteQLearningPolicy(model=dueling, action_space=cart_env.action_space)
q = hooked(lambda: dueling(CART), activations(dueling))
torch.save(policy.state_dict(), corpus.folder / "dueling_policy.pth")
corpus.note(
    "dueling_policy.pth", "torch.save(policy.state_dict(), path), a dueling Net", {"observations": CART}, {"model": q},
    flags={"model": ["--activation", "relu"]},
)  # fmt: skip
trunk = Net(state_shape=3, hidden_sizes=[64, 64])
actor = ContinuousActorProbabilistic(preprocess_net=trunk, action_shape=1, unbounded=True, conditioned_sigma=True)
critics = []
for _ in range(2):
    body = Net(state_shape=3, action_shape=1, hidden_sizes=[64, 64], concat=True)
    critics.append(ContinuousCritic(preprocess_net=body))
for module in (actor, *critics):
    silence(first(module))
sac = SAC(
    policy=SACPolicy(actor=actor, action_space=pendulum_env.action_space), policy_optim=optim, critic=critics[0],
    critic_optim=optim, critic2=critics[1], critic2_optim=optim, alpha=AutoAlpha(-1.0, 0.0, optim),
)  # fmt: skip
save(
    "sac", sac, {"observations": PENDULUM, "actions": TORQUE},
    {
        "actor": hooked(lambda: actor(PENDULUM), activations(actor)),
        "critic": hooked(lambda: critics[0](PENDULUM, torch.as_tensor(TORQUE) / 2), activations(critics[0])),
    },
    {"actor": "policy.actor", "critic": "critic"},
)  # fmt: skip
shared = Net(state_shape=4, hidden_sizes=[64, 64])
silence(first(shared))
pi, vf = DiscreteActor(preprocess_net=shared, action_shape=2), DiscreteCritic(preprocess_net=shared)
ppo = PPO(
    policy=ProbabilisticActorPolicy(
        actor=pi, dist_fn=torch.distributions.Categorical, action_space=cart_env.action_space, action_scaling=False
    ),
    critic=vf, optim=optim,
)  # fmt: skip
save(
    "ppo", ppo, {"observations": CART}, {"actor": hooked(lambda: pi(CART), activations(pi)), "critic": hooked(lambda: vf(CART), activations(vf))},
    {"actor": "policy.actor", "critic": "critic"},
)  # fmt: skip
