"""Agents of Stable-Baselines3 and sb3-contrib, saved as their users save them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import sb3_contrib
import stable_baselines3 as sb3
import torch
from recording import ROWS, Corpus, activations, hooked, silence, silence_odd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

corpus = Corpus("stable-baselines3", "sb3-contrib", "torch", "numpy", "gymnasium")
rng = np.random.default_rng(1)


class Sensors(gym.Env[Any, Any]):
    """Observations of two vectors and a number of a choice, actions in [-2, 2]."""

    observation_space = gym.spaces.Dict(
        {
            "velocity": gym.spaces.Box(-1, 1, (3,), np.float32),
            "angle": gym.spaces.Box(-1, 1, (2,), np.float32),
            "gear": gym.spaces.Discrete(4),
        }
    )
    action_space = gym.spaces.Box(-2, 2, (2,), np.float32)

    def reset(self, **options: Any) -> Any:
        """Draw an observation."""
        super().reset(**options)
        self.observation_space.seed(1)
        self.left = 40
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        """Draw the next one."""
        self.left -= 1
        return self.observation_space.sample(), float(np.sum(action)), False, self.left == 0, {}


class Buttons(Sensors):
    """The same with three buttons and no choice among the sensors."""

    observation_space = gym.spaces.Dict(
        {name: space for name, space in Sensors.observation_space.spaces.items() if name != "gear"}
    )
    action_space = gym.spaces.Discrete(3)


def raw(env: Any, rows: int = ROWS) -> tuple[Any, Any]:
    """Return observations and actions of a random policy, in the units of the environment."""
    observation, _ = env.reset(seed=1)
    env.action_space.seed(1)
    seen, taken = [], []
    for _ in range(rows):
        action = env.action_space.sample()
        seen.append(observation)
        taken.append(action)
        observation, _, ended, cut, _ = env.step(action)
        if ended or cut:
            observation, _ = env.reset()
    if isinstance(observation, dict):
        return {key: np.stack([np.asarray(o[key]) for o in seen]) for key in observation}, np.stack(taken)
    return np.stack(seen), np.stack(taken)


def sample_of(observations: Any, actions: Any = None) -> dict[str, Any]:
    """Return the arrays of a sample file."""
    if isinstance(observations, dict):
        arrays = {f"observations/{key}": value for key, value in observations.items()}
    else:
        arrays = {"observations": observations}
    return arrays if actions is None else {**arrays, "actions": actions}


def dense(module: nn.Module) -> list[nn.Linear]:
    """Return the dense layers of a module."""
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


def hidden(actor: nn.Module) -> dict[str, nn.Module]:
    """Return the nonlinearities of an actor without the tanh that TD3 and DDPG put behind its output."""
    return {name: m for name, m in activations(actor).items() if not isinstance(m, nn.Tanh)}


def scaled(model: Any, actions: Any) -> torch.Tensor:
    """Return actions as the critic was trained on them."""
    return torch.as_tensor(model.policy.scale_action(actions), dtype=torch.float32)


def on_policy(name: str, make: Any, env_id: Any, learn: int = 256, recurrent: bool = False) -> None:
    """Save an actor-critic; its truth is of one evaluation of the policy and the value."""
    env = gym.make(env_id) if isinstance(env_id, str) else env_id()
    model = make(env)
    model.learn(learn)
    policy = model.policy
    tanh = isinstance(policy.activation_fn(), nn.Tanh)
    for net in (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net):
        (silence_odd if tanh else silence)(dense(net)[0])
    observations, _ = raw(env)
    tensor, _ = policy.obs_to_tensor(observations)
    policy.set_training_mode(False)
    if recurrent:
        states = tuple(torch.zeros(1, ROWS, policy.lstm_output_dim) for _ in range(2))
        from sb3_contrib.common.recurrent.type_aliases import RNNStates

        def call() -> Any:
            return policy(tensor, RNNStates(states, states), torch.ones(ROWS))
    else:

        def call() -> Any:
            return policy(tensor)

    layers = hooked(call, activations(policy))
    model.save(corpus.folder / f"{name}.zip")
    policy.save(str(corpus.folder / f"{name}_policy.pt"))
    remark = "one step from a zero state; the memory is no layer here" if recurrent else ""
    for file, how in ((f"{name}.zip", "model.save()"), (f"{name}_policy.pt", "model.policy.save()")):
        corpus.note(file, how, sample_of(observations), {"policy": layers}, preprocessing=PRE, remark=remark)


PRE = "obs_to_tensor + preprocess_obs: float32; Discrete one-hot; Dict concatenated in key order"


def q_learner(name: str, make: Any, env_id: Any, net: str) -> None:
    """Save an agent with one network of values."""
    env = gym.make(env_id) if isinstance(env_id, str) else env_id()
    model = make(env)
    model.learn(200)
    network = getattr(model, net)
    silence(dense(network)[0])
    observations, _ = raw(env)
    tensor, _ = model.policy.obs_to_tensor(observations)
    layers = hooked(lambda: network(tensor), activations(network))
    model.save(corpus.folder / f"{name}.zip")
    model.policy.save(str(corpus.folder / f"{name}_policy.pt"))
    for file, how in ((f"{name}.zip", "model.save()"), (f"{name}_policy.pt", "model.policy.save()")):
        corpus.note(file, how, sample_of(observations), {net: layers}, flags={net: ["--key", net]}, preprocessing=PRE)


def actor_critic(name: str, make: Any, env_id: Any, replay: bool = False) -> None:
    """Save an agent with an actor and critics that read actions in [-1, 1]."""
    env = gym.make(env_id) if isinstance(env_id, str) else env_id()
    model = make(env)
    model.learn(200)
    model.policy.set_training_mode(False)
    for module in (model.actor, model.critic):
        silence(dense(module)[0])
    observations, actions = raw(env)

    def networks(observations: Any, actions: Any) -> dict[str, Any]:
        tensor, _ = model.policy.obs_to_tensor(observations)
        return {
            "actor": hooked(lambda: model.actor(tensor), hidden(model.actor)),
            "critic": hooked(lambda: model.critic(tensor, actions), activations(model.critic)),
        }

    answer = networks(observations, scaled(model, actions))
    flags = {"actor": ["--key", "actor"], "critic": ["--key", "critic"]}
    remark = "actions of the sample are in the environment's units; the critics read them scaled to [-1, 1]"
    model.save(corpus.folder / f"{name}.zip")
    model.policy.save(str(corpus.folder / f"{name}_policy.pt"))
    for file, how in ((f"{name}.zip", "model.save()"), (f"{name}_policy.pt", "model.policy.save()")):
        corpus.note(file, how, sample_of(observations, actions), answer, flags=flags, preprocessing=PRE, remark=remark)
    if replay:
        model.save_replay_buffer(corpus.folder / f"{name}_replay.pkl")
        buffer = model.replay_buffer
        filled = buffer.size()
        if isinstance(buffer.observations, dict):
            observations = {key: value[:filled, 0] for key, value in buffer.observations.items()}
            observations["gear"] = observations["gear"].reshape(-1)
        else:
            observations = buffer.observations[:filled, 0]
        actions = buffer.actions[:filled, 0]
        corpus.note(
            f"{name}.zip",
            "model.save() and model.save_replay_buffer()",
            sample_of(observations, actions),
            networks(observations, torch.as_tensor(actions, dtype=torch.float32)),
            flags=flags,
            remark="scanned with --sample REPLAY.pkl: its actions are scaled to [-1, 1] already",
            sample_file=f"{name}_replay.pkl",
        )


def normalised(name: str, make: Any, policy_kind: str) -> None:
    """Save an agent that was trained on VecNormalize, and the pickle of its means beside it."""
    venv = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]))
    model = make(venv)
    model.learn(300)
    folder = corpus.folder / f"{name}"
    folder.mkdir(exist_ok=True)
    observations, actions = raw(gym.make("Pendulum-v1"))
    tensor = torch.as_tensor(venv.normalize_obs(observations), dtype=torch.float32)
    if policy_kind == "on":
        silence_odd(dense(model.policy.mlp_extractor.policy_net)[0])
        networks = {"policy": hooked(lambda: model.policy(tensor), activations(model.policy))}
        flags = {}
        sample = sample_of(observations)
    else:
        for module in (model.actor, model.critic):
            silence(dense(module)[0])
        networks = {
            "actor": hooked(lambda: model.actor(tensor), activations(model.actor)),
            "critic": hooked(lambda: model.critic(tensor, scaled(model, actions)), activations(model.critic)),
        }
        flags = {"actor": ["--key", "actor"], "critic": ["--key", "critic"]}
        sample = sample_of(observations, actions)
    model.save(folder / "model.zip")
    venv.save(str(folder / "vecnormalize.pkl"))
    how = "model.save(), venv.save('vecnormalize.pkl')"
    pre = (
        "(obs - obs_rms.mean) / sqrt(obs_rms.var + 1e-8), clipped to [-10, 10]; the statistics are in vecnormalize.pkl"
    )
    corpus.note(f"{name}/model.zip", how, sample, networks, flags=flags, preprocessing=pre)
    if policy_kind == "off":
        model.save_replay_buffer(folder / "replay.pkl")
        buffer = model.replay_buffer
        observations, actions = buffer.observations[: buffer.size(), 0], buffer.actions[: buffer.size(), 0]
        tensor = torch.as_tensor(venv.normalize_obs(observations), dtype=torch.float32)
        stored = torch.as_tensor(actions)
        networks = {
            "actor": hooked(lambda: model.actor(tensor), activations(model.actor)),
            "critic": hooked(lambda: model.critic(tensor, stored), activations(model.critic)),
        }
        corpus.note(
            f"{name}/model.zip",
            "model.save(), venv.save(), model.save_replay_buffer()",
            sample_of(observations, actions),
            networks,
            flags=flags,
            preprocessing=pre,
            remark="the buffer holds raw observations and actions in [-1, 1]",
            sample_file=f"{name}/replay.pkl",
        )


short = {"n_steps": 128, "seed": 1}


def off() -> dict[str, Any]:
    """Return the options of the off-policy agents; a dictionary of its own for each, for agents write into it."""
    return {"seed": 1, "learning_starts": 100, "buffer_size": 500, "policy_kwargs": {"net_arch": [64, 64]}}


on_policy("ppo", lambda env: sb3.PPO("MlpPolicy", env, **short), "CartPole-v1")
on_policy("ppo_continuous", lambda env: sb3.PPO("MlpPolicy", env, **short), "Pendulum-v1")
on_policy(
    "ppo_relu",
    lambda env: sb3.PPO(
        "MlpPolicy", env, **short, policy_kwargs={"activation_fn": nn.ReLU, "net_arch": {"pi": [64, 32], "vf": [48]}}
    ),
    "CartPole-v1",
)
on_policy(
    "ppo_sde",
    lambda env: sb3.PPO("MlpPolicy", env, **short, use_sde=True, policy_kwargs={"ortho_init": False}),
    "Pendulum-v1",
)
on_policy("ppo_dict", lambda env: sb3.PPO("MultiInputPolicy", env, **short), Sensors)
on_policy("a2c", lambda env: sb3.A2C("MlpPolicy", env, seed=1), "CartPole-v1")
q_learner("dqn", lambda env: sb3.DQN("MlpPolicy", env, **off()), "CartPole-v1", "q_net")
q_learner("dqn_dict", lambda env: sb3.DQN("MultiInputPolicy", env, **off()), Buttons, "q_net")
actor_critic("sac", lambda env: sb3.SAC("MlpPolicy", env, **off()), "Pendulum-v1", replay=True)
actor_critic("sac_dict", lambda env: sb3.SAC("MultiInputPolicy", env, **off()), Sensors, replay=True)
actor_critic("td3", lambda env: sb3.TD3("MlpPolicy", env, **off()), "Pendulum-v1")
actor_critic("ddpg", lambda env: sb3.DDPG("MlpPolicy", env, **off()), "Pendulum-v1")
actor_critic("tqc", lambda env: sb3_contrib.TQC("MlpPolicy", env, **off()), "Pendulum-v1")
actor_critic("crossq", lambda env: sb3_contrib.CrossQ("MlpPolicy", env, **off()), "Pendulum-v1")
q_learner("qrdqn", lambda env: sb3_contrib.QRDQN("MlpPolicy", env, **off()), "CartPole-v1", "quantile_net")
on_policy("trpo", lambda env: sb3_contrib.TRPO("MlpPolicy", env, **short), "CartPole-v1")
on_policy(
    "recurrent_ppo",
    lambda env: sb3_contrib.RecurrentPPO("MlpLstmPolicy", env, **short, policy_kwargs={"lstm_hidden_size": 32}),
    "CartPole-v1",
    recurrent=True,
)
normalised("ppo_vecnormalize", lambda env: sb3.PPO("MlpPolicy", env, **short), "on")
normalised("sac_vecnormalize", lambda env: sb3.SAC("MlpPolicy", env, **off()), "off")


def ars() -> None:
    """Augmented random search: one actor."""
    env = gym.make("CartPole-v1")
    model = sb3_contrib.ARS("MlpPolicy", env, seed=1, n_delta=2, policy_kwargs={"net_arch": [64, 64]})
    model.learn(300)
    silence(dense(model.policy.action_net)[0])
    observations, _ = raw(env)
    tensor, _ = model.policy.obs_to_tensor(observations)
    layers = hooked(lambda: model.policy(tensor), activations(model.policy))
    model.save(corpus.folder / "ars.zip")
    corpus.note("ars.zip", "model.save()", sample_of(observations), {"policy": layers})


ars()
