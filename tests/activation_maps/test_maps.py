"""Filters and activation maps against a forward pass written out by hand, and the choice of neurons and rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dormancy.activation_maps.images import block_means, grey_frames
from dormancy.activation_maps.maps import Convolutions, see_convolutions
from dormancy.activation_maps.neurons import choose_neurons
from dormancy.errors import UsageError
from dormancy.io import Checkpoint, ReplaySample, load_checkpoint
from dormancy.io.samples.formats.native import open_sample
from dormancy.networks import NetworkSpec, build_network
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.scanner import scan_checkpoint
from tests.report.runs import layer

FIXTURE = Path(__file__).parents[2] / "fixtures" / "breakout-dqn"
CHECKPOINT = FIXTURE / "checkpoints" / "step_000042000.pt"


@pytest.fixture(scope="module")
def scan() -> DormancyScan:
    return scan_checkpoint(CHECKPOINT)


@pytest.fixture(scope="module")
def seen(scan: DormancyScan) -> Convolutions:
    found = see_convolutions(CHECKPOINT, None, scan, wanted=[("conv2", 3)])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def activations() -> dict[str, np.ndarray]:
    """Every convolution's values on the whole sample, by a forward pass written out in float64."""
    weights = {name: value.double() for name, value in load_checkpoint(CHECKPOINT).parameters.items()}
    with open_sample(FIXTURE / "samples" / "step_000042000.h5") as sample:
        pixels = np.asarray(sample.observations[:])  # type: ignore[index]  # one input
    values, found = torch.from_numpy(pixels).double() / 255, {}
    for name, stride in (("conv1", 4), ("conv2", 2), ("conv3", 1)):
        values = F.conv2d(values, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=stride).clamp(min=0)
        found[name] = values.numpy()
    return found


def test_maps_are_what_the_network_computes(seen: Convolutions, activations: dict[str, np.ndarray]) -> None:
    assert {one.choice.layer for one in seen.maps} == set(activations)
    for one in seen.maps:
        expected = activations[one.choice.layer][list(one.rows), one.choice.neuron]
        np.testing.assert_allclose(one.maps, expected, atol=1e-5)
        np.testing.assert_allclose(one.means, expected.mean(axis=(1, 2)), atol=1e-6)


def test_the_strongest_observations_are_the_strongest(seen: Convolutions, activations: dict[str, np.ndarray]) -> None:
    for one in seen.maps:
        strengths = activations[one.choice.layer][:, one.choice.neuron].mean(axis=(1, 2))
        assert one.strongest == 2
        assert one.means[0] == pytest.approx(strengths.max(), abs=1e-6)
        assert one.means[0] > one.means[1]
        # The second is another observation: nothing lies between the two but copies of them.
        between = (strengths > one.means[1] + 1e-6) & (strengths < one.means[0] - 1e-6)
        assert not between.any()


def test_typical_observations_are_shared_and_shown(seen: Convolutions) -> None:
    assert len(seen.typical) == 3
    assert all(one.rows[one.strongest :] == seen.typical for one in seen.maps)
    assert set(seen.frames) == {row for one in seen.maps for row in one.rows}


def test_filters_are_those_of_the_file(seen: Convolutions) -> None:
    assert seen.filters is not None
    assert seen.filters.layer == "conv1"
    np.testing.assert_array_equal(seen.filters.weights, load_checkpoint(CHECKPOINT).parameters["conv1.weight"].numpy())


def test_a_silent_neuron_has_no_strongest_observation() -> None:
    spec = NetworkSpec("nature", {"outputs": 2, "width": 0.25, "hidden": 16})
    network = build_network(spec)
    with torch.no_grad():
        network.get_parameter("conv1.bias")[1] = -1e6
    pixels = np.random.default_rng(0).integers(0, 255, (8, 4, 84, 84), dtype=np.uint8)
    checkpoint, sample = Checkpoint(spec, network.state_dict()), ReplaySample(pixels)
    seen = see_convolutions(checkpoint, sample, scan_checkpoint(checkpoint, sample))
    assert seen is not None
    silent = next(one for one in seen.maps if (one.choice.layer, one.choice.neuron) == ("conv1", 1))
    assert (silent.strongest, silent.choice.score, silent.choice.reason) == (0, 0.0, "most dormant")
    assert not silent.maps.any()


def test_a_network_without_pictures_has_nothing_to_see() -> None:
    spec = NetworkSpec("mlp", {"inputs": 3, "outputs": 2, "hidden": [4]})
    checkpoint = Checkpoint(spec, build_network(spec).state_dict())
    sample = ReplaySample(np.ones((5, 3), dtype=np.float32))
    assert see_convolutions(checkpoint, sample, scan_checkpoint(checkpoint, sample)) is None


def test_a_long_sample_is_thinned_evenly(scan: DormancyScan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dormancy.activation_maps.maps.MOST_ROWS", 5)
    seen = see_convolutions(CHECKPOINT, None, scan)
    assert seen is not None
    assert set(seen.frames) <= {0, 64, 128, 191, 255}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [(("conv4", 0), "did you mean 'conv3'"), (("conv1", 99), "numbered 0 to 7"), (("conv1", -1), "numbered 0 to 7")],
)
def test_a_wanted_neuron_has_to_exist(scan: DormancyScan, wanted: tuple[str, int], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        see_convolutions(CHECKPOINT, None, scan, wanted=[wanted])


def test_each_reason_has_its_neurons() -> None:
    chosen = choose_neurons([layer("c", [0.05, 3.0, np.nan, 0.0, 0.2, 0.01, 2.0, 1.0, 0.3])], 0.1)
    assert [(one.neuron, one.reason) for one in chosen] == [
        (3, "most dormant"),
        (5, "most dormant"),
        (4, "lowest above tau"),
        (8, "lowest above tau"),
        (1, "most active"),
        (6, "most active"),
    ]


def test_large_networks_show_less_of_each_layer() -> None:
    layers = [layer(f"c{k}", np.linspace(0.0, 2.0, 50)) for k in range(20)]
    chosen = choose_neurons(layers, 0.1, [("c1", 7)])
    assert len({one.layer for one in chosen}) == 9
    assert len(chosen) == 8 * 3 + 1


def test_blocks_are_averaged_and_edges_fill_up() -> None:
    pictures = np.arange(15.0).reshape(1, 3, 5)
    np.testing.assert_allclose(block_means(pictures, 3), [[[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]])
    assert block_means(pictures, 5) is pictures


@pytest.mark.parametrize("last", [False, True])
def test_frames_of_every_kind_are_grey(last: bool) -> None:
    stack = np.zeros((2, 4, 8, 8), dtype=np.uint8)
    stack[:, 3], stack[:, 0] = 255, 51
    assert grey_frames(stack, newest_last=True).tolist() == np.ones((2, 8, 8)).tolist()
    colours = np.full((2, 3, 8, 8), 102, dtype=np.uint8)
    shown = grey_frames(np.moveaxis(colours, 1, -1) if last else colours)
    np.testing.assert_allclose(shown, 0.4)
    masks = np.zeros((2, 7, 10, 10), dtype=bool)
    masks[:, 5, 2, 3] = True
    assert grey_frames(masks).sum() == 2.0
