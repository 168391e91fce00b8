"""Folders of accelerate and Hugging Face: save_state, sharded safetensors with an index, config.json beside weights."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from huggingface_hub import PyTorchModelHubMixin
from recording import ROWS, Corpus, activations, hooked, silence
from torch import nn

corpus = Corpus("accelerate", "huggingface_hub", "safetensors", "torch")
torch.manual_seed(1)
X = torch.randn(ROWS, 4)


class Q(nn.Module, PyTorchModelHubMixin):
    """A Q-network that can be pushed to the hub."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)
        )

    def forward(self, x: Any) -> Any:
        """Return values."""
        return self.net(x)


model = Q()
accelerator = Accelerator(cpu=True)
optimizer = torch.optim.Adam(model.parameters())
model, optimizer = accelerator.prepare(model, optimizer)
for _ in range(5):
    loss = (model(X) - 1).square().mean()
    optimizer.zero_grad()
    accelerator.backward(loss)
    optimizer.step()
silence(model.net[0])
truth = {"net": hooked(lambda: model(X), activations(model))}
sample = {"observations": X.numpy()}
flags = {"net": ["--activation", "relu"]}


def note(file: str, how: str, remark: str = "") -> None:
    """Note one file or folder of the same network."""
    corpus.note(file, how, sample, truth, flags=flags, remark=remark)


accelerator.save_state(str(corpus.folder / "state"))
note("state", "accelerator.save_state(folder)", "a folder: model.safetensors, optimizer.bin, random_states_0.pkl")
note("state/model.safetensors", "the file in it")
accelerator.save_state(str(corpus.folder / "state_bin"), safe_serialization=False)
note(
    "state_bin",
    "accelerator.save_state(folder, safe_serialization=False)",
    "a folder: pytorch_model.bin, optimizer.bin",
)
note("state_bin/pytorch_model.bin", "the file in it")
accelerator.save_model(model, str(corpus.folder / "sharded"), max_shard_size="8KB")
note(
    "sharded",
    "accelerator.save_model(model, folder, max_shard_size='8KB')",
    "a folder with model.safetensors.index.json",
)
note("sharded/model.safetensors.index.json", "the index in it")
shards = sorted((corpus.folder / "sharded").glob("*.safetensors"))
for shard in shards:
    note(f"sharded/{shard.name}", "one shard alone", "layers are missing here: refused, or read with the others")
model.save_pretrained(corpus.folder / "hub")
note("hub", "model.save_pretrained(folder) of PyTorchModelHubMixin", "a folder: config.json, model.safetensors")
note("hub/model.safetensors", "the file in it")
torch.save(accelerator.get_state_dict(model), corpus.folder / "get_state_dict.pt")
note("get_state_dict.pt", "torch.save(accelerator.get_state_dict(model), path)")
