"""Files that other libraries wrote: the rebuilt network answers as the original did when the file was made."""

from __future__ import annotations

import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dormancy import scan_checkpoint
from dormancy.errors import ArchitectureUnknown, FileError, InputError, UnsafeFileError, UsageError
from dormancy.io import Checkpoint, Hints, ReplaySample, load_checkpoint, save_checkpoint
from dormancy.io.checkpoints.formats.safetensors import SafetensorsReader
from dormancy.io.checkpoints.reader import Candidate
from tests.io import hostile
from tests.io.checkpoints.recorded_outputs import CASES, FILES, FOLDER, inputs, load, outputs
from tests.io.expectations import Refused
from tests.reference.foreign import FORWARD
from tests.reference.networks import scores


@pytest.mark.parametrize("case", CASES)
def test_the_rebuilt_network_answers_as_the_original(case: str) -> None:
    with torch.no_grad():
        found = load(case).build()(**inputs(case))
    given = found if isinstance(found, tuple) else (found,)
    wanted = outputs(case)
    assert [tuple(value.shape) for value in given] == [value.shape for value in wanted]
    for value, expected in zip(given, wanted, strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=0, atol=3e-6 * max(1.0, np.abs(expected).max()))


def test_every_file_has_an_answer_to_be_held_against() -> None:
    assert {case.partition("|")[0] for case in CASES} == {path.name for path in FILES}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 3_000_000


@pytest.mark.parametrize("case", CASES)
def test_a_scan_agrees_with_the_equations(case: str) -> None:
    """Observations and actions are given as a sample has them: a critic finds both.

    Scores average 1 in a layer, and the absolute tolerance is in that unit. The float32 sum of a neuron that hardly
    ever fires differs between processors by more than a relative tolerance allows.
    """
    given = {name: values.numpy() for name, values in inputs(case).items()}
    checkpoint = load(case)
    result = scan_checkpoint(checkpoint, ReplaySample(given["observations"], actions=given.get("actions")))
    weights = {name: tensor.numpy().astype(np.float64) for name, tensor in checkpoint.parameters.items()}
    wanted = FORWARD[case](weights, given)
    assert len(result.layers) == len(wanted)
    for layer, values in zip(result.layers, wanted, strict=True):
        np.testing.assert_allclose(layer.scores, scores(values), rtol=1e-5, atol=1e-6, err_msg=layer.name)
    assert result.assumptions == checkpoint.assumptions


def test_assumptions_say_where_they_come_from() -> None:
    said = {each.what: (each.value, each.origin) for each in load("sb3_sac.zip|actor").assumptions}
    assert said["activation"] == ("elu", "file: policy_kwargs")
    assert said["network"] == ("actor", "flag: --key")
    said = {each.what: (each.value, each.origin) for each in load("sb3_td3.zip|actor").assumptions}
    assert said["activation"] == ("relu", "template: stable-baselines3 default")
    said = {each.what: (each.value, each.origin) for each in load("dueling.pt|").assumptions}
    assert said["convolutions"][0] == "nature-same"
    assert said["input_scale"] == ("0.00392157", "template")
    assert said["prefix taken off"][0] == "_orig_mod."
    told = load_checkpoint(FOLDER / "dueling.pt", Hints(input_scale=1.0, activation="tanh", layout="hwc")).assumptions
    assert {"flag: --input-scale", "flag: --activation", "flag: --layout"} <= {each.origin for each in told}


def test_a_shared_feature_extractor_is_counted_once() -> None:
    names = load("sb3_ppo_cnn.zip|policy").parameters
    assert sum(name.endswith("cnn.0.weight") for name in names) == 1
    said = {each.what: each.value for each in load("sb3_ppo_cnn.zip|policy").assumptions}
    assert said["shared parameters counted once"] == "16"


def test_steps_and_environment_are_taken_from_the_file() -> None:
    assert load("sb3_dqn.zip|q_net").agent_step == 0
    assert load("c51.cleanrl_model|").env_id == "CartPole-v1"


