"""Checkpoints of SheepRL: fabric.save of the state of PPO and SAC."""

from __future__ import annotations

import gymnasium as gym
import torch
from lightning import Fabric
from observations import rows
from recording import Corpus, activations, hooked, silence
from sheeprl.algos.ppo.agent import PPOAgent
from sheeprl.algos.sac.agent import SACActor, SACAgent, SACCritic
from torch import nn

torch.manual_seed(1)
corpus = Corpus("sheeprl", "torch", "numpy")
CART, _ = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
fabric = Fabric(accelerator="cpu", devices=1)


class Options(dict):
    """Entries that are attributes, too, as hydra's are."""

    __getattr__ = dict.__getitem__


part = Options(
    dense_units=64,
    mlp_layers=2,
    dense_act="torch.nn.Tanh",
    layer_norm=False,
    mlp_features_dim=64,
    cnn_features_dim=64,
    ortho_init=False,
)
agent = PPOAgent(
    actions_dim=[2], obs_space=gym.spaces.Dict({"state": gym.make("CartPole-v1").observation_space}), encoder_cfg=part,
    actor_cfg=part, critic_cfg=part, cnn_keys=[], mlp_keys=["state"], screen_size=64, distribution_cfg={"type": "auto"},
)  # fmt: skip
observations = {"state": torch.as_tensor(CART)}
names = activations(agent)
print(agent)
truth = hooked(lambda: agent(observations), names)
state = {
    "agent": agent.state_dict(), "optimizer": torch.optim.Adam(agent.parameters()).state_dict(), "scheduler": None, "iter_num": 20,
    "batch_size": 64, "last_log": 0, "last_checkpoint": 0,
}  # fmt: skip
fabric.save(corpus.folder / "ckpt_4000_0.ckpt", state)
corpus.note(
    "ckpt_4000_0.ckpt",
    "fabric.save(path, state): PPO",
    {"observations": CART},
    {"agent": truth},
    flags={"agent": ["--key", "agent", "--activation", "tanh"]},
)
actor = SACActor(3, 1, Options(env=Options(clip_rewards=False)), hidden_size=64, action_low=-2.0, action_high=2.0)
critics = [SACCritic(observation_dim=4, hidden_size=64, num_critics=1) for _ in range(2)]
sac = SACAgent(actor, critics, target_entropy=-1, alpha=1.0, tau=0.005)
for module in (actor, *critics):
    silence(next(m for m in module.modules() if isinstance(m, nn.Linear)))
x, a = torch.as_tensor(PENDULUM), torch.as_tensor(TORQUE)
pi = hooked(lambda: actor(x), activations(actor))
q = hooked(
    lambda: [c(x, a) for c in critics],
    {f"qfs.{i}.{n}": m for i, c in enumerate(critics) for n, m in activations(c).items()},
)
state = {
    "agent": sac.state_dict(), "qf_optimizer": torch.optim.Adam(critics[0].parameters()).state_dict(), "iter_num": 20,
    "batch_size": 64, "last_log": 0, "last_checkpoint": 0,
}  # fmt: skip
fabric.save(corpus.folder / "sac_ckpt_4000_0.ckpt", state)
corpus.note(
    "sac_ckpt_4000_0.ckpt", "fabric.save(path, state): SAC", {"observations": PENDULUM, "actions": TORQUE}, {"actor": pi, "qfs": q},
    flags={"actor": ["--key", "agent._actor", "--activation", "relu"], "qfs": ["--key", "agent._qfs", "--activation", "relu"]},
)  # fmt: skip
