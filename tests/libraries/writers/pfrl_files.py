"""Agents of PFRL: the folders of agent.save()."""

from __future__ import annotations

import numpy as np
import pfrl
import torch
from observations import rows
from recording import Corpus, activations, hooked, silence
from torch import nn

torch.manual_seed(1)
corpus = Corpus("pfrl", "torch", "numpy")
CART, _ = rows("CartPole-v1")
x = torch.as_tensor(CART)
q = nn.Sequential(
    nn.Linear(4, 64),
    nn.ReLU(),
    nn.Linear(64, 64),
    nn.ReLU(),
    nn.Linear(64, 2),
    pfrl.q_functions.DiscreteActionValueHead(),
)
silence(q[0])
agent = pfrl.agents.DoubleDQN(
    q, torch.optim.Adam(q.parameters()), pfrl.replay_buffers.ReplayBuffer(300), 0.99,
    pfrl.explorers.ConstantEpsilonGreedy(0.1, lambda: 0), replay_start_size=100, target_update_interval=50,
    phi=lambda o: o.astype(np.float32, copy=False),
)  # fmt: skip
agent.save(str(corpus.folder / "dqn"))
truth = {"model": hooked(lambda: q(x), activations(q))}
flags = {"model": ["--activation", "relu"]}
corpus.note(
    "dqn",
    "agent.save(folder)",
    {"observations": CART},
    truth,
    flags=flags,
    remark="a folder: model.pt, target_model.pt, optimizer.pt",
)
corpus.note("dqn/model.pt", "the file in it", {"observations": CART}, truth, flags=flags)
noisy = nn.Sequential(
    nn.Linear(4, 64),
    nn.ReLU(),
    nn.Linear(64, 64),
    nn.ReLU(),
    nn.Linear(64, 2),
    pfrl.q_functions.DiscreteActionValueHead(),
)
pfrl.nn.to_factorized_noisy(noisy, sigma_scale=0.5)
agent = pfrl.agents.DQN(
    noisy, torch.optim.Adam(noisy.parameters()), pfrl.replay_buffers.ReplayBuffer(300), 0.99, pfrl.explorers.Greedy(),
    replay_start_size=100, phi=lambda o: o.astype(np.float32, copy=False),
)  # fmt: skip
agent.save(str(corpus.folder / "noisy"))


def without_noise(module: nn.Module) -> nn.Sequential:
    """Return the network of the means: PFRL draws its noise in evaluation, too, and its mean is no noise."""
    plain = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    for index in (0, 2):
        plain[index].load_state_dict(module[index].mu.state_dict())
    return plain


plain = without_noise(noisy)
corpus.note(
    "noisy/model.pt", "agent.save(folder) of a network with factorised noise", {"observations": CART},
    {"model": hooked(lambda: plain(x), activations(plain))}, flags=flags, remark="truth: the means, without noise",
)  # fmt: skip
