"""State_dicts of torchrl: actors of TensorDict modules, loss modules with parameters stacked for several critics."""

from __future__ import annotations

import torch
from observations import rows
from recording import Corpus, activations, hooked, layer_truth, silence
from tensordict import TensorDict
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn
from torchrl.data import Bounded, Categorical
from torchrl.modules import MLP, NoisyLinear, ProbabilisticActor, QValueActor, TanhNormal, ValueOperator
from torchrl.modules.models.models import DuelingMlpDQNet
from torchrl.objectives import SACLoss

torch.manual_seed(1)
corpus = Corpus("torchrl", "tensordict", "torch", "numpy")
CART, _ = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
cart, pendulum, torque = map(torch.as_tensor, (CART, PENDULUM, TORQUE))


def first(module: nn.Module) -> nn.Linear:
    """Return the first dense layer."""
    return next(m for m in module.modules() if isinstance(m, nn.Linear))


net = MLP(in_features=4, out_features=2, num_cells=[64, 64], activation_class=nn.ReLU)
silence(first(net))
q = QValueActor(net, spec=Categorical(2), in_keys=["observation"])
truth = {"q": hooked(lambda: q(TensorDict({"observation": cart}, [len(cart)])), activations(q))}
flags = {"q": ["--activation", "relu"]}
torch.save(q.state_dict(), corpus.folder / "dqn.pt")
corpus.note("dqn.pt", "torch.save(QValueActor(...).state_dict(), path)", {"observations": CART}, truth, flags=flags)
torch.save({"actor": q.state_dict(), "collected_frames": 4000}, corpus.folder / "dqn_checkpoint.pt")
corpus.note("dqn_checkpoint.pt", "with collected_frames beside it", {"observations": CART}, truth, flags=flags)
dueling = DuelingMlpDQNet(
    out_features=2,
    mlp_kwargs_feature={
        "in_features": 4,
        "num_cells": [64],
        "out_features": 64,
        "activation_class": nn.ReLU,
        "activate_last_layer": True,
    },
    mlp_kwargs_output={"in_features": 64, "num_cells": [64], "activation_class": nn.ReLU},
)
silence(first(dueling))
torch.save(dueling.state_dict(), corpus.folder / "dueling.pt")
corpus.note(
    "dueling.pt",
    "torch.save(DuelingMlpDQNet(...).state_dict(), path)",
    {"observations": CART},
    {"q": hooked(lambda: dueling(cart), activations(dueling))},
    flags=flags,
)
noisy = MLP(in_features=4, out_features=2, num_cells=[64, 64], activation_class=nn.ReLU, layer_class=NoisyLinear)
noisy.eval()
torch.save(noisy.state_dict(), corpus.folder / "noisy.pt")
corpus.note(
    "noisy.pt",
    "torch.save(MLP(layer_class=NoisyLinear).state_dict(), path)",
    {"observations": CART},
    {"q": hooked(lambda: noisy(cart), activations(noisy))},
    flags=flags,
    remark="truth in evaluation: the means, without noise",
)
body = nn.Sequential(
    MLP(in_features=3, out_features=2, num_cells=[64, 64], activation_class=nn.Tanh), NormalParamExtractor()
)
actor = ProbabilisticActor(
    TensorDictModule(body, in_keys=["observation"], out_keys=["loc", "scale"]), in_keys=["loc", "scale"],
    distribution_class=TanhNormal, spec=Bounded(-2, 2, (1,)),
)  # fmt: skip
critic = ValueOperator(
    MLP(in_features=4, out_features=1, num_cells=[64, 64], activation_class=nn.ReLU), in_keys=["observation", "action"]
)
silence(first(critic))
loss = SACLoss(actor, critic, num_qvalue_nets=2)
torch.save(actor.state_dict(), corpus.folder / "actor.pt")
pi = hooked(lambda: body(pendulum), activations(actor, "actor."))
corpus.note(
    "actor.pt",
    "torch.save(ProbabilisticActor(...).state_dict(), path)",
    {"observations": PENDULUM},
    {"actor": pi},
    flags={"actor": ["--activation", "tanh"]},
)
torch.save({"loss": loss.state_dict()}, corpus.folder / "sac_loss.pt")
stacked = {k: v for k, v in loss.state_dict().items() if k.startswith("qvalue_network_params")}
layers = []
for index in range(2):
    hidden = torch.cat([pendulum, torque], 1).double()
    for number in (0, 2):
        w, b = (
            next(v for k, v in stacked.items() if k.endswith(f".{number}.{part}"))[index].double()
            for part in ("weight", "bias")
        )
        hidden = torch.relu(hidden @ w.T + b)
        layers.append(layer_truth(f"qvalue_network[{index}].{number}", hidden.mean(0).numpy()))
corpus.note(
    "sac_loss.pt", "torch.save({'loss': SACLoss(...).state_dict()}, path)", {"observations": PENDULUM, "actions": TORQUE},
    {"actor": pi, "qvalue": layers},
    flags={"actor": ["--key", "loss.actor_network_params", "--activation", "tanh"], "qvalue": ["--key", "loss.qvalue_network_params", "--activation", "relu"]},
    remark="two critics in one stacked tensor; __batch_size and __device entries beside them",
)  # fmt: skip
