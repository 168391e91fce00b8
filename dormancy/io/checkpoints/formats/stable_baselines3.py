"""Stable-Baselines3: a zip of JSON and torch files. Its JSON holds pickles as text too; those are never decoded."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, final

from dormancy.errors import FileError, FormatError, InputError, KeyNeeded
from dormancy.io.checkpoints.architecture.identify import checkpoint_of
from dormancy.io.checkpoints.architecture.infer import Known
from dormancy.io.checkpoints.checkpoint import Assumption, Checkpoint
from dormancy.io.checkpoints.reader import READERS, Candidate
from dormancy.io.checkpoints.state_dicts import Parameters, once, state_dicts
from dormancy.io.safety.torch_load import load_guarded
from dormancy.io.safety.torch_zip import read_stored
from dormancy.text.escape import one_line, printable

__all__ = ["ACTIVATIONS", "FORMAT", "StableBaselinesReader"]

FORMAT = "stable-baselines3"

MAX_JSON, MAX_POLICY = 16 << 20, 1 << 30

_NETWORKS = {
    "q_net": "the Q-network", "quantile_net": "the quantile network", "actor": "the actor", "critic": "the critics",
    "q_net_target": "", "quantile_net_target": "", "actor_target": "", "critic_target": "",
}  # fmt: skip
"""Networks that a policy holds by name; the first one there is scanned unless ``--key`` names another."""

_NORMALIZER = re.compile(r"(?i)[\w.-]*vec_?normalize[\w.-]*\.pkl")

ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "ELU": "elu", "GELU": "gelu", "SiLU": "silu", "LeakyReLU": "leaky_relu"}


@final
class StableBaselinesReader:
    """Reads the policies of DQN, QR-DQN, SAC, TD3, DDPG, PPO and A2C with dense networks or the Nature CNN."""

    def sniff(self, candidate: Candidate) -> bool:
        """Whether it is a zip with the JSON and the policy that ``model.save`` writes."""
        return {"data", "policy.pth"} <= set(candidate.members)

    def read(self, candidate: Candidate) -> Checkpoint:
        """Read one network of the policy; raises `KeyNeeded` for a key it does not have, else as `infer` does."""
        return self.opened(candidate)[1]

    def networks(self, candidate: Candidate) -> dict[str, Parameters]:
        """Return the networks of the policy by name; of an actor-critic, the whole policy."""
        name = printable(candidate.path)
        members = read_stored(candidate.stream, name, {"policy.pth": MAX_POLICY})
        parameters = state_dicts(load_guarded(io.BytesIO(members["policy.pth"]), f"{name}:policy.pth")).get("", {})
        parts = {
            key: {each: part for each, part in parameters.items() if each.startswith(f"{key}.")} for key in _NETWORKS
        }
        return {key: part for key, part in parts.items() if part} or {"policy": parameters}

    def opened(self, candidate: Candidate) -> tuple[Any, Checkpoint]:
        """Return the content of ``policy.pth`` as well, whose tensors the checkpoint has: to be written back."""
        name = printable(candidate.path)
        members = read_stored(candidate.stream, name, {"data": MAX_JSON, "policy.pth": MAX_POLICY})
        data = _Data(members["data"], name)
        policy = load_guarded(io.BytesIO(members["policy.pth"]), f"{name}:policy.pth")
        parameters = state_dicts(policy).get("")
        if parameters is None:
            raise FormatError(f"{name}: its policy.pth holds no parameters by name; save the agent again")
        key, chosen, shared = _network(parameters, candidate.hints.key, name)
        doubts = (*data.scaled_actions(chosen), *_normalizer_beside(candidate.path))
        return policy, checkpoint_of(
            candidate, FORMAT, chosen, (key, *shared, *doubts), data.known(chosen),
            agent_step=data.count("num_timesteps"), gradient_step=data.count("_n_updates"),
        )  # fmt: skip


def _normalizer_beside(path: str) -> tuple[Assumption, ...]:
    """Say that the statistics of a ``VecNormalize`` lie in the folder of the agent: they are not applied."""
    try:
        names = sorted(each.name for each in Path(path).parent.iterdir() if _NORMALIZER.fullmatch(each.name))
    except OSError:
        return ()
    if not names:
        return ()
    value = (
        f"taken as the sample has them; {printable(names[0], 60)} beside the agent says that it read normalised ones"
    )
    return (Assumption("observations", value, "not certain: VecNormalize"),)


def _network(
    parameters: Parameters, key: str | None, file: str
) -> tuple[Assumption, Parameters, tuple[Assumption, ...]]:
    """Take one network out of the policy: the one named, else the first of those that are learnt."""
    there = [name for name in _NETWORKS if any(each.startswith(f"{name}.") for each in parameters)]
    if not there:
        return _actor_critic(parameters, key, file)
    if key is not None and key not in there:
        raise KeyNeeded(f"{file}: no network '{printable(key, 60)}'; --key takes {', '.join(there)}")
    chosen = key or there[0]
    found = {
        name.removeprefix(f"{chosen}."): part for name, part in parameters.items() if name.startswith(f"{chosen}.")
    }
    kept, shared = once(found)
    others = f" (also there: {', '.join(name for name in there if name != chosen)})" if len(there) > 1 else ""
    return Assumption("network", chosen + ("" if key else others), "flag: --key" if key else "template"), kept, shared


def _actor_critic(
    parameters: Parameters, key: str | None, file: str
) -> tuple[Assumption, Parameters, tuple[Assumption, ...]]:
    """Take PPO's or A2C's policy: whole, or only what the actor or the critic computes with.

    Its feature extractor is listed up to three times under three names. Where actor and critic have one each, they are
    two networks and one of them is looked at.
    """
    sides = {"actor": ("pi_", "policy_net", "action_net"), "critic": ("vf_", "value_net", "value_net")}
    if key not in (None, "policy", *sides):
        raise KeyNeeded(f"{file}: no network '{printable(key, 60)}'; --key takes policy, actor, critic")
    kept, shared = once(parameters)
    separate = any(name.startswith("vf_features_extractor.") for name in kept)
    chosen = key or ("actor" if separate else "policy")
    if chosen == "policy":
        if separate:
            raise KeyNeeded(f"{file}: its actor and critic have a feature extractor each; choose --key actor or critic")
        return Assumption("network", chosen, "flag: --key" if key else "template"), kept, shared
    prefix, hidden, head = sides[chosen]
    beginnings = (f"mlp_extractor.{hidden}.", f"{head}.", f"{prefix}features_extractor.")
    found = {name.removeprefix(prefix): part for name, part in parameters.items() if name.startswith(beginnings)}
    note = "" if key else " (also there: critic)"
    return Assumption("network", chosen + note, "flag: --key" if key else "template"), found, ()


@final
class _Data:
    """The JSON of a saved agent: only plain values are looked at, never what is serialised in it."""

    def __init__(self, raw: bytes, file: str) -> None:
        self.file = file
        try:
            content = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise FileError(f"{file}: damaged: its data is not JSON ({one_line(error, 80)}); save it again") from error
        if not isinstance(content, dict):
            raise FormatError(f"{file}: its data is not a table; save the agent again")
        self.content: dict[str, Any] = content

    def table(self, key: str) -> Mapping[str, Any]:
        found = self.content.get(key)
        return found if isinstance(found, dict) else {}

    def count(self, key: str) -> int | None:
        found = self.content.get(key)
        return found if type(found) is int and found >= 0 else None

    def shape(self, space: str) -> tuple[int, ...] | None:
        """Return the shape of a Box; other spaces (Dict, Discrete) have none that parameters can be held against."""
        found = self.table(space).get("_shape")
        box = "spaces.box.Box" in str(self.table(space).get(":type:"))
        whole = isinstance(found, list) and all(type(size) is int and 0 < size < 1 << 31 for size in found)
        return tuple(found) if box and whole and isinstance(found, list) else None

    def scaled_actions(self, parameters: Parameters) -> tuple[Assumption, ...]:
        """Doubt the actions of a critic whose action space is not [-1, 1]: the library scales them before it trains.

        A sample of the library's own replay buffer has scaled actions, one from the environment has not.
        """
        space = self.table("action_space")
        bounds = [re.findall(r"[-+\w.]+", str(space.get(side))[:4096]) for side in ("low", "high")]
        scaled = [set(map(_number, side)) for side in bounds] == [{-1.0}, {1.0}]
        critic = any(re.match(r"qf\d+\.", name) for name in parameters)
        if scaled or not critic or self.shape("action_space") is None:
            return ()
        limits = " to ".join(printable(str(space.get(side)), 40) for side in ("low", "high"))
        said = (
            "taken as the sample has them; this critic was trained on actions scaled to [-1, 1], as its replay buffer "
            f"has them, and the environment takes {limits}: a sample in those units gives other numbers"
        )
        return (Assumption("actions", said, "not certain: stable-baselines3"),)

    def known(self, parameters: Parameters) -> Known:
        """Return what the JSON says of the network, and where it is silent, what the library does by default."""
        observations, actions = self.shape("observation_space"), self.shape("action_space")
        return Known(
            observation_shape=observations,
            activation=self.activation(parameters),
            input_scale=self.scale(observations),
            actions=prod(actions) if actions else 0,
        )

    def activation(self, parameters: Parameters) -> tuple[str, str]:
        """Return the nonlinearity of the dense layers; by default tanh in PPO and A2C, else relu (ARS, too)."""
        named = self.table("policy_kwargs").get("activation_fn")
        if named is not None:
            kind = re.search(r"(\w+)'?>?$", str(named)[:200])
            if kind is None or kind[1] not in ACTIVATIONS:
                known = ", ".join(ACTIVATIONS)
                raise InputError(
                    f"{self.file}: activation_fn '{printable(named, 60)}' is not known ({known}); use --model"
                )
            return ACTIVATIONS[kind[1]], "file: policy_kwargs"
        on_policy = any(name.startswith(("mlp_extractor.", "value_net.")) for name in parameters)
        return "tanh" if on_policy else "relu", "template: stable-baselines3 default"

    def scale(self, observations: tuple[int, ...] | None) -> tuple[float, str]:
        """Return 1/255 for images in bytes, which the library divides itself unless told not to."""
        pixels = self.table("observation_space").get("dtype") == "uint8" and len(observations or ()) == 3
        told = self.table("policy_kwargs").get("normalize_images")
        scaled = pixels and told is not False
        return (
            1 / 255 if scaled else 1.0,
            "template: stable-baselines3 default" if told is None else "file: policy_kwargs",
        )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


READERS.register(FORMAT)(StableBaselinesReader())
