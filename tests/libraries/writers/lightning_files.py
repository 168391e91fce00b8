"""Checkpoints of PyTorch Lightning: a DQN module trained for two epochs."""

from __future__ import annotations

import argparse
from typing import Any

import lightning as pl
import torch
from observations import rows
from recording import Corpus, activations, hooked, silence
from torch import nn

corpus = Corpus("lightning", "torch", "numpy")
CART, _ = rows("CartPole-v1")
cart = torch.as_tensor(CART)


class DQN(pl.LightningModule):
    """A Q-network and its target."""

    def __init__(self, hparams: argparse.Namespace, activation: nn.Module, batch_size: int = 16) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
        self.target_net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
        silence(self.net[0])
        silence(self.target_net[2])

    def forward(self, x: Any) -> Any:
        """Return values."""
        return self.net(x)

    def training_step(self, batch: Any, _: int) -> Any:
        """Pull the values towards the target's."""
        return ((self.net(batch[0]) - self.target_net(batch[0]).detach()) ** 2).mean()

    def configure_optimizers(self) -> Any:
        """Adam."""
        return torch.optim.Adam(self.net.parameters(), lr=1e-3)


class OneNetwork(DQN):
    """The same without a target."""

    def __init__(self, hparams: argparse.Namespace) -> None:
        pl.LightningModule.__init__(self)
        self.save_hyperparameters(hparams)
        self.net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
        silence(self.net[0])

    def training_step(self, batch: Any, _: int) -> Any:
        """Pull the values towards 1."""
        return ((self.net(batch[0]) - 1) ** 2).mean()


pl.seed_everything(1)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(cart), batch_size=32)
for name, model, keys in (
    ("two", DQN(argparse.Namespace(env="CartPole-v1", gamma=0.99), nn.ReLU()), ("net", "target_net")),
    ("one", OneNetwork(argparse.Namespace(env="CartPole-v1", gamma=0.99)), ("net",)),
):
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[pl.pytorch.callbacks.ModelCheckpoint(dirpath=corpus.folder, filename=name + "-{epoch}-{step}")],
    )  # fmt: skip
    trainer.fit(model, data)
    trainer.save_checkpoint(corpus.folder / f"{name}.ckpt")
    truth = {
        key: hooked(lambda net=getattr(model, key): net(cart), activations(getattr(model, key), f"{key}."))
        for key in keys
    }
    flags = {key: ["--key", key, "--activation", "relu"] for key in keys}
    automatic = next(p.name for p in corpus.folder.glob(f"{name}-epoch*.ckpt"))
    for file, how in ((f"{name}.ckpt", "trainer.save_checkpoint()"), (automatic, "ModelCheckpoint")):
        corpus.note(file, how, {"observations": CART}, truth, flags=flags, remark="global_step 20")
