"""Checkpoints of rl_games: an actor-critic with running means of observations and values in its model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from observations import rows
from recording import Corpus, activations, hooked, silence
from rl_games.algos_torch import torch_ext
from rl_games.algos_torch.models import ModelA2CContinuousLogStd
from rl_games.algos_torch.network_builder import A2CBuilder
from torch import nn

torch.manual_seed(1)
corpus = Corpus("rl-games", "torch", "numpy")
PENDULUM, _ = rows("Pendulum-v1")
x = torch.as_tensor(PENDULUM)


def build(separate: bool, normalise: bool) -> Any:
    """Return a model built as the runner builds it."""
    builder = A2CBuilder()
    builder.load(
        {
            "separate": separate,
            "space": {
                "continuous": {
                    "mu_activation": "None", "sigma_activation": "None", "mu_init": {"name": "default"},
                    "sigma_init": {"name": "const_initializer", "val": 0}, "fixed_sigma": True,
                }
            },
            "mlp": {"units": [64, 64], "activation": "elu", "initializer": {"name": "default"}, "regularizer": {"name": "None"}},
        }
    )  # fmt: skip
    return ModelA2CContinuousLogStd(builder).build(
        {
            "actions_num": 1, "input_shape": (3,), "num_seqs": 1, "value_size": 1, "normalize_value": normalise,
            "normalize_input": normalise,
        }
    )  # fmt: skip


for name, separate, normalise in (("plain", False, False), ("normalised", False, True), ("separate", True, True)):
    model = build(separate, normalise)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.in_features == 3:
            silence(module)
    if normalise:
        model.train()
        model.running_mean_std(x * 1.5 + 0.7)
    model.eval()
    truth = hooked(lambda model=model: model({"is_train": False, "obs": x, "rnn_states": None}), activations(model))
    optimizer = torch.optim.Adam(model.parameters())
    state = {
        "model": model.state_dict(), "epoch": 20, "frame": 4000, "optimizer": optimizer.state_dict(),
        "last_mean_rewards": np.float32(12.5), "env_state": None,
    }  # fmt: skip
    torch_ext.save_checkpoint(str(corpus.folder / name), state)
    corpus.note(
        f"{name}.pth", "torch_ext.save_checkpoint(name, agent.get_full_state_weights())", {"observations": PENDULUM}, {"model": truth},
        flags={"model": ["--activation", "elu"]},
        preprocessing="clamp((obs - running_mean) / sqrt(running_var + 1e-5), -5, 5); the statistics are in the model" if normalise else "none",
    )  # fmt: skip
