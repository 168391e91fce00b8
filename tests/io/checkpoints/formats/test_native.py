from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from dormancy.errors import ArchitectureUnknown, FormatError, InputError, OutputError, UsageError
from dormancy.io import Assumption, Checkpoint, load_checkpoint, save_checkpoint, sha256_file
from dormancy.io.safety.torch_load import DTYPES
from dormancy.networks import NetworkSpec, build_network
from tests.io import hostile
from tests.io.expectations import Refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SHAPES = st.lists(st.integers(0, 4), max_size=4)
KEYS = [
    "format",
    "version",
    "arch",
    "arch_kwargs",
    "state_dict",
    "optimizer",
    "agent_step",
    "gradient_step",
    "env_id",
    "input_scale",
    "activation",
    "metadata",
]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Tensors of every type and layout, with any bits, NaN and infinities included."""
    dtype = draw(st.sampled_from(sorted(DTYPES, key=str)))
    shape = draw(SHAPES)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2 if dtype is torch.bool else 256, size + 16)
    whole = torch.from_numpy(raw.astype(np.uint8))[:size].clone().view(dtype).reshape(shape)
    return whole.transpose(0, -1) if draw(st.booleans()) and shape else whole


def bits(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...], bytes]:
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints hold the same, bit for bit and in the same order."""
    states = [(name, list(state.items())) for name, state in one.optimizer.items()]
    others = [(name, list(state.items())) for name, state in other.optimizer.items()]
    plain = [(c.network, c.agent_step, c.gradient_step, c.env_id, c.metadata, list(c.parameters)) for c in (one, other)]
    return plain[0] == plain[1] and flat(states) == flat(others) and flat(one.parameters) == flat(other.parameters)


def flat(value: Any) -> Any:
    if isinstance(value, Tensor):
        return bits(value)
    if isinstance(value, dict):
        return [(key, flat(item)) for key, item in value.items()]
    return [flat(item) for item in value] if isinstance(value, (list, tuple)) else value


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    parameters=st.dictionaries(st.text(min_size=1), tensors(), max_size=5),
    optimizer=st.dictionaries(st.text(), st.dictionaries(st.text(), tensors() | JSON, max_size=2), max_size=3),
    steps=st.tuples(st.none() | st.integers(0, 2**63), st.none() | st.integers(0)),
    env_id=st.none() | st.text(),
    metadata=st.dictionaries(st.text(), JSON, max_size=4),
    options=st.dictionaries(st.text(min_size=12), JSON, max_size=4),
)
def test_what_is_saved_is_read(
    tmp_path: Path,
    parameters: dict[str, Tensor],
    optimizer: dict[str, dict[str, Any]],
    steps: tuple[int | None, int | None],
    env_id: str | None,
    metadata: dict[str, Any],
    options: dict[str, Any],
) -> None:
    saved = Checkpoint(NetworkSpec("an arch", options), parameters, optimizer, *steps, env_id, metadata)
    path = save_checkpoint(tmp_path / "step.pt", saved, force=True)
    read = load_checkpoint(path)
    assert same(saved, read)
    again = save_checkpoint(tmp_path / "again.pt", read, force=True)
    assert again.read_bytes() == path.read_bytes()


