"""Folders of RLlib: RLModule.save_to_path(), as they lie inside an Algorithm's checkpoint."""

from __future__ import annotations

import gymnasium as gym
import torch
from observations import rows
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.algorithms.sac.sac_catalog import SACCatalog
from ray.rllib.algorithms.sac.torch.default_sac_torch_rl_module import DefaultSACTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from recording import Corpus, activations, hooked, silence, silence_odd
from torch import nn

torch.manual_seed(1)
corpus = Corpus("ray", "torch", "numpy", "gymnasium")
CART, _ = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
cart, pendulum = gym.make("CartPole-v1"), gym.make("Pendulum-v1")


def spaces(env: gym.Env) -> dict[str, gym.Space]:
    """Return the spaces of a module."""
    return {"observation_space": env.observation_space, "action_space": env.action_space}


for name, shared in (("ppo", False), ("ppo_shared", True)):
    spec = RLModuleSpec(
        module_class=DefaultPPOTorchRLModule, **spaces(cart),
        model_config={"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh", "vf_share_layers": shared, "head_fcnet_hiddens": []},
    )  # fmt: skip
    module = spec.build()
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and layer.in_features == 4:
            silence_odd(layer)
    batch = {Columns.OBS: torch.as_tensor(CART)}

    def call(module=module, batch=batch):
        """Run policy and value."""
        module.forward_train(batch)
        if hasattr(module, "compute_values"):
            module.compute_values(batch)

    names = activations(module)
    print(name, list(names))
    truth = {"module": hooked(lambda: (module.forward_train(batch), module.compute_values(batch)), names)}
    module.save_to_path((corpus.folder / name).absolute())
    flags = {"module": ["--activation", "tanh"]}
    how = "module.save_to_path(folder)"
    corpus.note(
        name,
        how,
        {"observations": CART},
        truth,
        flags=flags,
        remark="a folder: module_state.pkl, class_and_ctor_args.pkl, metadata.json",
    )
    corpus.note(f"{name}/module_state.pkl", how, {"observations": CART}, truth, flags=flags, remark="the file in it")
    torch.save(module.state_dict(), corpus.folder / f"{name}.pt")
    corpus.note(f"{name}.pt", "torch.save(module.state_dict(), path)", {"observations": CART}, truth, flags=flags)
several = MultiRLModuleSpec(rl_module_specs={"default_policy": spec}).build()
for layer in several["default_policy"].modules():
    if isinstance(layer, nn.Linear) and layer.in_features == 4:
        silence_odd(layer)
inner = several["default_policy"]
truth = {
    "default_policy": hooked(lambda: (inner.forward_train(batch), inner.compute_values(batch)), activations(inner))
}
corpus.note(
    "multi",
    "MultiRLModule.save_to_path(folder)",
    {"observations": CART},
    truth,
    flags={"default_policy": ["--activation", "tanh"]},
    remark="a folder: default_policy/module_state.pkl",
)
sac = RLModuleSpec(
    module_class=DefaultSACTorchRLModule, catalog_class=SACCatalog, **spaces(pendulum),
    model_config={"fcnet_hiddens": [64, 64], "fcnet_activation": "relu", "head_fcnet_hiddens": [], "twin_q": True},
).build()  # fmt: skip
for layer in sac.modules():
    if isinstance(layer, nn.Linear) and layer.in_features in (3, 4):
        silence(layer)
batch = {Columns.OBS: torch.as_tensor(PENDULUM), Columns.ACTIONS: torch.as_tensor(TORQUE)}
pi = hooked(lambda: sac.pi(sac.pi_encoder(batch)["encoder_out"]), activations(sac.pi_encoder, "pi_encoder."))
q = hooked(
    lambda: sac._qf_forward_train_helper(batch, sac.qf_encoder, sac.qf),
    {**activations(sac.qf_encoder, "qf_encoder."), **activations(sac.qf, "qf.")},
)
sac.save_to_path((corpus.folder / "sac").absolute())
corpus.note(
    "sac", "module.save_to_path(folder)", {"observations": PENDULUM, "actions": TORQUE}, {"pi": pi, "qf": q},
    flags={"pi": ["--key", "pi", "--activation", "relu"], "qf": ["--key", "qf", "--activation", "relu"]},
    remark="pi_encoder + pi, qf_encoder + qf, qf_twin_encoder + qf_twin, target_qf_*",
)  # fmt: skip
