"""Agents of skrl: checkpoints of PPO and SAC with running means of the observations and without."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from observations import rows
from recording import Corpus, activations, hooked, silence
from skrl.agents.torch.ppo import PPO
from skrl.agents.torch.sac import SAC
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.utils.model_instantiators.torch import deterministic_model, gaussian_model, shared_model
from torch import nn

torch.manual_seed(1)
corpus = Corpus("skrl", "torch", "numpy", "gymnasium")
env = gym.make("Pendulum-v1")
PENDULUM, TORQUE = rows("Pendulum-v1")
observations = torch.as_tensor(PENDULUM * np.float32(1))
spaces = {"observation_space": env.observation_space, "action_space": env.action_space, "device": "cpu"}


def network(inputs: str = "OBSERVATIONS") -> Any:
    """Return two hidden layers."""
    return [{"name": "net", "input": inputs, "layers": [64, 64], "activations": "elu"}]


def relu(inputs: str = "OBSERVATIONS") -> Any:
    """The same with ReLU."""
    return [{"name": "net", "input": inputs, "layers": [64, 64], "activations": "relu"}]


def save(name: str, agent: Any, sample: Any, inputs: Any, kinds: dict[str, str], scaler: Any) -> None:
    """Save an agent and note its networks."""
    for key, model in agent.models.items():  # its layers are lazy until they are called
        model.compute({"taken_actions": torch.as_tensor(TORQUE), **inputs}, key)
        silence(next(m for m in model.modules() if isinstance(m, nn.Linear)))
    agent.save(str(corpus.folder / f"{name}.pt"))
    networks = {
        key: hooked(lambda m=agent.models[key]: m.compute(inputs, key), activations(agent.models[key])) for key in kinds
    }
    flags = {key: ["--key", key, "--activation", kind] for key, kind in kinds.items()}
    pre = (
        "clamp((obs - running_mean) / (sqrt(running_variance) + 1e-8), -5, 5); the statistics are in the file"
        if scaler
        else "none"
    )
    corpus.note(f"{name}.pt", "agent.save(path)", sample, networks, flags=flags, preprocessing=pre)
    for key in kinds:
        file = f"{name}_{key}.pt"
        agent.models[key].save(str(corpus.folder / file))
        if not scaler:
            corpus.note(
                file, "model.save(path)", sample, {key: networks[key]}, flags={key: ["--activation", kinds[key]]}
            )


for scaled in (True, False):
    models = {
        "policy": gaussian_model(**spaces, network=relu(), output="ACTIONS"),
        "value": deterministic_model(**spaces, network=relu(), output="ONE"),
    }
    cfg: dict[str, Any] = {"experiment": {"write_interval": 0, "checkpoint_interval": 0}}
    if scaled:
        cfg |= {
            "observation_preprocessor": RunningStandardScaler,
            "observation_preprocessor_kwargs": {"size": env.observation_space, "device": "cpu"},
            "value_preprocessor": RunningStandardScaler,
            "value_preprocessor_kwargs": {"size": 1, "device": "cpu"},
        }
    agent = PPO(models=models, memory=None, cfg=cfg, **spaces)
    agent.init()
    inputs = observations
    if scaled:
        preprocessor = agent._observation_preprocessor
        preprocessor(observations * 1.5 + 0.7, train=True)
        inputs = preprocessor(observations)
    save(
        "ppo_scaled" if scaled else "ppo",
        agent,
        {"observations": PENDULUM},
        {"observations": inputs},
        {"policy": "relu", "value": "relu"},
        scaled,
    )
models = {"policy": gaussian_model(**spaces, network=network(), output="ACTIONS")}
for key in ("critic_1", "critic_2", "target_critic_1", "target_critic_2"):
    models[key] = deterministic_model(**spaces, network=relu("concatenate([OBSERVATIONS, ACTIONS])"), output="ONE")
agent = SAC(models=models, memory=None, cfg={"experiment": {"write_interval": 0, "checkpoint_interval": 0}}, **spaces)
agent.init()
save(
    "sac", agent, {"observations": PENDULUM, "actions": TORQUE},
    {"observations": observations, "taken_actions": torch.as_tensor(TORQUE)},
    {"policy": "elu", "critic_1": "relu", "critic_2": "relu"}, False,
)  # fmt: skip
both = shared_model(
    **spaces, structure=["GaussianMixin", "DeterministicMixin"], roles=["policy", "value"],
    parameters=[{"network": relu(), "output": "ACTIONS"}, {"network": relu(), "output": "ONE"}],
)  # fmt: skip
both.compute({"observations": observations}, "policy")
both.compute({"observations": observations}, "value")
silence(next(m for m in both.modules() if isinstance(m, nn.Linear)))
agent = PPO(
    models={"policy": both, "value": both},
    memory=None,
    cfg={"experiment": {"write_interval": 0, "checkpoint_interval": 0}},
    **spaces,
)
agent.init()
agent.save(str(corpus.folder / "ppo_shared.pt"))
truth = hooked(lambda: both.compute({"observations": observations}, "policy"), activations(both))
corpus.note(
    "ppo_shared.pt", "agent.save(path), policy and value share one model", {"observations": PENDULUM}, {"policy": truth, "value": truth},
    flags={key: ["--key", key, "--activation", "relu"] for key in ("policy", "value")},
)  # fmt: skip
