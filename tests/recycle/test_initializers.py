"""Fresh weights follow the layer's own initial distribution, twins are independent, nobody's random numbers move."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import RewriteRefused, UsageError
from dormancy.networks import MLPNetwork, NatureNetwork
from dormancy.recycle import ReDo
from dormancy.recycle.initializers import FormulaDrawer, ModuleDrawer, NetworkDrawer, private_stream
from tests.recycle.helpers import silenced_mlp


def ks_distance(sample: Tensor, low: float, high: float) -> float:
    """Kolmogorov-Smirnov distance of a sample to the uniform distribution on low..high."""
    values = np.sort(sample.detach().double().flatten().numpy())
    expected = np.clip((values - low) / (high - low), 0, 1)
    steps = np.arange(values.size + 1) / values.size
    return float(max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max()))


def critical(n: int) -> float:
    """The distance that a true sample of n exceeds once in 10 000 times."""
    return float(np.sqrt(-0.5 * np.log(0.00005) / n))


class Orthogonal(nn.Module):
    """The habit of many agents: initialised where it is built, without a method that would say so."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 2)
        for layer in (self.body, self.head):
            nn.init.orthogonal_(layer.weight, 1.4)
            nn.init.constant_(layer.bias, 0.25)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(torch.relu(self.body(inputs)))
        return outputs


def recycled(model: nn.Module, inputs: Tensor, **options: Any) -> nn.Module:
    """Recycle every neuron of the first layer."""
    report = ReDo(model, tau=1e9, period=1, **options).step(inputs)
    assert report is not None
    assert report.recycled
    return model


def test_linear_layers_get_torch_s_default_distribution() -> None:
    model = nn.Sequential(nn.Linear(512, 400), nn.ReLU(), nn.Linear(400, 1))
    with torch.no_grad():
        model[0].weight.fill_(7.0)
        model[0].bias.fill_(7.0)
    recycled(model, torch.randn(4, 512))
    assert ks_distance(model[0].weight, -0.04419, 0.04419) < critical(512 * 400)
    assert ks_distance(model[0].bias, -0.04419, 0.04419) < critical(400)


def test_convolutions_get_torch_s_default_distribution() -> None:
    model = nn.Sequential(nn.Conv2d(4, 200, 5), nn.ReLU(), nn.Flatten(), nn.Linear(200, 1))
    recycled(model, torch.randn(4, 4, 5, 5))
    assert ks_distance(model[0].weight, -0.1, 0.1) < critical(200 * 100)


def test_our_networks_get_xavier_weights_and_zero_biases() -> None:
    model = NatureNetwork(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    recycled(model, torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8), layers=["fc1"], outgoing="keep")
    bound = float(np.sqrt(6 / (3136 + 512)))
    assert ks_distance(model.fc1.weight, -bound, bound) < critical(3136 * 512)
    assert (model.fc1.bias == 0).all()
    assert (model.conv1.weight == 0.01).all()


def test_presets_reproduce_the_bounds_of_other_implementations() -> None:
    for semantics, bound in (("dopamine", np.sqrt(6 / 912)), ("community", 0.10825)):
        model = nn.Sequential(nn.Linear(512, 400), nn.ReLU(), nn.Linear(400, 1))
        recycled(model, torch.randn(4, 512), semantics=semantics)
        assert ks_distance(model[0].weight, -bound, bound) < critical(512 * 400), semantics
        assert (model[0].bias == 0).all()


def test_a_function_that_builds_the_network_is_preferred() -> None:
    torch.manual_seed(0)
    model = recycled(Orthogonal(), torch.randn(4, 6), fresh=Orthogonal)
    rows = model.body.weight.T @ model.body.weight  # type: ignore[union-attr,operator]
    assert torch.allclose(rows, 1.96 * torch.eye(6), atol=1e-5)
    assert (model.body.bias == 0.25).all()  # type: ignore[operator]


def test_a_recipe_of_the_whole_network_wins_over_those_of_its_layers() -> None:
    drawer = ModuleDrawer(nn.ModuleDict({"q": MLPNetwork(5, 2), "other": nn.Linear(5, 2)}))
    assert drawer.source("q.fc1.weight") == "MLPNetwork.reset_parameters of 'q'"
    assert drawer.source("other.weight") == "Linear.reset_parameters of 'other'"


