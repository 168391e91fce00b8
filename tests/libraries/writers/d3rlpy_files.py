"""Algorithms of d3rlpy: .d3 and save_model files, with a scaler of observations and without."""

from __future__ import annotations

from typing import Any

import d3rlpy
import numpy as np
import torch
from observations import rows
from recording import Corpus, hooked, silence
from torch import nn

d3rlpy.seed(1)
corpus = Corpus("d3rlpy", "torch", "numpy")
CART, PUSH = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
ends = np.zeros(300)
ends[-1] = 1
discrete = d3rlpy.dataset.MDPDataset(
    CART, PUSH.reshape(-1, 1), np.ones(300), ends, action_space=d3rlpy.ActionSpace.DISCRETE, action_size=2
)
continuous = d3rlpy.dataset.MDPDataset(PENDULUM, TORQUE, np.ones(300), ends)
encoder = d3rlpy.models.encoders.VectorEncoderFactory([64, 64])


def watched(module: nn.Module) -> list[Any]:
    """Return the dense layers of an encoder with the function behind each: one ReLU object serves them all."""
    dense = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Linear) and "_encoder" in n]
    return [(name, layer, torch.relu) for name, layer in dense]


def save(name: str, algorithm: Any, sample: Any, networks: Any, keys: dict[str, str], pre: str = "none") -> None:
    """Save in both ways."""
    flags = {n: ["--key", key, "--activation", "relu"] for n, key in keys.items()}
    algorithm.save(str(corpus.folder / f"{name}.d3"))
    corpus.note(f"{name}.d3", "algo.save('model.d3')", sample, networks, flags=flags, preprocessing=pre)
    algorithm.save_model(str(corpus.folder / f"{name}.pt"))
    corpus.note(f"{name}.pt", "algo.save_model('model.pt')", sample, networks, flags=flags, preprocessing=pre)


for scaler in (None, d3rlpy.preprocessing.StandardObservationScaler()):
    dqn = d3rlpy.algos.DQNConfig(encoder_factory=encoder, observation_scaler=scaler).create(device="cpu")
    dqn.fit(
        discrete,
        n_steps=50,
        n_steps_per_epoch=50,
        experiment_name="x",
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    q = dqn.impl.modules.q_funcs[0]
    silence(
        q.encoder._layers[0]
        if hasattr(q.encoder, "_layers")
        else next(m for m in q.modules() if isinstance(m, nn.Linear))
    )
    x = torch.as_tensor(CART)
    x = x if scaler is None else scaler.transform(x)
    save(
        "dqn" if scaler is None else "dqn_scaled", dqn, {"observations": CART}, {"q_funcs.0": hooked(lambda: q(x), watched(q))},
        {"q_funcs.0": "q_funcs.0"},
        "none" if scaler is None else "(obs - mean) / (std + 1e-3); the statistics are in the config of the .d3, not in save_model's file",
    )  # fmt: skip
sac = d3rlpy.algos.SACConfig(actor_encoder_factory=encoder, critic_encoder_factory=encoder).create(device="cpu")
sac.fit(
    continuous,
    n_steps=50,
    n_steps_per_epoch=50,
    experiment_name="x",
    logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    show_progress=False,
)
modules = sac.impl.modules
for module in (modules.policy, *modules.q_funcs):
    silence(next(m for m in module.modules() if isinstance(m, nn.Linear) and m.out_features == 64))
x, a = torch.as_tensor(PENDULUM), torch.as_tensor(TORQUE)
save(
    "sac", sac, {"observations": PENDULUM, "actions": TORQUE},
    {
        "policy": hooked(lambda: modules.policy(x), watched(modules.policy)),
        "q_funcs.1": hooked(lambda: modules.q_funcs[1](x, a), watched(modules.q_funcs[1])),
    },
    {"policy": "policy", "q_funcs.1": "q_funcs.1"},
)  # fmt: skip