def test_hwc_features_are_flattened_by_position() -> None:
    """A network whose dense layer reads (position, channel) gives the answers of its permuted twin."""
    given = inputs("dqn_atari.cleanrl_model|")
    checkpoint = load_checkpoint(FOLDER / "dqn_atari.cleanrl_model", Hints(layout="hwc"))
    weight = checkpoint.parameters["network.7.weight"]
    permuted = weight.reshape(16, 8, 7, 7).permute(0, 2, 3, 1).reshape(16, -1)
    twin = Checkpoint(checkpoint.network, {**checkpoint.parameters, "network.7.weight": permuted})
    with torch.no_grad():
        found = twin.build()(**given)
    np.testing.assert_allclose(found.numpy(), outputs("dqn_atari.cleanrl_model|")[0], rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    ("file", "hints", "kind", "words"),
    [
        ("td3.cleanrl_model", Hints(), InputError, "holds 2 networks; choose one with --key: '0', '1'"),
        ("td3.cleanrl_model", Hints(key="1"), ArchitectureUnknown, "add --activation relu"),
        ("td3.cleanrl_model", Hints(key="1", activation="rleu"), UsageError, "did you mean 'relu'"),
        ("sb3_sac.zip", Hints(key="actr"), InputError, "--key takes actor, critic, critic_target"),
        ("sb3_a2c.zip", Hints(key="q_net"), InputError, "--key takes policy, actor, critic"),
        ("dueling.pt", Hints(arch="natur"), UsageError, "did you mean 'nature'"),
        ("dueling.pt", Hints(arch="nature"), ArchitectureUnknown, "match no template by kernels and flatten width"),
        ("dueling.pt", Hints(layout="nhwc"), UsageError, "--layout is chw or hwc"),
        ("c51.cleanrl_model", Hints(arch="minatar"), ArchitectureUnknown, "give --arch mlp"),
        ("c51.cleanrl_model", Hints(model="nowhere:at_all"), UsageError, "nowhere"),
        ("c51.cleanrl_model", Hints(model="nowhere"), UsageError, "package.module:factory"),
    ],
)
def test_what_is_missing_is_named_with_its_flag(
    file: str, hints: Hints, kind: type[InputError], words: str, refused: Refused
) -> None:
    assert words in refused(kind, lambda: load_checkpoint(FOLDER / file, hints))


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_layers_that_no_template_has_are_named(tmp_path: Path, refused: Refused) -> None:
    grouped = nn.Sequential(nn.Linear(3, 4), nn.PReLU(4), nn.Linear(4, 2)).state_dict()
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(save(tmp_path / "a.pt", grouped)))
    assert "'1.weight' of shape (4,)" in told
    assert "--model package.module:factory" in told
    strange = nn.Sequential(nn.Conv2d(1, 2, 7), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).state_dict()
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(save(tmp_path / "b.pt", strange)))
    assert "kernels 7" in told
    two = {f"{side}.{name}": part for side in "ab" for name, part in
           nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).state_dict().items()}  # fmt: skip
    told = refused(ArchitectureUnknown, lambda: load_checkpoint(save(tmp_path / "c.pt", two), Hints(activation="relu")))
    assert "how its dense layers are connected cannot be told" in told
    chosen = load_checkpoint(tmp_path / "c.pt", Hints(key="b", activation="relu"))
    assert sorted(chosen.parameters) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_an_own_factory_fits_or_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    (tmp_path / "house_nets.py").write_text(
        "import torch\n\n\ndef net():\n    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4),"
        " torch.nn.ReLU(), torch.nn.Linear(4, 2))\n\n\ndef other():\n    return torch.nn.Linear(3, 2)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2))
    path, rows = save(tmp_path / "a.pt", model.state_dict()), torch.randn(5, 3)
    built = load_checkpoint(path, Hints(model="house_nets:net"))
    assert torch.equal(built.build()(rows), model(rows))
    assert "your own code, which was run" in built.assumptions[0].origin
    wrong = load_checkpoint(path, Hints(model="house_nets:other"))
    assert "do not fit the network of --model" in refused(InputError, wrong.build)
    with pytest.raises(UsageError, match="leave out --arch"):
        Hints(model="house_nets:net", arch="mlp")


def test_our_own_format_takes_no_hints(tmp_path: Path, checkpoint: Checkpoint, refused: Refused) -> None:
    path = save_checkpoint(tmp_path / "a.pt", checkpoint)
    assert "says itself" in refused(UsageError, lambda: load_checkpoint(path, Hints(activation="tanh")))


def test_a_foreign_network_survives_our_own_format(tmp_path: Path) -> None:
    read = load("dueling.pt|")
    again = load_checkpoint(save_checkpoint(tmp_path / "a.pt", read))
    with torch.no_grad():
        assert torch.equal(again.build()(**inputs("dueling.pt|")), read.build()(**inputs("dueling.pt|")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_truncated_files_are_told(path: Path, tmp_path: Path, bounded: None, refused: Refused) -> None:
    raw = path.read_bytes()
    for cut in np.random.default_rng(1).integers(0, len(raw), 50).tolist():
        (tmp_path / "cut").write_bytes(raw[:cut])
        refused(InputError, lambda: load_checkpoint(tmp_path / "cut"))


def rezipped(path: Path, target: Path, changed: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()} | changed
    target.write_bytes(hostile.plain_zip(members, compression))
    return target


def test_hostile_agents_are_refused(tmp_path: Path, bounded: None, refused: Refused) -> None:
    agent, target, mark = FOLDER / "sb3_dqn.zip", tmp_path / "a.zip", tmp_path / "ran"
    runs = hostile.program(hostile.call(hostile.named("os", "mkdir"), hostile.text(str(mark))))
    rezipped(agent, target, {"policy.pth": hostile.torch_zip(runs)})
    assert "os.mkdir" in refused(UnsafeFileError, lambda: load_checkpoint(target))
    rezipped(agent, target, {"policy.pth": runs})
    refused(InputError, lambda: load_checkpoint(target))
    rezipped(agent, target, {}, zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(UnsafeFileError, lambda: load_checkpoint(target))
    for data in (b"[" * 1_000_000, b"[]", b"\xff", b"{"):
        rezipped(agent, target, {"data": data})
        refused(InputError, lambda: load_checkpoint(target))
    rezipped(agent, target, {"data": b" " * (17 << 20)})
    assert "takes" in refused(UnsafeFileError, lambda: load_checkpoint(target))
    assert not mark.exists()


def test_what_is_serialised_in_an_agent_is_never_decoded(tmp_path: Path) -> None:
    """Its JSON may hold anything there: the network is the same."""
    data = b'{"policy_kwargs": {":type:": "x", ":serialized:": "gASVAAAA"}, "num_timesteps": -3}'
    path = rezipped(FOLDER / "sb3_dqn.zip", tmp_path / "a.zip", {"data": data})
    read = load_checkpoint(path)
    assert read.agent_step is None
    assert list(read.parameters) == list(load("sb3_dqn.zip|q_net").parameters)


def flipped(path: Path, target: Path, position: int) -> Path:
    raw = bytearray(shutil.copy(path, target).read_bytes())
    raw[position] ^= 1
    target.write_bytes(bytes(raw))
    return target


def test_a_flipped_bit_of_a_policy_is_told(tmp_path: Path, refused: Refused) -> None:
    raw = (FOLDER / "sb3_dqn.zip").read_bytes()
    path = flipped(FOLDER / "sb3_dqn.zip", tmp_path / "a.zip", raw.index(b"policy.pth") + 6000)
    refused(FileError, lambda: load_checkpoint(path))


ENTRY = '{"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}'


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (ENTRY, 15),
        (ENTRY, 17),
        (ENTRY.replace("[2, 2]", "[2, 3]"), 16),
        (ENTRY.replace("[2, 2]", "[-2, -2]"), 16),
        (ENTRY.replace("[2, 2]", "[1e400]"), 16),
        (ENTRY.replace("[0, 16]", "[4, 20]"), 20),
        (ENTRY.replace("[0, 16]", "[0, 99999999999999]"), 16),
        (ENTRY.replace("F32", "F7"), 16),
        (ENTRY.replace("F32", "\\u001b[31m"), 16),
        (ENTRY[:-1] + ", " + ENTRY[1:], 16),
        (ENTRY[:-1] + ', "v": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}', 16),
        ('{"w": 3}', 0),
        ('{"__metadata__": [1]}', 0),
        ('{"w"', 0),
        ("{" + '"a":{' * 100_000, 0),
    ],
)
def test_safetensors_headers_that_lie_are_refused(
    header: str, body: int, tmp_path: Path, bounded: None, refused: Refused
) -> None:
    raw = header.encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(body))
    refused(FileError, lambda: load_checkpoint(tmp_path / "a"))


def test_safetensors_are_told_by_content() -> None:
    with (FOLDER / "efficient.safetensors").open("rb") as stream:
        assert SafetensorsReader().sniff(Candidate("named.pt", stream))
    assert load("efficient.safetensors|").metadata == {"note": "made for tests"}
