"""The architectures: what they are built from, how they are initialised, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import UsageError
from dormancy.networks import (
    ARCHITECTURES,
    ImpalaNetwork,
    MinAtarNetwork,
    MLPNetwork,
    NatureNetwork,
    NetworkSpec,
    build_network,
    resized,
)
from dormancy.networks.layers import crelu
from dormancy.scanning.scanner import scan
from tests.reference import networks as reference


def test_every_architecture_is_rebuilt_from_plain_options() -> None:
    assert list(ARCHITECTURES) == ["impala", "minatar", "mlp", "nature", "sac", "sequential", "stack"]
    spec = NetworkSpec("nature", {"outputs": 5, "width": 0.25, "padding": "same", "dueling": True})
    assert build_network(spec)(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).shape == (2, 5)
    assert build_network(NetworkSpec("mlp", {"inputs": 3, "outputs": 2}))(torch.zeros(4, 3)).shape == (4, 2)


@pytest.mark.parametrize(
    ("width", "maps"), [(1.0, (32, 64, 64, 512)), (2.0, (64, 128, 128, 1024)), (0.25, (8, 16, 16, 128))]
)
def test_width_multiplies_every_layer(width: float, maps: tuple[int, ...]) -> None:
    model = NatureNetwork(6, width=width)
    convolutions = (model.conv1, model.conv2, model.conv3)
    assert (*(layer.out_channels for layer in convolutions), model.fc1.out_features) == maps


def test_weights_are_xavier_uniform_and_biases_zero() -> None:
    torch.manual_seed(0)
    for module in NatureNetwork(6).modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            field = math.prod(module.weight.shape[2:])
            bound = math.sqrt(6 / (field * (module.weight.shape[0] + module.weight.shape[1])))
            assert 0.9 * bound < float(module.weight.detach().abs().max()) <= bound
            assert not module.bias.any()  # type: ignore[union-attr]


def test_pytorchs_own_initial_bound_is_another_one() -> None:
    torch.manual_seed(0)
    assert float(nn.Linear(512, 64).weight.detach().abs().max()) == pytest.approx(0.04419, abs=1e-4)


def test_pixels_are_scaled_inside() -> None:
    model = NatureNetwork(3, width=0.25).eval()
    pixels = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    scaled = NatureNetwork(3, width=0.25, input_scale=1.0).eval()
    scaled.load_state_dict(model.state_dict())
    assert torch.allclose(model(pixels), scaled(pixels.float() / 255), atol=1e-5)


def test_a_dueling_head_centres_its_advantages() -> None:
    model = NatureNetwork(4, width=0.25, dueling=True)
    assert model.value is not None
    with torch.no_grad():
        model.value.weight.zero_()
        q = model(torch.randint(0, 256, (5, 4, 84, 84), dtype=torch.uint8))
    assert q.mean(dim=1).abs().max() < 1e-6


def test_dense_networks_flatten_their_input() -> None:
    assert MLPNetwork(12, 2)(torch.zeros(5, 3, 4)).shape == (5, 2)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (NetworkSpec("natur", {"outputs": 2}), "did you mean 'nature'"),
        (NetworkSpec("nature", {"outputs": 2, "depth": 3}), "does not take these options"),
        (NetworkSpec("nature", {"outputs": 2, "padding": "full"}), "'valid' or 'same'"),
        (NetworkSpec("nature", {"outputs": 2, "width": 0}), "width must be positive"),
        (NetworkSpec("nature", {"outputs": 2, "observation_shape": [4, 20, 20]}), "too small"),
        (NetworkSpec("impala", {"outputs": 2, "inner": [8, 8]}), "3 stacks have 6 inner sizes"),
        (NetworkSpec("minatar", {"outputs": 2, "observation_shape": [4, 2, 10]}), "too small"),
        (NetworkSpec("mlp", {"inputs": 3, "outputs": 2, "activation": "relo"}), "did you mean 'relu'"),
        (NetworkSpec("mlp", {"inputs": 3, "outputs": 2, "norm": "batch"}), "'layer' or None"),
    ],
)
def test_what_cannot_be_built_says_why(spec: NetworkSpec, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        build_network(spec)


@pytest.mark.parametrize("norm", [None, "layer"])
def test_crelu_doubles_what_is_read_and_keeps_one_of_each_pair_silent(norm: str | None) -> None:
    model = MLPNetwork(5, 3, hidden=(8, 4), activation="crelu", norm=norm)
    assert model.head.in_features == 8
    assert model(torch.randn(6, 5)).shape == (6, 3)
    hidden = crelu(torch.randn(6, 8))
    assert not (hidden[:, :8] * hidden[:, 8:]).any()


def test_layer_norm_stands_before_the_nonlinearity() -> None:
    model = MLPNetwork(5, 3, hidden=(64,), norm="layer", activation="tanh").eval()
    inputs = torch.randn(9, 5)
    dense = inputs @ model.get_submodule("fc1").weight.T  # type: ignore[operator, union-attr]
    spread = (dense.var(1, correction=0, keepdim=True) + model.get_submodule("norm1").eps).sqrt()  # type: ignore[operator]
    expected = torch.tanh((dense - dense.mean(1, keepdim=True)) / spread)
    with torch.no_grad():
        found = model(inputs)
        assert torch.allclose(found, expected @ model.head.weight.T, atol=1e-4)


def test_layer_norm_of_maps_is_over_channels_and_positions() -> None:
    model = NatureNetwork(3, width=0.25, norm="layer")
    maps = torch.randn(2, 8, 20, 20) * 5 + 1
    with torch.no_grad():
        found = model.norm1(maps)
    assert found.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert (found.std(dim=(1, 2, 3)) - 1).abs().max() < 1e-2


@pytest.mark.parametrize(("kinds", "dueling"), [(4, False), (10, True)])
def test_the_minatar_network_equals_its_equations(kinds: int, dueling: bool) -> None:
    model = MinAtarNetwork(5, (kinds, 10, 10), dueling=dueling).eval()
    assert (model.conv1.out_channels, model.fc1.in_features, model.fc1.out_features) == (16, 1024, 128)
    boards = np.random.default_rng(0).integers(0, 2, (6, kinds, 10, 10)).astype(np.uint8)
    weights = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}
    outputs, layers = reference.minatar(weights, boards, dueling)
    with torch.no_grad():
        assert model(torch.from_numpy(boards)).numpy() == pytest.approx(outputs, abs=1e-5)
    scanned = scan(model, torch.from_numpy(boards), 0.1)
    assert {layer.name: layer.size for layer in scanned.layers} == {"conv1": 16, "fc1": 128}
    for layer in scanned.layers:
        assert layer.scores == pytest.approx(reference.scores(layers[layer.name]), abs=1e-5)


@pytest.mark.parametrize(("activation", "slope"), [("relu", 0.0), ("leaky_relu", 0.01)])
def test_the_impala_network_equals_its_equations(activation: str, slope: float) -> None:
    model = ImpalaNetwork(5, (4, 21, 30), width=0.125, activation=activation).eval()
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 21, 30)).astype(np.uint8)
    weights = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}
    outputs, layers = reference.impala(weights, frames, slope)
    with torch.no_grad():
        assert model(torch.from_numpy(frames)).numpy() == pytest.approx(outputs, abs=1e-4)
    scanned = {layer.name: layer.scores for layer in scan(model, torch.from_numpy(frames), 0.1).layers}
    assert len(scanned) == 14  # and of these, seven are no sums
    for name, activations in layers.items():
        assert scanned[name] == pytest.approx(reference.scores(activations), abs=1e-4)


def test_the_impala_network_of_the_paper() -> None:
    model = ImpalaNetwork(4)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.endswith("weight")}
    assert [shapes[f"stack{index}.conv.weight"][0] for index in (1, 2, 3)] == [32, 64, 64]
    assert shapes["fc1.weight"] == (512, 64 * 11 * 11)
    assert sum(len(shape) == 4 for shape in shapes.values()) == 15  # convolutions, as IMPALA counts them


def test_a_narrower_impala_network_is_rebuilt_from_its_sizes() -> None:
    spec = NetworkSpec("impala", {"outputs": 3, "observation_shape": [4, 20, 20], "width": 0.25})
    narrow = build_network(resized(spec, {"stack1.block2.conv1": 3, "stack3.block1.conv1": 5, "fc1": 7}))
    shapes = [narrow.get_submodule(f"stack{1 + i // 2}.block{1 + i % 2}.conv1").weight.shape[:2] for i in range(6)]  # type: ignore[union-attr, index]
    assert shapes == [(8, 8), (3, 8), (16, 16), (16, 16), (5, 16), (16, 16)]
    assert narrow(torch.zeros(2, 4, 20, 20, dtype=torch.uint8)).shape == (2, 3)
    assert narrow.get_submodule("fc1").weight.shape == (7, 16 * 9)  # type: ignore[union-attr]
