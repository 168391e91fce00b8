"""Folders of torch.distributed.checkpoint."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from recording import ROWS, Corpus, activations, hooked, silence
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict

corpus = Corpus("torch", "numpy")
torch.manual_seed(1)
X = torch.randn(ROWS, 4)
model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
optimizer = torch.optim.Adam(model.parameters())
for _ in range(3):
    loss = model(X).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
silence(model[0])
truth = {"model": hooked(lambda: model(X), activations(model))}


def note(file: str, state: dict[str, Any], how: str) -> None:
    """Save a state and note it."""
    dcp.save(state, checkpoint_id=corpus.folder / file)
    corpus.note(file, how, {"observations": X.numpy()}, truth, flags={"model": ["--activation", "relu"]})


note("bare", model.state_dict(), "dcp.save(model.state_dict(), checkpoint_id=folder)")
note(
    "training",
    {
        "model": get_model_state_dict(model),
        "optim": get_optimizer_state_dict(model, optimizer),
        "step": 30,
        "args": {"lr": 1e-3},
    },
    "dcp.save({'model': get_model_state_dict(model), 'optim': ..., 'step': 30}, checkpoint_id=folder)",
)
