"""Training checkpoints that hold other objects beside tensors: the tensors are read, the objects are only named."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import functools
import io
import os
import random
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import ArchitectureUnknown, KeyNeeded, UnsafeFileError
from dormancy.io import Hints, ReplaySample, load_checkpoint, survey_checkpoint
from dormancy.scanning.scanner import scan_checkpoint
from tests.io.expectations import Refused

RELU = Hints(activation="relu")


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Options:
    rate: float = 1.0
    path: Path = Path("runs")


class AttributeDict(dict[str, Any]):
    pass


def schedule(step: int) -> float:
    return 1.0 / step


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def trained() -> torch.optim.Optimizer:
    """Return an optimizer with state; its parameters refer to hooks and defaults of their own."""
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return optimizer


def scheduler() -> torch.optim.lr_scheduler.StepLR:
    """Return an object that contains itself, through its optimizer."""
    return torch.optim.lr_scheduler.StepLR(trained(), 1)


OBJECTS: dict[str, Callable[[], object]] = {
    "argparse.Namespace": lambda: argparse.Namespace(lr=0.1, seed=1),
    "numpy._core.multiarray.scalar": lambda: np.float64(1),
    "numpy._core": lambda: np.random.get_state(),
    "numpy.random._pickle": lambda: np.random.default_rng(1),
    "numpy.dtype": lambda: np.dtype("float32"),
    "PosixPath|WindowsPath": lambda: Path("runs/a"),
    "datetime.datetime": lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    "Colour": lambda: Colour.RED,
    "Options": Options,
    "collections.deque": lambda: collections.deque([1.0], maxlen=5),
    "collections.Counter": lambda: collections.Counter("aab"),
    "set": lambda: {1, 2},
    "set ": lambda: frozenset([1]),
    "torch.float32": lambda: torch.float32,
    "torch.Size": lambda: torch.Size([1, 2]),
    "torch.device": lambda: torch.device("cpu"),
    "torch.optim.adam.Adam": trained,
    "torch.optim.lr_scheduler.StepLR": scheduler,
    "schedule": lambda: schedule,
    "functools.partial": lambda: functools.partial(schedule, 2),
    "torch.nn.modules.activation.ReLU": lambda: nn.ReLU,
    "torch.nn.modules.activation.ReLU ": nn.ReLU,
    "bytes|_codecs.encode": lambda: b"\x80abc",
    "bytearray": lambda: bytearray(b"abc"),
    "complex": lambda: 1j,
    "range": lambda: range(3),
    "uuid.UUID": uuid.uuid4,
    "AttributeDict": lambda: AttributeDict(lr=1),
    "_rebuild_sparse_tensor": lambda: torch.eye(3).to_sparse(),
    "ComplexFloatStorage": lambda: torch.ones(2, dtype=torch.complex64),
    "expanded tensor": lambda: torch.zeros(1).expand(9),
}
PLAIN: dict[str, Callable[[], object]] = {
    "a defaultdict": lambda: collections.defaultdict(list, returns=[1.0]),
    "the state of random": random.getstate,
    "a long number": lambda: 1 << 300,
    "keys of other types": lambda: {(0, 1): 2, 1.5: 3},
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_beside_a_state_dict_is_named_and_the_network_is_read(
    tmp_path: Path, name: str, protocol: int
) -> None:
    net = network()
    torch.save({"model": net.state_dict(), "beside": OBJECTS[name]()}, tmp_path / "a.pt", pickle_protocol=protocol)
    read = load_checkpoint(tmp_path / "a.pt", RELU)
    assert read.parameters.keys() == net.state_dict().keys()
    assert all(torch.equal(tensor, read.parameters[key]) for key, tensor in net.state_dict().items())
    (told,) = [said.value for said in read.assumptions if said.what.startswith("not read")]
    assert told.startswith("beside")
    assert re.search(name.strip(), told)
    assert survey_checkpoint(tmp_path / "a.pt").beside == told


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_of_any_kind_is_no_reason_to_refuse(tmp_path: Path, name: str, protocol: int) -> None:
    torch.save({"model": network().state_dict(), "x": PLAIN[name]()}, tmp_path / "a.pt", pickle_protocol=protocol)
    assert set(load_checkpoint(tmp_path / "a.pt", RELU).parameters) == {"0.weight", "0.bias", "2.weight", "2.bias"}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nothing_beside_a_state_dict_is_built(tmp_path: Path, protocol: int) -> None:
    """Loading the file as a pickle would leave a folder behind; a state_dict beside the call does not change that."""
    canary = tmp_path / "canary"

    class Malicious:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return os.mkdir, (str(canary),)

    torch.save({"model": network().state_dict(), "x": Malicious()}, tmp_path / "a.pt", pickle_protocol=protocol)
    read = load_checkpoint(tmp_path / "a.pt", RELU)
    assert "mkdir" in str(read.assumptions)
    assert not canary.exists()
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert canary.exists()


def test_tensors_that_share_a_storage_share_memory(tmp_path: Path) -> None:
    state = network().state_dict()
    tied = {"0.weight": state["0.weight"], "again.weight": state["0.weight"], "view": state["0.weight"].t()[1:3]}
    torch.save({"model": tied, "x": argparse.Namespace()}, tmp_path / "a.pt")
    read = survey_checkpoint(tmp_path / "a.pt").networks[0].parameters
    assert read["0.weight"].data_ptr() == read["again.weight"].data_ptr()
    assert torch.equal(read["view"], tied["view"])


def test_a_library_s_file_with_classes_of_torch_and_a_state_dict_is_read(tmp_path: Path) -> None:
    """As Stable-Baselines3's ``policy.save`` and Lightning's checkpoints are: options name modules, none is whole."""
    data = {"activation_fn": nn.ReLU, "optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": 1e-5}}
    torch.save({"state_dict": network().state_dict(), "data": data}, tmp_path / "sb3.pt")
    assert len(load_checkpoint(tmp_path / "sb3.pt", RELU).parameters) == 4
    hyper = {"activation": nn.ReLU(), "net": network(), "lr": np.float32(1)}
    torch.save({"state_dict": network().state_dict(), "hyper_parameters": hyper}, tmp_path / "lightning.ckpt")
    assert load_checkpoint(tmp_path / "lightning.ckpt", RELU).source.format == "state_dict"  # type: ignore[union-attr]
    torch.save({"agent": network(), "args": argparse.Namespace()}, tmp_path / "whole.pt")
    assert load_checkpoint(tmp_path / "whole.pt").source.format == "pickled module"  # type: ignore[union-attr]


@pytest.mark.parametrize(("kind", "name"), [(nn.Tanh, "tanh"), (nn.ReLU, "relu"), (nn.ELU, "elu")])
def test_a_policy_that_was_saved_says_its_nonlinearity(tmp_path: Path, kind: type, name: str) -> None:
    """The class that the options name outranks the templates, and ``--activation`` outranks the class."""
    data = {"activation_fn": kind, "observation_space": Options()}
    torch.save({"state_dict": network().state_dict(), "data": data}, tmp_path / "policy.pt")
    told = [said.value for said in load_checkpoint(tmp_path / "policy.pt").assumptions if said.what == "activation"]
    assert told == [name]
    told = [said.origin for said in load_checkpoint(tmp_path / "policy.pt", RELU).assumptions if said.value == "relu"]
    assert told == ["flag: --activation"]


def test_a_critic_of_a_policy_says_that_its_actions_were_scaled(tmp_path: Path) -> None:
    critic = nn.ModuleDict({"qf0": network()}).state_dict()
    data = {"activation_fn": nn.ReLU, "observation_space": Options()}
    torch.save({"state_dict": critic, "data": data}, tmp_path / "policy.pt")
    assert "scaled to [-1, 1]" in str(load_checkpoint(tmp_path / "policy.pt").assumptions)
    sample = ReplaySample(observations=np.ones((5, 3), np.float32), actions=np.ones((5, 1), np.float32))
    warnings = scan_checkpoint(tmp_path / "policy.pt", sample).warnings
    assert any("scaled to [-1, 1]" in text for text in warnings)


def test_a_temperature_is_no_network(tmp_path: Path) -> None:
    torch.save({"policy": network().state_dict(), "log_temp": {"_parameter": torch.ones(1, 1)}}, tmp_path / "a.pt")
    assert [found.key for found in survey_checkpoint(tmp_path / "a.pt").networks] == ["policy"]


def test_an_entry_that_is_no_tensor_does_not_void_a_state_dict(tmp_path: Path) -> None:
    state = {**network().state_dict(), "_extra_state": b"x", "_optimizers": [trained().state_dict()], "steps": 3}
    torch.save(state, tmp_path / "a.pt")
    read = load_checkpoint(tmp_path / "a.pt", RELU)
    assert set(read.parameters) == set(network().state_dict())
    told = str(read.assumptions)
    assert all(name in told for name in ("_extra_state", "_optimizers (list)", "steps (int)"))


@pytest.mark.parametrize("weight", [torch.eye(8).to_sparse(), torch.ones(2, 8, dtype=torch.complex64)])
def test_a_network_is_not_read_without_one_of_its_weights(tmp_path: Path, refused: Refused, weight: Tensor) -> None:
    torch.save({**network().state_dict(), "2.weight": weight}, tmp_path / "a.pt")
    refused(UnsafeFileError, lambda: load_checkpoint(tmp_path / "a.pt", RELU))


LOOSE = (
    "log_std",
    "_log_std",
    "log_std_parameter",
    "policy.log_std_clip_param_const",
    "_log_alpha",
    "a2c_network.sigma",
    "n_averaged",
    "value_mean_std.running_mean",
    "value_mean_std.count",
)


@pytest.mark.parametrize("name", LOOSE)
def test_a_loose_parameter_is_skipped_and_named(tmp_path: Path, name: str) -> None:
    torch.save({**network().state_dict(), name: torch.ones(1)}, tmp_path / "a.pt")
    read = load_checkpoint(tmp_path / "a.pt", RELU)
    assert name in str(read.assumptions)
    assert name not in read.parameters


@pytest.mark.parametrize("name", ["scale", "obs_rms.std", "running_mean_std.running_mean", "gain"])
def test_a_loose_parameter_that_may_change_activations_is_refused(tmp_path: Path, refused: Refused, name: str) -> None:
    torch.save({**network().state_dict(), name: torch.ones(4)}, tmp_path / "a.pt")
    assert "belongs to no layer" in refused(ArchitectureUnknown, lambda: load_checkpoint(tmp_path / "a.pt", RELU))


@pytest.mark.parametrize("key", ["critic.q1", "critic/q1", "q1", "agent.critic.q1", "agent/critic/q1"])
def test_a_key_reaches_into_one_of_several_networks(tmp_path: Path, key: str) -> None:
    critic = nn.ModuleDict({"q1": network(), "q2": network()})
    content: dict[str, Any] = {"actor": network().state_dict(), "critic": critic.state_dict()}
    if key.startswith("agent"):
        content = {"agent": content, "args": argparse.Namespace()}
    torch.save(content, tmp_path / "a.pt")
    read = load_checkpoint(tmp_path / "a.pt", Hints(activation="relu", key=key))
    assert torch.equal(read.parameters["0.weight"], critic.state_dict()["q1.0.weight"])


def test_a_key_that_several_networks_have_is_listed_with_what_it_takes(tmp_path: Path, refused: Refused) -> None:
    critics = {name: nn.ModuleDict({"q1": network()}).state_dict() for name in ("critic", "target")}
    torch.save(critics, tmp_path / "a.pt")
    said = refused(KeyNeeded, lambda: load_checkpoint(tmp_path / "a.pt", Hints(activation="relu", key="q1")))
    keys = said.rpartition("--key takes ")[2].replace("'", "").split(", ")
    assert keys == ["critic/q1", "target/q1"]
    for key in keys:
        assert load_checkpoint(tmp_path / "a.pt", Hints(activation="relu", key=key)).parameters


def test_nested_dicts_with_weights_at_each_level_are_read_in_bounded_time(tmp_path: Path, refused: Refused) -> None:
    """Looking for a state_dict below each state_dict must not take a power of the depth."""
    content: dict[str, Any] = {"weight": torch.ones(2, 2)}
    for _ in range(28):
        content = {"weight": content["weight"], "a": content, "b": io.BytesIO}
    torch.save(content, tmp_path / "a.pt")
    refused(UnsafeFileError, lambda: load_checkpoint(tmp_path / "a.pt"))
