"""Checkpoints of Sample Factory: a shared actor-critic with a normaliser of observations in its model."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from observations import rows
from recording import Corpus, layer_truth, silence
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.model.actor_critic import create_actor_critic
from torch import nn

torch.manual_seed(1)
corpus = Corpus("sample-factory", "torch", "numpy")
CART, _ = rows("CartPole-v1")
spaces = gym.spaces.Dict({"obs": gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)}), gym.spaces.Discrete(2)
for name, options in (
    ("shared", []),
    ("separate", ["--actor_critic_share_weights=False"]),
    ("plain", ["--normalize_input=False", "--normalize_returns=False"]),
):
    parser, _ = parse_sf_args(
        ["--env=x", "--use_rnn=False", "--encoder_mlp_layers", "64", "64", "--nonlinearity=elu", *options]
    )
    cfg = parse_full_cfg(
        parser, ["--env=x", "--use_rnn=False", "--encoder_mlp_layers", "64", "64", "--nonlinearity=elu", *options]
    )
    model = create_actor_critic(cfg, *spaces)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.in_features == 4:
            silence(module)
    batch = {"obs": torch.as_tensor(CART)}
    if name != "plain":
        model.train()
        model.normalize_obs({"obs": batch["obs"] * 1.5 + 0.7})
    model.eval()

    def hidden(model=model, batch=batch):
        """Compute the hidden layers from the parameters: the encoder is scripted, so hooks do not see into it."""
        x = model.normalize_obs(batch)["obs"]
        state = model.state_dict()
        answer = {}
        for root in sorted({k.rsplit(".mlp_head.", 1)[0] for k in state if ".mlp_head." in k}):
            h = x.double()
            for index in (0, 2):
                w, b = (state[f"{root}.mlp_head.{index}.{part}"].double() for part in ("weight", "bias"))
                h = nn.functional.elu(h @ w.T + b)
                answer[f"{root}.mlp_head.{index}"] = h
        return answer

    truth = [layer_truth(n, h.abs().mean(0).numpy()) for n, h in hidden().items()]
    with torch.no_grad():
        model(model.normalize_obs(batch), torch.zeros(len(CART), 1))
    torch.save(
        {
            "train_step": 20, "env_steps": 4000, "best_performance": -1e9, "model": model.state_dict(),
            "optimizer": torch.optim.Adam(model.parameters()).state_dict(), "curr_lr": 1e-4,
        },
        corpus.folder / f"checkpoint_{name}_000000020_4000.pth",
    )  # fmt: skip
    corpus.note(
        f"checkpoint_{name}_000000020_4000.pth", "Learner.save(): torch.save(checkpoint_dict, path)", {"observations": CART}, {"model": truth},
        flags={"model": ["--activation", "elu"]},
        preprocessing="none" if name == "plain" else "clamp((obs - running_mean) / sqrt(running_var + 1e-5), -5, 5); the statistics are in the model",
    )  # fmt: skip
