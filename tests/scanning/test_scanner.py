"""`dormancy.scan` against an independent float64 reference, and what it promises to leave alone."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from dormancy.errors import InputError, NetworkError, SampleError, SampleRequired, UsageError
from dormancy.io import Checkpoint, ReplaySample
from dormancy.networks import MLPNetwork, NatureNetwork, NetworkSpec, build_network
from dormancy.scanning.result import DormancyScan
from dormancy.scanning.scanner import scan, scan_checkpoint
from tests.reference import networks as reference
from tests.zoo import ZOO


def pixels(rows: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (rows, 4, 84, 84), dtype=np.uint8)


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}


def assert_scores(found: DormancyScan, layers: dict[str, np.ndarray], relative: float, absolute: float) -> None:
    assert [layer.name for layer in found.layers] == list(layers)
    for layer in found.layers:
        expected = reference.scores(layers[layer.name])
        assert layer.scores == pytest.approx(expected, rel=relative, abs=absolute)
        assert np.array_equal(layer.scores == 0, expected == 0)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_nature_scores_equal_the_reference(same: bool, dueling: bool) -> None:
    torch.manual_seed(3)
    model = NatureNetwork(6, width=0.5, padding="same" if same else "valid", dueling=dueling)
    observations = pixels(20)
    outputs, layers = reference.nature(weights(model), observations, same, dueling)
    with torch.no_grad():
        assert model(torch.from_numpy(observations)).numpy() == pytest.approx(outputs, rel=1e-4, abs=1e-5)
    # A neuron that hardly ever fires has a float32 sum of which few digits are its own: hence the absolute part, in
    # units of the layer's mean. In float64 there is no such excuse.
    assert_scores(scan(model, observations, batch_size=7), layers, 1e-5, 1e-6)
    assert_scores(scan(model.double(), observations, batch_size=7), layers, 1e-9, 1e-15)


def test_mlp_scores_and_ranks_equal_the_reference() -> None:
    torch.manual_seed(4)
    model = MLPNetwork(6, 3, hidden=(32, 24))
    observations = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
    _, layers = reference.mlp(weights(model), observations.astype(np.float64), depth=2)
    found = scan(model, observations)
    assert_scores(found, layers, 1e-5, 1e-6)
    singular = np.linalg.svd(layers["fc2"], compute_uv=False)
    share = np.cumsum(singular) / singular.sum()
    assert found.measurements["srank"].layers == {"fc2": float(np.argmax(share >= 0.99) + 1)}
    assert found.measurements["stable_rank"].layers["fc2"] == pytest.approx(
        (singular**2).sum() / singular[0] ** 2, 1e-5
    )


def test_nature_has_672_neurons() -> None:
    for outputs in (2, 18):
        assert scan(NatureNetwork(outputs), pixels(2)).neurons == 672


@pytest.mark.parametrize(("padding", "width"), [("valid", 3136), ("same", 7744)])
def test_flatten_widths(padding: str, width: int) -> None:
    assert NatureNetwork(6, padding=padding).fc1.in_features == width  # type: ignore[arg-type]


def test_splits_order_and_copies_do_not_matter() -> None:
    model, inputs = ZOO["nature-valid"]()
    observations = pixels(30)
    one = scan(model, observations, batch_size=30)
    rows = np.random.default_rng(0).permutation(30)
    for other in (
        scan(model, observations, batch_size=4),
        scan(model, observations[rows]),
        scan(model, np.concatenate([observations, observations])),
    ):
        for mine, theirs in zip(one.layers, other.layers, strict=True):
            assert theirs.scores == pytest.approx(mine.scores, rel=1e-5, abs=1e-6)
    assert inputs.shape[0] == 3


def test_silent_and_constant_layers() -> None:
    model = MLPNetwork(3, 2, hidden=(8, 8))
    with torch.no_grad():
        model.get_submodule("fc1").bias.fill_(-1e3)  # type: ignore[operator, union-attr]
        model.get_submodule("fc2").weight.zero_()  # type: ignore[operator, union-attr]
        model.get_submodule("fc2").bias.fill_(2.0)  # type: ignore[operator, union-attr]
    found = scan(model, torch.rand(50, 3), tau=0)
    assert [layer.fraction(0) for layer in found.layers] == [1.0, 0.0]
    assert found.fraction() == 0.5
    assert any("'fc1' is silent" in text for text in found.warnings)


def test_pooled_and_mean_fractions_differ() -> None:
    model = MLPNetwork(3, 2, hidden=(30, 10))
    with torch.no_grad():
        model.get_submodule("fc2").bias.fill_(-1e3)  # type: ignore[operator, union-attr]
    found = scan(model, torch.rand(50, 3), tau=0)
    alive = found.layers[0].fraction(0)
    assert found.fraction() == pytest.approx((alive * 30 + 10) / 40)
    assert found.mean_layer_fraction() == pytest.approx((alive + 1) / 2)


def test_a_diverged_neuron_is_reported_and_not_counted_alive() -> None:
    model = MLPNetwork(3, 2, hidden=(8,))
    with torch.no_grad():
        model.get_submodule("fc1").bias[2] = float("nan")  # type: ignore[operator, index, union-attr]
    found = scan(model, torch.rand(50, 3), tau=0.1)
    assert found.nonfinite == 1
    assert not found.dormant()[2]
    assert any("infinite or undefined" in text for text in found.warnings)
    assert json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", ["nature-dueling", "batch-norm-before", "transformer-block", "lstm", "crelu"])
def test_a_scan_leaves_no_trace(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = ZOO[name]()
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    copied = copy.deepcopy(model).eval()
    scan(model, inputs)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # type: ignore[index]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with torch.no_grad():
        assert torch.equal(model.eval()(inputs), copied(inputs))


def test_several_inputs_by_keyword() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 1)

        def forward(self, image: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(torch.cat([image, action], dim=-1)).relu())

    found = scan(Two(), {"image": np.zeros((9, 3), np.float32), "action": np.ones((9, 2), np.float32)})
    assert found.neurons == 4
    assert found.observations == 9


def test_the_frame_and_json_round_trip() -> None:
    found = scan(MLPNetwork(3, 2, hidden=(8, 8)), torch.rand(50, 3), tau=[0.1, 0])
    frame = found.to_frame()
    assert list(frame.index) == ["fc1", "fc2"]
    assert frame["fraction@0.1"].tolist() == [layer.fraction(0.1) for layer in found.layers]
    again = DormancyScan.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.to_dict() == found.to_dict()
    assert np.array_equal(again.dormant(0), found.dormant(0))


def test_chosen_layers_and_metrics() -> None:
    found = scan(MLPNetwork(3, 2, hidden=(8, 4)), torch.rand(50, 3), metrics=["srank"], layers="fc2")
    assert [layer.name for layer in found.layers] == ["fc2"]
    assert list(found.measurements) == ["srank"]


@pytest.mark.parametrize("tau", [-0.1, float("nan"), float("inf"), []])
def test_a_bad_tau_is_an_error(tau: object) -> None:
    with pytest.raises(UsageError, match="tau"):
        scan(MLPNetwork(3, 2), torch.rand(5, 3), tau=tau)  # type: ignore[arg-type]


def test_wrong_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'srank'"):
        scan(MLPNetwork(3, 2), torch.rand(5, 3), metrics=["sranc"])
    with pytest.raises(UsageError, match="no layer matches 'conv'"):
        scan(MLPNetwork(3, 2), torch.rand(5, 3), layers="conv")


@pytest.mark.parametrize(
    ("observations", "word"),
    [
        (np.zeros((0, 3), np.float32), "no observations"),
        (np.zeros(3, np.float32), "shape"),
        (np.array([["a"]]), "numbers"),
        ([[1.0]], "numbers"),
    ],
)
def test_unusable_observations(observations: object, word: str) -> None:
    with pytest.raises(SampleError, match=word):
        scan(MLPNetwork(3, 2), observations)  # type: ignore[arg-type]


def test_observations_of_another_shape() -> None:
    with pytest.raises(NetworkError, match=r"does not take observations of shape \(2, 5\)"):
        scan(MLPNetwork(3, 2), torch.rand(9, 5))


def test_a_network_without_neurons() -> None:
    with pytest.raises(NetworkError, match="no neurons found"):
        scan(nn.Linear(3, 2), torch.rand(5, 3))


def test_a_path_that_depends_on_the_input_is_noticed() -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = self.a(x)
            return self.b(hidden.relu() if float(x[0, 0]) < 50 else hidden)

    with pytest.raises(NetworkError, match="path depends on its input"):
        scan(Moody(), np.arange(300, dtype=np.float32).reshape(100, 3), batch_size=10)


def as_checkpoint(model: nn.Module, spec: NetworkSpec, **extra: object) -> Checkpoint:
    return Checkpoint(network=spec, parameters=model.state_dict(), **extra)  # type: ignore[arg-type]


def test_a_checkpoint_gives_what_its_network_gives() -> None:
    spec = NetworkSpec("nature", {"outputs": 3, "width": 0.25})
    model, observations = build_network(spec), pixels(12)
    found = scan_checkpoint(as_checkpoint(model, spec, agent_step=7), ReplaySample(observations), tau=0)
    assert found.to_dict()["layers"] == scan(model, observations, tau=0).to_dict()["layers"]
    assert found.agent_step == 7


def test_pixels_that_were_scaled_already_are_refused() -> None:
    spec = NetworkSpec("nature", {"outputs": 3, "width": 0.25})
    scaled = ReplaySample(pixels(4).astype(np.float32) / 255)
    with pytest.raises(SampleError, match="uint8"):
        scan_checkpoint(as_checkpoint(build_network(spec), spec), scaled)


def test_weights_that_are_not_finite_are_refused_by_name() -> None:
    spec = NetworkSpec("mlp", {"inputs": 3, "outputs": 2})
    model = build_network(spec)
    with torch.no_grad():
        model.get_submodule("fc2").weight[0, 0] = float("nan")  # type: ignore[operator, index, union-attr]
    with pytest.raises(InputError, match=r"fc2\.weight.*diverged"):
        scan_checkpoint(as_checkpoint(model, spec), ReplaySample(np.zeros((4, 3), np.float32)))


def test_a_checkpoint_without_a_sample_asks_for_one() -> None:
    spec = NetworkSpec("mlp", {"inputs": 3, "outputs": 2})
    with pytest.raises(SampleRequired, match="--sample"):
        scan_checkpoint(as_checkpoint(build_network(spec), spec))


def test_a_sample_of_another_environment_is_a_warning() -> None:
    spec = NetworkSpec("mlp", {"inputs": 3, "outputs": 2})
    sample = ReplaySample(np.ones((4, 3), np.float32), provenance={"env_id": "Acrobot-v1"})
    found = scan_checkpoint(as_checkpoint(build_network(spec), spec, env_id="CartPole-v1"), sample)
    assert found.warnings[0] == "the network was trained on CartPole-v1, but the sample is of Acrobot-v1"
