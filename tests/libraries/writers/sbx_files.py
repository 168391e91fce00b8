"""Agents of sbx, Stable-Baselines in JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import sbx
from observations import rows
from recording import Corpus, layer_truth

corpus = Corpus("sbx-rl", "stable-baselines3", "flax", "jax")
CART, _ = rows("CartPole-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")


def truth(apply: Any, params: Any, *inputs: Any) -> list[dict[str, Any]]:
    """Return the layers whose nonlinearities flax's interceptor sees: every Dense but the last, then the function."""
    import flax.linen as nn

    seen: list[tuple[str, Any]] = []

    def intercept(next_fun: Any, args: Any, kwargs: Any, context: Any) -> Any:
        out = next_fun(*args, **kwargs)
        if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
            seen.append(("/".join(context.module.path), out))
        return out

    with nn.intercept_methods(intercept):
        apply(params, *inputs)
    return [(n, np.asarray(v, np.float64)) for n, v in seen]


def layers(pairs: Any, function: Any, heads: int = 1) -> list[dict[str, Any]]:
    """Apply the nonlinearity, and leave the heads out."""
    answer = []
    for name, value in pairs:
        if value.shape[-1] != 64:
            continue
        activity = np.abs(function(value))
        if activity.ndim == 3:  # an ensemble of critics: (critics, rows, neurons)
            answer += [layer_truth(f"{name}[{i}]", part.mean(0)) for i, part in enumerate(activity)]
        else:
            answer.append(layer_truth(name, activity.mean(0)))
    return answer


relu, tanh = lambda v: np.maximum(v, 0), np.tanh
small = {"net_arch": [64, 64]}
ppo = sbx.PPO("MlpPolicy", "CartPole-v1", n_steps=128, seed=1)
ppo.learn(256)
ppo.save(corpus.folder / "ppo.zip")
pi = layers(truth(ppo.policy.actor_state.apply_fn, ppo.policy.actor_state.params, CART), tanh)
vf = layers(truth(ppo.policy.vf_state.apply_fn, ppo.policy.vf_state.params, CART), tanh)
corpus.note(
    "ppo.zip",
    "model.save()",
    {"observations": CART},
    {"actor": pi, "vf": vf},
    flags={"actor": ["--key", "actor"], "vf": ["--key", "vf"]},
)
dqn = sbx.DQN("MlpPolicy", "CartPole-v1", learning_starts=50, buffer_size=300, seed=1, policy_kwargs=dict(small))
dqn.learn(200)
dqn.save(corpus.folder / "dqn.zip")
q = layers(truth(dqn.policy.qf_state.apply_fn, dqn.policy.qf_state.params, CART), relu)
corpus.note("dqn.zip", "model.save()", {"observations": CART}, {"qf": q}, flags={"qf": ["--key", "qf"]})
sac = sbx.SAC("MlpPolicy", "Pendulum-v1", learning_starts=50, buffer_size=300, seed=1, policy_kwargs=dict(small))
sac.learn(200)
sac.save(corpus.folder / "sac.zip")
actor = layers(truth(sac.policy.actor_state.apply_fn, sac.policy.actor_state.params, PENDULUM), relu)
scaled = sac.policy.scale_action(TORQUE)
joined = np.concatenate([PENDULUM, scaled], 1).astype(np.float64)
critic = []
stacked = jax.tree.map(lambda a: np.asarray(a, np.float64), next(iter(sac.policy.qf_state.params["params"].values())))
for i in range(2):
    hidden = joined
    for name in ("Dense_0", "Dense_1"):
        hidden = relu(hidden @ stacked[name]["kernel"][i] + stacked[name]["bias"][i])
        critic.append(layer_truth(f"{name}[{i}]", hidden.mean(0)))
corpus.note(
    "sac.zip", "model.save()", {"observations": PENDULUM, "actions": TORQUE}, {"actor": actor, "qf": critic},
    flags={"actor": ["--key", "actor"], "qf": ["--key", "qf"]}, remark="two critics in one array (vmap); actions scaled to [-1, 1]",
)  # fmt: skip
