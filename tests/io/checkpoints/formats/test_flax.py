"""Flax files: what they say is read, what they claim is checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from dormancy.errors import ArchitectureUnknown, FileError, InputError, UnsafeFileError, UsageError
from dormancy.io import Checkpoint, Hints, load_checkpoint
from tests.io.checkpoints.recorded_outputs import FOLDER
from tests.io.expectations import Refused


def array(values: Any, code: int = 1, shape: Any = None, dtype: str = "float32", raw: bytes | None = None) -> Any:
    numbers = np.asarray(values, dtype="float32")
    parts = (list(numbers.shape) if shape is None else shape, dtype, numbers.tobytes() if raw is None else raw)
    return msgpack.ExtType(code, msgpack.packb(parts))


def dense(inputs: int, outputs: int) -> dict[str, Any]:
    return {"kernel": array(np.ones((inputs, outputs))), "bias": array(np.zeros(outputs))}


def written(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else msgpack.packb(content))
    return path


RELU = Hints(activation="relu")


def told(read: Checkpoint) -> dict[str, tuple[str, str]]:
    return {each.what: (each.value, each.origin) for each in read.assumptions}


def test_what_a_file_says_beside_its_weights() -> None:
    read = load_checkpoint(FOLDER / "flax_c51.cleanrl_model", RELU)
    assert read.env_id == "CartPole-v1"
    assert load_checkpoint(FOLDER / "flax_state.msgpack", RELU).gradient_step == 1
    said = {
        each.what: (each.value, each.origin)
        for each in load_checkpoint(FOLDER / "flax_nature_same.msgpack").assumptions
    }
    assert said["convolutions"][0] == "nature-same"
    assert said["flatten order"] == ("hwc", "template: Flax")
    said = {
        each.what: (each.value, each.origin)
        for each in load_checkpoint(FOLDER / "flax_state.msgpack", RELU).assumptions
    }
    assert said["epsilon of layer normalisation"] == ("1e-06", "template: Flax default")


def test_several_networks_are_chosen_among(refused: Refused) -> None:
    path = FOLDER / "flax_td3.cleanrl_model"
    message = refused(InputError, lambda: load_checkpoint(path, RELU))
    assert "holds 3 networks; choose one with --key: '0', '1', '2'" in message
    assert "add --activation relu" in refused(ArchitectureUnknown, lambda: load_checkpoint(path, Hints(key="0")))


def test_layers_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    tree = {f"Dense_{index}": dense(3, 3) for index in sorted(range(12), key=str)}
    read = load_checkpoint(written(tmp_path / "a", {"params": tree}), RELU)
    names = [name for name in read.parameters if name.endswith("weight")]
    assert names == [f"Dense_{index}.weight" for index in range(12)]


def test_normalisations_that_flax_numbered_must_be_one_a_layer(tmp_path: Path, refused: Refused) -> None:
    tree = {"Dense_0": dense(3, 4), "Dense_1": dense(4, 4), "Dense_2": dense(4, 2)}
    norm = {"scale": array(np.ones(4)), "bias": array(np.zeros(4))}
    path = written(tmp_path / "a", {"params": {**tree, "LayerNorm_0": norm}})
    assert "cannot be told to which of 3 layers" in refused(ArchitectureUnknown, lambda: load_checkpoint(path, RELU))
    stats = {"mean": array(np.zeros(4)), "var": array(np.ones(4))}
    both = {f"BatchNorm_{index}": norm for index in (0, 1)}
    counted = {"params": {**tree, **both}, "batch_stats": {f"BatchNorm_{index}": stats for index in (0, 1)}}
    read = load_checkpoint(written(tmp_path / "b", counted), RELU)
    assert {name for name in read.parameters if name.startswith("BatchNorm_1")} == {
        f"BatchNorm_1.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert read.build() is not None


def test_without_msgpack_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    message = refused(UsageError, lambda: load_checkpoint(FOLDER / "flax_td3.cleanrl_model"))
    assert "pip install 'dormancy[flax]'" in message


def deep(levels: int) -> Any:
    tree: Any = {"Dense_0": dense(2, 2)}
    for _ in range(levels):
        tree = {"a": tree}
    return tree


LIES = {
    "shape too large": {"kernel": array(np.ones((2, 2)), shape=[2, 1 << 40])},
    "negative shape": {"kernel": array(np.ones((2, 2)), shape=[-2, -2])},
    "shape of text": {"kernel": array(np.ones((2, 2)), shape=["2", "2"])},
    "many dimensions": {"kernel": array(np.ones((2, 2)), shape=[1] * 100)},
    "objects": {"kernel": array(np.ones((2, 2)), dtype="object")},
    "pickled": {"kernel": array(np.ones((2, 2)), raw=b"cos\nsystem\n(S'true'\ntR.")},
    "complex": {"kernel": msgpack.ExtType(2, msgpack.packb((1.0, 2.0)))},
    "unknown extension": {"kernel": msgpack.ExtType(42, b"x")},
    "nested extension": {"kernel": msgpack.ExtType(1, msgpack.packb(([2], "float32", msgpack.ExtType(1, b"x"))))},
    "chunked": {"kernel": {"__msgpack_chunked_array__": True, "shape": {}, "chunks": {}}},
}


@pytest.mark.parametrize("name", LIES)
def test_arrays_that_lie_are_refused(name: str, tmp_path: Path, bounded: None, refused: Refused) -> None:
    refused(FileError, lambda: load_checkpoint(written(tmp_path / "a", {"params": {"Dense_0": LIES[name]}}), RELU))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x81\xa1a" + b"\xdd\xff\xff\xff\xff",
        b"\x81\xa1a" + b"\xdc\x0f\xff" * 5000,
        b"\x81\xa1a" * 5000,
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x82\xa1a\x01\x02\x02",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
        b"\x81\xa1a\xd9\x05abc",
        b"\x81\xa2ab\x01tail",
        b"\x81\xa1a\xc1",
        msgpack.packb(deep(60)),
    ],
)
def test_streams_that_lie_are_refused(raw: bytes, tmp_path: Path, bounded: None, refused: Refused) -> None:
    refused(FileError, lambda: load_checkpoint(written(tmp_path / "a", raw), RELU))


def test_a_tree_without_a_layer_is_no_network(tmp_path: Path, refused: Refused) -> None:
    message = refused(InputError, lambda: load_checkpoint(written(tmp_path / "a", {"name": "x", "list": [1, 2]})))
    assert "holds no state_dict" in message
    refused(UnsafeFileError, lambda: load_checkpoint(written(tmp_path / "b", {"params": deep(40)})))
