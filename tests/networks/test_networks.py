"""The architectures: what they are built from, how they are initialised, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dormancy.errors import UsageError
from dormancy.networks import ARCHITECTURES, MLPNetwork, NatureNetwork, NetworkSpec, build_network
from dormancy.networks.layers import crelu


def test_every_architecture_is_rebuilt_from_plain_options() -> None:
    assert list(ARCHITECTURES) == ["mlp", "nature", "sac", "stack"]
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
