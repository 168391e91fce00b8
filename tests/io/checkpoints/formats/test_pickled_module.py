"""Whole networks saved with ``torch.save(model)``: none of the code that they name is run or even imported."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dormancy.errors import ArchitectureUnknown, InputError, UnsafeFileError, UsageError
from dormancy.io import Hints, load_checkpoint
from tests.io import hostile
from tests.io.checkpoints.recorded_outputs import FOLDER
from tests.io.expectations import Refused


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_no_class_of_the_file_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "house_nets", raising=False)  # another test has a module of this name
    load_checkpoint(FOLDER / "module_atari.pt")
    assert "house_nets" not in sys.modules


def test_a_class_of_its_own_goes_to_the_templates_with_what_its_modules_say() -> None:
    said = {each.what: (each.value, each.origin) for each in load_checkpoint(FOLDER / "module_atari.pt").assumptions}
    assert said["network"] == ("house_nets.AtariQ", "file")
    assert said["code that it names"] == ("house_nets.AtariQ", "file: not run")
    assert said["activation"] == ("relu", "file: its modules")
    assert said["activation of convolutions"] == ("relu", "file: its modules")


def test_a_part_that_says_all_of_itself_is_named(refused: Refused) -> None:
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(FOLDER / "module_agent.pt", Hints(key="actor")))
    assert "look at a part that says all of itself: --key actor/body" in told
    told = refused(InputError, lambda: load_checkpoint(FOLDER / "module_agent.pt"))
    assert "holds 2 networks; choose one with --key: 'actor', 'critic'" in told
    told = refused(InputError, lambda: load_checkpoint(FOLDER / "module_agent.pt", Hints(key="actor/bdy")))
    assert "did you mean 'actor/body'" in told


def test_a_sequence_takes_no_hints_but_the_scale(refused: Refused) -> None:
    for said in ({"arch": "nature"}, {"activation": "relu"}, {"layout": "hwc"}):
        told = refused(UsageError, lambda said=said: load_checkpoint(FOLDER / "module_sequence.pt", Hints(**said)))
        assert "leave out --arch, --activation, --layout" in told


def leaky() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def hooked() -> nn.Module:
    model = leaky()
    model[1].register_forward_hook(print)
    return model


def overridden() -> nn.Module:
    model = leaky()
    model.forward = print  # type: ignore[assignment]
    return model


def strange() -> nn.Module:
    house = sys.modules.setdefault("house_of_tests", types.ModuleType("house_of_tests"))
    kind = type("Strange", (nn.Module,), {"__module__": "house_of_tests"})
    house.Strange = kind  # type: ignore[attr-defined]
    return nn.Sequential(nn.Linear(3, 4), kind(), nn.Linear(4, 2))


@pytest.mark.parametrize("make", [hooked, overridden, strange])
def test_a_sequence_is_not_believed_where_its_forward_pass_is_not_certain(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.pt", make())
    assert load_checkpoint(path, Hints(activation="relu")).network.arch == "stack"


def test_a_padding_that_would_take_all_memory_is_not_believed(tmp_path: Path, refused: Refused) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1_000_000), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(saved(tmp_path / "a.pt", model)))
    assert "match no template" in told


def test_strides_that_are_not_the_templates_are_refused(tmp_path: Path, refused: Refused) -> None:
    """Kernels and widths of the Nature network, other strides: the file says so, and nothing is guessed."""
    convolutions = [nn.Conv2d(2, 4, 8, 3), nn.Conv2d(4, 8, 4, 2), nn.Conv2d(8, 8, 3, 1)]
    model = nn.ModuleDict({"network": nn.ModuleList([*convolutions, nn.Linear(392, 6), nn.Linear(6, 2)])})
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(saved(tmp_path / "a.pt", model)))
    assert "match no template" in told
    convolutions[0].stride = (4, 4)
    assert load_checkpoint(saved(tmp_path / "a.pt", model)).network.arch == "stack"


def test_a_nonlinearity_that_no_template_has_is_refused(tmp_path: Path, refused: Refused) -> None:
    model = nn.ModuleDict({"net": leaky(), "act": nn.LeakyReLU(0.3)})
    del model["net"][1]
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(saved(tmp_path / "a.pt", model)))
    assert "a LeakyReLU as no template has it" in told


def test_buffers_that_are_not_saved_and_shared_storages(tmp_path: Path) -> None:
    model = leaky()
    model[0].register_buffer("passing", torch.zeros(3), persistent=False)
    model.append(nn.ReLU()).append(nn.Linear(2, 2))
    wide = torch.randn(8, 6)
    model[4].weight = nn.Parameter(wide[2:4, 1:5:2])
    rows = torch.randn(5, 3)
    read = load_checkpoint(saved(tmp_path / "a.pt", model))
    assert read.network.arch == "sequential"
    assert torch.equal(read.parameters["4.weight"], model[4].weight)
    # A matrix product over strided weights sums in another order than one over weights side by side.
    torch.testing.assert_close(read.build()(rows), model(rows), rtol=1e-5, atol=1e-5)


def test_own_code_gets_the_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house_of_two.py").write_text("import torch\n\n\ndef net():\n    return torch.nn.Linear(3, 2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    model = nn.Linear(3, 2)
    built = load_checkpoint(saved(tmp_path / "a.pt", model), Hints(model="house_of_two:net")).build()
    assert torch.equal(built.weight, model.weight)


LINEAR = hostile.named("torch.nn.modules.linear", "Linear")


def stub(named: bytes, state: bytes) -> bytes:
    """An object of a class with attributes, as pickle writes one in protocol 2."""
    return named + b")" + b"\x81" + state + hostile.BUILD


def module(tensors: bytes, children: bytes = b"}") -> bytes:
    return stub(LINEAR, hostile.dict_({"_parameters": tensors, "_modules": children, "_buffers": b"}"}))


WEIGHT = hostile.dict_({"weight": hostile.PLAIN})


def written(path: Path, body: bytes) -> Path:
    path.write_bytes(hostile.torch_zip(hostile.program(body)))
    return path


def test_settings_that_are_missing_or_wrong_are_told(tmp_path: Path, refused: Refused) -> None:
    for wrong in (hostile.text("2"), hostile.number(1 << 40), b"N"):
        tensors = hostile.dict_({"weight": hostile.tensor(hostile.storage("0", 4), (2, 2), (2, 1))})
        settings = {"in_features": wrong, "out_features": hostile.number(2)}
        layer = stub(LINEAR, hostile.dict_({"_parameters": tensors, "_modules": b"}", **settings}))
        holder = hostile.named("torch.nn.modules.container", "Sequential")
        body = stub(holder, hostile.dict_({"_parameters": b"}", "_modules": hostile.dict_({"0": layer})}))
        refused(InputError, load_checkpoint(written(tmp_path / "a.pt", body)).build)


def test_calls_in_a_file_of_modules_are_written_down_and_not_made(tmp_path: Path, bounded: None) -> None:
    """Whatever is called stands beside the network as the name of what would have been called."""
    mark = tmp_path / "ran"
    runs = hostile.call(hostile.named("os", "mkdir"), hostile.text(str(mark)))
    tensors = hostile.dict_({"weight": hostile.tensor(hostile.storage("0", 4), (2, 2), (2, 1))})
    sizes = {"in_features": hostile.number(2), "out_features": hostile.number(2)}
    first = stub(LINEAR, hostile.dict_({"_parameters": tensors, "_modules": b"}", **sizes}))
    second = stub(LINEAR, hostile.dict_({"_parameters": tensors, "_modules": b"}", **sizes, "hook": runs}))
    holder = hostile.named("torch.nn.modules.container", "Sequential")
    sequence = stub(holder, hostile.dict_({"_parameters": b"}", "_modules": hostile.dict_({"0": first, "1": second})}))
    path = written(tmp_path / "a.pt", hostile.dict_({"net": sequence, "more": runs}))
    read = load_checkpoint(path)
    assert {each.what: each.value for each in read.assumptions}["code that it names"] == "os.mkdir"
    assert read.build()(torch.ones(1, 2)).shape == (1, 2)
    assert not mark.exists()


def nested(levels: int) -> bytes:
    body = module(WEIGHT)
    for _ in range(levels):
        body = module(b"}", hostile.dict_({"a": body}))
    return body


def itself() -> bytes:
    """A module that is its own child."""
    state = hostile.dict_({"_parameters": WEIGHT, "_modules": hostile.dict_({"a": hostile.get(1)})})
    return LINEAR + b")" + b"\x81" + hostile.put(1) + state + hostile.BUILD


def doubled(levels: int) -> bytes:
    """Each level holds the one below twice."""
    body = module(WEIGHT)
    for index in range(levels):
        twice = hostile.dict_({"a": body + hostile.put(index), "b": hostile.get(index)})
        body = module(b"}", twice)
    return body


@pytest.mark.parametrize(
    "body",
    [
        nested(3000),
        itself(),
        doubled(25),
        module(hostile.dict_({"weight": hostile.tensor(hostile.storage("0", 4), (3, 3), (0, 0))})),
        module(hostile.dict_({"weight": hostile.tensor(hostile.storage("0", 1 << 40), (4,), (1,))})),
        module(hostile.dict_({"weight": hostile.storage("0", 4)})),
        LINEAR + b"N" + b"\x81",
        hostile.list_(LINEAR) + b"N" + hostile.REDUCE,
        module(WEIGHT) + b"N" + hostile.REDUCE,
        hostile.text("torch.nn.modules") + LINEAR,
        b"N" + LINEAR + b"0" * 3,
    ],
)
def test_pickles_that_are_no_network_are_refused(body: bytes, tmp_path: Path, bounded: None, refused: Refused) -> None:
    refused(UnsafeFileError, lambda: load_checkpoint(written(tmp_path / "a.pt", body)))


def test_names_alone_are_no_network(tmp_path: Path, refused: Refused) -> None:
    told = refused(InputError, lambda: load_checkpoint(written(tmp_path / "a.pt", hostile.list_(LINEAR))))
    assert "holds none whole" in told
