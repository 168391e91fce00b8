"""Pruned networks against NumPy: the weights are cut by hand, and the forward pass is not ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dormancy.networks import MLPNetwork, NatureNetwork, NetworkSpec, build_network, resized
from dormancy.pruning import plan_pruning, prune
from tests.pruning.helpers import outputs, relative
from tests.reference import networks as reference


def weights(model: torch.nn.Module) -> dict[str, NDArray[np.float64]]:
    return {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_a_narrower_nature_network(same: bool, dueling: bool) -> None:
    torch.manual_seed(5)
    model = NatureNetwork(4, width=0.25, padding="same" if same else "valid", dueling=dueling)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 84, 84), dtype=np.uint8)
    draw = np.random.default_rng(1)
    off = {name: draw.random(size) < 0.4 for name, size in (("conv1", 8), ("conv2", 16), ("conv3", 16), ("fc1", 128))}
    w, on = weights(model), {name: ~mask for name, mask in off.items()}
    positions = w["fc1.weight"].shape[1] // 16
    cut = {
        "conv1.weight": w["conv1.weight"][on["conv1"]],
        "conv2.weight": w["conv2.weight"][on["conv2"]][:, on["conv1"]],
        "conv3.weight": w["conv3.weight"][on["conv3"]][:, on["conv2"]],
        "fc1.weight": w["fc1.weight"]
        .reshape(128, 16, positions)[on["fc1"]][:, on["conv3"]]
        .reshape(on["fc1"].sum(), -1),
        "head.weight": w["head.weight"][:, on["fc1"]],
        "head.bias": w["head.bias"],
        **{f"{name}.bias": w[f"{name}.bias"][mask] for name, mask in on.items()},
    }
    if dueling:
        cut |= {"value.weight": w["value.weight"][:, on["fc1"]], "value.bias": w["value.bias"]}
    wanted, _ = reference.nature(cut, pixels, same, dueling)
    inputs = torch.from_numpy(pixels)
    for mode in ("mask", "remove"):
        pruned = prune(model, plan_pruning(model, inputs[:2], off, mode))  # type: ignore[arg-type]
        assert np.abs(outputs(pruned, inputs)[0].numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_perceptrons_with_random_dormant_sets(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4), label="hidden")
    inputs, seed = data.draw(st.integers(1, 5), label="inputs"), data.draw(st.integers(0, 2**16), label="seed")
    torch.manual_seed(seed)
    model = MLPNetwork(inputs, 3, hidden=sizes).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    names = [f"fc{index + 1}" for index in range(len(sizes))]
    off = {name: chosen(data, size) for name, size in zip(names, sizes, strict=True)}
    x = torch.randn(6, inputs, dtype=torch.float64)
    w = weights(model)
    for index, name in enumerate(names):
        reader = names[index + 1] if index + 1 < len(names) else "head"
        w[f"{reader}.weight"] = w[f"{reader}.weight"].copy()
        w[f"{reader}.weight"][:, off[name]] = 0.0
    wanted, _ = reference.mlp(w, x.numpy(), len(sizes))
    for mode in ("mask", "remove"):
        given_ = outputs(prune(model, plan_pruning(model, x, off, mode)), x)[0].numpy()  # type: ignore[arg-type]
        np.testing.assert_allclose(given_, wanted, rtol=0, atol=1e-12 * max(1.0, np.abs(wanted).max()))


def chosen(data: st.DataObject, size: int) -> NDArray[np.bool_]:
    """Draw a set of neurons that leaves at least one."""
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    mask[data.draw(st.integers(0, size - 1))] = False
    return mask


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_convolutional_networks_with_random_dormant_sets(data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 2**16), label="seed"))
    model, names = random_network(data)
    x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    model = model.double().eval()
    with torch.no_grad():
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
        for parameter in model.parameters():
            parameter.normal_()
    off = {name: chosen(data, model.get_submodule(name).weight.shape[0]) for name in names}  # type: ignore[union-attr]
    masked, removed = (prune(model, plan_pruning(model, x, off, mode)) for mode in ("mask", "remove"))  # type: ignore[arg-type]
    assert relative(outputs(removed, x), outputs(masked, x)) <= 1e-11
    left = sum(int((~mask).sum()) for mask in off.values())
    assert sum(removed.get_submodule(name).weight.shape[0] for name in names) == left  # type: ignore[union-attr,misc]


def random_network(data: st.DataObject) -> tuple[torch.nn.Module, list[str]]:
    """Draw convolutions, each with or without a batch normalisation or a PReLU, a pool, a flattening, a dense end."""
    layers: list[torch.nn.Module] = []
    names: list[str] = []
    channels = 3
    for _ in range(data.draw(st.integers(1, 3), label="convolutions")):
        size = data.draw(st.integers(2, 6), label="channels")
        names.append(str(len(layers)))
        layers.append(torch.nn.Conv2d(channels, size, 3, padding=1, bias=data.draw(st.booleans(), label="bias")))
        if data.draw(st.booleans(), label="normalised"):
            layers.append(torch.nn.BatchNorm2d(size))
        layers.append(
            data.draw(st.sampled_from([torch.nn.ReLU(), torch.nn.PReLU(size), torch.nn.Tanh(), torch.nn.PReLU()]))
        )
        channels = size
    if data.draw(st.booleans(), label="pooled"):
        layers.append(torch.nn.MaxPool2d(3, 3))
    layers.append(torch.nn.Flatten())
    width = torch.nn.Sequential(*layers)(torch.zeros(1, 3, 9, 9)).shape[1]
    names.append(str(len(layers)))
    layers += [torch.nn.Linear(width, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)]
    return torch.nn.Sequential(*layers), names


@pytest.mark.parametrize(
    ("arch", "options", "shape"),
    [
        ("mlp", {"inputs": 4, "outputs": 2, "hidden": [12, 10], "width": 0.5}, (4,)),
        ("nature", {"outputs": 6, "width": 0.25, "dueling": True}, (4, 84, 84)),
        ("nature", {"outputs": 6, "width": 0.25, "padding": "same", "hidden": 64, "activation": "tanh"}, (4, 84, 84)),
    ],
)
def test_a_narrower_network_can_be_built_from_its_spec(
    arch: str, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    spec = NetworkSpec(arch, options)
    model, x = build_network(spec), torch.rand(3, *shape)
    off = {name: np.arange(size) % 4 == 1 for name, size in plan_pruning(model, x, {}).sizes.items()}
    plan = plan_pruning(model, x, off, "remove")
    rebuilt = build_network(resized(spec, plan.sizes))
    removed = prune(model, plan)
    rebuilt.load_state_dict(removed.state_dict())
    assert torch.equal(outputs(rebuilt, x)[0], outputs(removed, x)[0])
