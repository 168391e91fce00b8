"""Parameters of Flax: linen and nnx, as msgpack, safetensors, npz and orbax folders."""

from __future__ import annotations

from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from flax.training.train_state import TrainState
from flax.traverse_util import flatten_dict
from recording import ROWS, Corpus, layer_truth
from safetensors.flax import save_file

corpus = Corpus("flax", "jax", "orbax-checkpoint", "numpy")
X = np.random.default_rng(1).standard_normal((ROWS, 4)).astype(np.float32)


class Q(nn.Module):
    """A Q-network in linen."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        """Return values; the activations are kept as intermediates."""
        for i in range(2):
            x = nn.relu(nn.Dense(64)(x))
            self.sow("intermediates", f"relu_{i}", x)
        return nn.Dense(2)(x)


def silence(kernel: Any, bias: Any) -> tuple[Any, Any]:
    """Make the first half of the neurons dead."""
    dead = kernel.shape[1] // 2
    return kernel.at[:, :dead].set(0), bias.at[:dead].set(-20)


module = Q()
params = module.init(jax.random.key(1), X)["params"]
params = jax.tree.map(lambda a: a, params)
params["Dense_0"]["kernel"], params["Dense_0"]["bias"] = silence(params["Dense_0"]["kernel"], params["Dense_0"]["bias"])
_, kept = module.apply({"params": params}, X, mutable=["intermediates"])
truth = {
    "q": [
        layer_truth(
            name, np.abs(np.asarray(kept["intermediates"][name.replace("Dense", "relu")][0], np.float64)).mean(0)
        )
        for name in ("Dense_0", "Dense_1")
    ]
}
flags = {"q": ["--activation", "relu"]}
sample = {"observations": X}


def note(file: str, how: str, remark: str = "") -> None:
    """Note one file of the linen network."""
    corpus.note(file, how, sample, truth, flags=flags, remark=remark)


state = TrainState.create(apply_fn=module.apply, params=params, tx=optax.adam(1e-3))
(corpus.folder / "params.msgpack").write_bytes(flax.serialization.to_bytes(params))
note("params.msgpack", "flax.serialization.to_bytes(params)")
(corpus.folder / "train_state.msgpack").write_bytes(flax.serialization.to_bytes(state))
note("train_state.msgpack", "flax.serialization.to_bytes(TrainState)")
flat = {key: np.asarray(value) for key, value in flatten_dict(params, sep=".").items()}
save_file({key: jnp.asarray(value) for key, value in flat.items()}, corpus.folder / "flax.safetensors")
note(
    "flax.safetensors",
    "safetensors.flax.save_file(flatten_dict(params, sep='.'), path)",
    "kernels are (inputs, outputs)",
)
np.savez(corpus.folder / "params.npz", **{key.replace(".", "/"): value for key, value in flat.items()})
note("params.npz", "np.savez(path, **flatten_dict(params, sep='/'))")
with ocp.StandardCheckpointer() as saver:
    saver.save((corpus.folder / "orbax_params").absolute(), params)
    saver.save((corpus.folder / "orbax_state").absolute(), {"params": params, "step": 30, "opt_state": state.opt_state})
note("orbax_params", "ocp.StandardCheckpointer().save(folder, params)")
note("orbax_state", "ocp.StandardCheckpointer().save(folder, {'params': ..., 'opt_state': ..., 'step': n})")
with ocp.CheckpointManager((corpus.folder / "orbax_manager").absolute()) as manager:
    manager.save(30, args=ocp.args.StandardSave({"params": params}))
note("orbax_manager/30", "ocp.CheckpointManager(folder).save(30, args=ocp.args.StandardSave(...))")
note("orbax_manager", "the folder of the manager")


class NNX(nnx.Module):
    """The same network in nnx."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.hidden1 = nnx.Linear(4, 64, rngs=rngs)
        self.hidden2 = nnx.Linear(64, 64, rngs=rngs)
        self.out = nnx.Linear(64, 2, rngs=rngs)

    def activations(self, x: Any) -> list[Any]:
        """Return both hidden layers."""
        a = nnx.relu(self.hidden1(x))
        return [a, nnx.relu(self.hidden2(a))]

    def __call__(self, x: Any) -> Any:
        """Return values."""
        return self.out(self.activations(x)[-1])


net = NNX(nnx.Rngs(1))
net.hidden1.kernel[...], net.hidden1.bias[...] = silence(net.hidden1.kernel[...], net.hidden1.bias[...])
truth = {
    "q": [
        layer_truth(n, np.abs(np.asarray(a, np.float64)).mean(0))
        for n, a in zip(("hidden1", "hidden2"), net.activations(X), strict=True)
    ]
}
pure = nnx.to_pure_dict(nnx.state(net))
with ocp.StandardCheckpointer() as saver:
    saver.save((corpus.folder / "nnx_orbax").absolute(), nnx.state(net))
    saver.save((corpus.folder / "nnx_orbax_pure").absolute(), pure)
note("nnx_orbax", "ocp.StandardCheckpointer().save(folder, nnx.state(model))")
note("nnx_orbax_pure", "ocp.StandardCheckpointer().save(folder, nnx.to_pure_dict(nnx.state(model)))")
(corpus.folder / "nnx.msgpack").write_bytes(flax.serialization.to_bytes(pure))
note("nnx.msgpack", "flax.serialization.to_bytes(nnx.to_pure_dict(nnx.state(model)))")