def test_a_recipe_that_forgets_a_parameter_is_not_trusted_with_it() -> None:
    class Partial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.scale = nn.Linear(3, 2), nn.Linear(2, 1), nn.Parameter(torch.ones(2))

        def reset_parameters(self) -> None:
            nn.init.ones_(self.a.weight)

    drawer = ModuleDrawer(Partial())
    assert drawer.source("a.weight") == "Partial.reset_parameters"
    assert drawer.source("a.bias") == "Linear.reset_parameters of 'a'"
    assert drawer.source("b.weight") == "Linear.reset_parameters of 'b'"
    assert "give fresh=" in str(drawer.refusal("scale"))
    assert (drawer.draw(["a.weight"], 0)["a.weight"] == 1).all()
    with pytest.raises(RewriteRefused, match="no module says how 'scale' is initialised"):
        drawer.source("scale")


def test_a_method_that_needs_arguments_is_not_called() -> None:
    class Demanding(nn.Linear):
        def reset_parameters(self, scale: float | None = None) -> None:
            super().reset_parameters()

    class TooDemanding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Demanding(2, 2)

        def reset_parameters(self, scale: float) -> None:
            raise AssertionError

    assert ModuleDrawer(TooDemanding()).source("inner.weight") == "Demanding.reset_parameters of 'inner'"


def test_a_module_that_cannot_be_copied_says_so() -> None:
    class Locked(nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("no")

    with pytest.raises(RewriteRefused, match="cannot copy module '0' to draw fresh weights"):
        ModuleDrawer(nn.Sequential(Locked(2, 2))).refusal("0.weight")


def test_a_function_that_builds_another_network_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"has no parameter '0\.weight' of the shape"):
        NetworkDrawer(nn.Sequential(nn.Linear(3, 2)), lambda: nn.Sequential(nn.Linear(4, 2))).draw(["0.weight"], 0)


def test_equal_seeds_draw_equal_values_and_others_do_not() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for drawer in (
        ModuleDrawer(model),
        NetworkDrawer(model, lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))),
        FormulaDrawer(model, nn.init.xavier_uniform_, "Xavier-uniform"),
    ):
        names = ["0.weight", "1.bias"]
        first, again, other = drawer.draw(names, 1), drawer.draw(names, 1), drawer.draw(names, 2)
        assert all(torch.equal(first[name], again[name]) for name in names)
        assert not torch.equal(first["0.weight"], other["0.weight"])


def test_drawing_leaves_the_network_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = copy.deepcopy(model.state_dict())
    ModuleDrawer(model).draw(["0.weight", "1.weight"], 0)
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())


def test_twins_get_independent_weights() -> None:
    twins = nn.ModuleDict({name: nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 1)) for name in "ab"})
    drawn = ModuleDrawer(twins).draw(["a.0.weight", "b.0.weight"], 5)
    pair = torch.stack([drawn["a.0.weight"].flatten(), drawn["b.0.weight"].flatten()])
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 4 / np.sqrt(300 * 200)


def test_two_events_draw_different_weights() -> None:
    model, inputs = silenced_mlp()
    redo = ReDo(model, tau=1e9, period=1)
    first = redo.step(inputs)
    second = redo.step(inputs)
    assert first is not None
    assert second is not None
    assert first.plan["0"] == second.plan["0"]
    assert first.plan != second.plan


def streams() -> tuple[Any, ...]:
    kind, keys, position, gauss, cached = np.random.get_state()
    return torch.get_rng_state().tolist(), kind, keys.tolist(), position, gauss, cached, random.getstate()  # type: ignore[union-attr]


def test_no_random_stream_of_the_program_is_moved() -> None:
    class Noisy(Orthogonal):
        def __init__(self) -> None:
            super().__init__()
            with torch.no_grad():
                self.body.bias += float(np.random.rand()) + random.random()

    torch.manual_seed(1)
    np.random.seed(2)
    random.seed(3)
    model, inputs = Noisy(), torch.randn(16, 6)
    before = streams()
    for options in ({"fresh": Noisy}, {}, {"selection": "random", "end": 1000}, {"semantics": "dopamine"}):
        redo = ReDo(model, tau=1e9, period=1, **options)  # type: ignore[arg-type]
        redo.plan(inputs)
        report = redo.step(inputs)
        assert report is not None
        assert report.recycled
        assert streams() == before


def test_the_private_stream_is_put_back_after_an_error() -> None:
    before = streams()
    with pytest.raises(ValueError, match="high <= 0"), private_stream(7):
        torch.rand(np.random.randint(0))
    assert streams() == before