def test_the_file_is_as_documented(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = save_checkpoint(tmp_path / "step_1000.pt", checkpoint)
    content = torch.load(path, weights_only=True)
    assert list(content) == KEYS
    assert content["format"] == "dormancy.checkpoint"
    assert content["version"] == "1.0"
    assert (content["activation"], content["input_scale"]) == ("relu", 1.0)  # the defaults of the network
    assert content["optimizer"]["fc1.bias"]["step"] == 3


def test_source_and_assumptions_say_where_it_came_from(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = save_checkpoint(tmp_path / "step_1000.pt", checkpoint)
    read = load_checkpoint(str(path))
    assert read.source is not None
    assert (read.source.path, read.source.format) == (str(path), "dormancy.checkpoint")
    assert read.source.sha256 == sha256_file(path)
    assert read.assumptions == (Assumption("input_scale", "1.0", "file"), Assumption("activation", "relu", "file"))


def test_a_network_is_rebuilt(tmp_path: Path) -> None:
    spec = NetworkSpec("nature", {"outputs": 3, "width": 0.25, "activation": "tanh"})
    network = build_network(spec)
    read = load_checkpoint(save_checkpoint(tmp_path / "a.pt", Checkpoint(spec, network.state_dict())))
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    assert torch.equal(read.build()(frames), network.eval()(frames))
    assert Assumption("activation", "tanh", "file") in read.assumptions


def test_equal_content_gives_equal_bytes(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Also when the strings are equal but not one object, which pickle would write differently."""
    copied = replace(
        checkpoint,
        parameters={"".join(name): tensor.clone() for name, tensor in checkpoint.parameters.items()},
        metadata={"".join(list(name)): value for name, value in checkpoint.metadata.items()},
    )
    one, other = save_checkpoint(tmp_path / "one.pt", checkpoint), save_checkpoint(tmp_path / "other", copied)
    assert one.read_bytes() == other.read_bytes()


def test_a_view_does_not_drag_its_storage_along(tmp_path: Path) -> None:
    storage = torch.zeros(1_000_000)
    views = {"a": storage[:10], "b": storage[10:20], "c": storage.expand(3, -1)[:, :2], "d": storage[:4].view(2, 2).t()}
    path = save_checkpoint(tmp_path / "a.pt", Checkpoint(NetworkSpec("mlp"), views))
    assert path.stat().st_size < 10_000
    read = load_checkpoint(path).parameters
    assert read["c"].shape == (3, 2)
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in read.values())


def test_saving_takes_gradients_and_later_changes_away(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    path = save_checkpoint(tmp_path / "a.pt", Checkpoint(NetworkSpec("mlp"), {"w": weight, "tied": weight}))
    read = load_checkpoint(path).parameters
    assert not read["w"].requires_grad
    read["w"].zero_()
    assert read["tied"].tolist() == [1, 1, 1]


def test_numpy_numbers_become_plain_ones(tmp_path: Path, checkpoint: Checkpoint) -> None:
    odd = replace(checkpoint, metadata={"lr": np.float64(0.5)}, agent_step=np.int64(7))  # type: ignore[arg-type]
    read = load_checkpoint(save_checkpoint(tmp_path / "a.pt", odd))
    assert type(read.metadata["lr"]) is float
    assert (type(read.agent_step), read.agent_step) == (int, 7)


RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)


@pytest.mark.parametrize(
    "changed",
    [
        {"parameters": {"w": torch.ones(2, 2).to_sparse()}},
        {"parameters": {"w": torch.ones(2, dtype=torch.complex64)}},
        {"parameters": {"w": torch.ones(2).to(torch.float8_e5m2)}},
        {"parameters": {"w": torch.ones(2, device="meta")}},
        {"parameters": {3: torch.ones(2)}},
        {"parameters": {"w": [1, 2]}},
        {"optimizer": {"w": {"exp_avg": np.ones(3)}}},
        {"optimizer": {"w": {0: 1}}},
        {"metadata": {"set": {1}}},
        {"metadata": {"array": np.ones(2)}},
        {"metadata": {1: 2}},
        {"metadata": {"path": Path("x")}},
        {"metadata": {"bytes": b"x"}},
        {"metadata": {"recursive": RECURSIVE}},
        {"metadata": {"long": 1 << 5000}},
        {"metadata": {"\ud800": 1, "large": "x" * (17 << 20)}},
        {"network": NetworkSpec("mlp", {"activation": torch.relu})},
        {"agent_step": -1},
        {"gradient_step": 1.5},
        {"env_id": 3},
    ],
    ids=lambda changed: str(changed)[:60],
)
def test_what_the_format_does_not_hold_is_refused(
    tmp_path: Path, checkpoint: Checkpoint, refused: Refused, changed: dict[str, Any]
) -> None:
    refused(UsageError, lambda: save_checkpoint(tmp_path / "a.pt", replace(checkpoint, **changed)))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_checkpoint_is_kept(tmp_path: Path, checkpoint: Checkpoint, refused: Refused) -> None:
    path = save_checkpoint(tmp_path / "a.pt", checkpoint)
    later = replace(checkpoint, agent_step=2000)
    refused(OutputError, lambda: save_checkpoint(path, later))
    assert load_checkpoint(path).agent_step == 1000
    save_checkpoint(path, later, force=True)
    assert load_checkpoint(path).agent_step == 2000


@pytest.mark.parametrize("limit", [1 << 10, 1 << 12, 1 << 14])
def test_a_write_that_fails_midway_keeps_the_old_checkpoint(
    tmp_path: Path, checkpoint: Checkpoint, refused: Refused, limit: int
) -> None:
    path = save_checkpoint(tmp_path / "a.pt", checkpoint)
    large = replace(checkpoint, parameters={"w": torch.zeros(100_000), "v": torch.zeros(10)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        assert "File too large" in refused(OutputError, lambda: save_checkpoint(path, large, force=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert same(load_checkpoint(path), checkpoint)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pt"]


def test_values_that_are_not_finite_are_counted(tmp_path: Path, checkpoint: Checkpoint, refused: Refused) -> None:
    bad = torch.tensor([1.0, float("nan"), float("inf"), -float("inf")])
    diverged = replace(checkpoint, parameters={"ok": torch.ones(2), "w\x1b": bad, "n": torch.arange(3)})
    read = load_checkpoint(save_checkpoint(tmp_path / "a.pt", diverged))
    assert read.nonfinite() == {"w\x1b": 3}
    assert "3 of 4 values" in refused(InputError, read.require_finite)
    checkpoint.require_finite()
    assert checkpoint.nonfinite() == {}


def test_parameters_that_do_not_fit_are_told(checkpoint: Checkpoint, refused: Refused) -> None:
    honest = dict(checkpoint.parameters)
    for changed, said in (
        ({**honest, "a\x1b[31m": torch.ones(2)}, "it has no 'a\\x1b[31m'"),
        ({name: honest[name] for name in list(honest)[1:]}, "'fc1.weight' is missing"),
        ({**honest, "fc1.bias": torch.ones(9)}, "the shape of 'fc1.bias' is (9,), not (8,)"),
    ):
        message = refused(InputError, replace(checkpoint, parameters=changed).build)
        assert "do not fit architecture 'mlp'" in message
        assert said in message


def test_an_unknown_architecture_is_told(checkpoint: Checkpoint, refused: Refused) -> None:
    for arch, said in (("mpl", "did you mean 'mlp'"), ("\x1b[2J" * 99, "known: ")):
        unknown = replace(checkpoint, network=NetworkSpec(arch))
        assert said in refused(ArchitectureUnknown, unknown.build)


@pytest.mark.parametrize(
    "options",
    [
        {"outputs": 2},
        {"inputs": 4, "outputs": 2, "wrong\x1b": 1},
        {"inputs": 4, "outputs": 2, "hidden": "many"},
        {"inputs": 4, "outputs": 2, "hidden": [-1]},
        {"inputs": 4, "outputs": 2, "hidden": [1 << 62, 1 << 62]},
        {"inputs": 4, "outputs": 2, "hidden": [1 << 31, 1 << 31]},
        {"inputs": 4, "outputs": 2, "hidden": [1 << 80]},
        {"inputs": 4, "outputs": 2, "width": 1e300},
        {"inputs": 4, "outputs": 2, "width": float("nan")},
        {"inputs": 4, "outputs": 2, "activation": "\x1b"},
        {"inputs": None, "outputs": []},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_told_and_cost_nothing(
    checkpoint: Checkpoint, refused: Refused, bounded: None, options: dict[str, Any]
) -> None:
    refused(InputError, replace(checkpoint, network=NetworkSpec("mlp", options)).build)


def test_rebuilding_keeps_the_random_state(checkpoint: Checkpoint) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    checkpoint.build()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("key", KEYS[1:])
def test_a_missing_key_is_named(tmp_path: Path, refused: Refused, key: str) -> None:
    content = hostile.content()
    del content[key]
    (tmp_path / "a.pt").write_bytes(hostile.torch_zip(hostile.program(hostile.dict_(content))))
    assert repr(key) in refused(FormatError, lambda: load_checkpoint(tmp_path / "a.pt"))


@pytest.mark.parametrize(
    "changed",
    [
        {"version": hostile.text("2.0")},
        {"version": hostile.number(1)},
        {"arch": b"N"},
        {"arch_kwargs": b"]"},
        {"arch_kwargs": hostile.dict_({"w": hostile.PLAIN})},
        {"arch_kwargs": b"}" + hostile.number(1) + hostile.number(1) + b"s"},
        {"state_dict": hostile.dict_({"w": hostile.number(1)})},
        {"state_dict": b"}" + hostile.number(1) + hostile.PLAIN + b"s"},
        {"state_dict": hostile.list_(hostile.PLAIN)},
        {"optimizer": hostile.dict_({"w": hostile.number(1)})},
        {"optimizer": b"]"},
        {"agent_step": hostile.number(-5)},
        {"agent_step": b"\x88"},
        {"gradient_step": hostile.text("7")},
        {"env_id": hostile.number(1)},
        {"activation": b"]"},
        {"activation": hostile.text("tanh"), "arch_kwargs": hostile.dict_({"activation": hostile.text("relu")})},
        {"metadata": hostile.dict_({"w": hostile.PLAIN})},
        {"metadata": hostile.text("\x1b]0;title\x07" * 1000)},
        {"version": hostile.text("\u202e\x1b[2J" * 1000)},
    ],
    ids=str,
)
def test_a_wrong_value_is_named(tmp_path: Path, refused: Refused, changed: dict[str, bytes]) -> None:
    (tmp_path / "a.pt").write_bytes(hostile.checkpoint(**changed))
    assert "a.pt" in refused(FormatError, lambda: load_checkpoint(tmp_path / "a.pt"))


def test_the_honest_file_built_by_hand_is_read(tmp_path: Path) -> None:
    """Else the hostile ones could be refused for another reason than the one meant."""
    (tmp_path / "a.pt").write_bytes(hostile.checkpoint())
    assert load_checkpoint(tmp_path / "a.pt").parameters["w"].tolist() == [1, 2, 3, 4]


def test_later_minor_versions_and_unknown_keys_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(hostile.checkpoint(version=hostile.text("1.7"), later=hostile.number(1)))
    assert load_checkpoint(tmp_path / "a.pt").agent_step == 1
