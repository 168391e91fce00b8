"""The monitor: it scans when it should, as `scan` does, and the training does not notice."""

from __future__ import annotations

import copy
import json
import random
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import dormancy
from dormancy.errors import DormancyError, NetworkError, OutputError, UsageError
from dormancy.scanning.monitor import Monitor, scalars
from dormancy.scanning.result import DormancyScan
from dormancy_cli.main import run

OBSERVATIONS = torch.rand(40, 3, generator=torch.Generator().manual_seed(1))


def network(dropout: float = 0.2) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 4), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(4, 2))


def train(monitored: bool, steps: int = 30) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Train with dropout, batch statistics and drawn batches: everything that a careless look would disturb."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    monitor = Monitor(model, every=7, tau=(0.1, 0.0)) if monitored else None
    for _ in range(steps):
        batch = OBSERVATIONS[torch.randint(40, (16,))]
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
        if monitor is not None:
            monitor.step(OBSERVATIONS)
    return {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()


def test_training_is_the_same_bit_for_bit() -> None:
    (with_it, rng_with), (without, rng_without) = train(True), train(False)
    assert torch.equal(rng_with, rng_without)
    for name, value in without.items():
        assert torch.equal(value, with_it[name]), name


def test_it_leaves_gradients_hooks_and_modes_alone() -> None:
    model = network()
    model(OBSERVATIONS).sum().backward()
    model[3].eval()
    twin = copy.deepcopy(model)
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    Monitor(model, every=1).step(OBSERVATIONS)
    for module, before in zip(model.modules(), twin.modules(), strict=True):
        assert module.training is before.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)  # type: ignore[arg-type]
        assert parameter.requires_grad


def test_a_scan_of_the_monitor_is_a_scan() -> None:
    model = network()
    found = Monitor(model, every=1, tau=(0.2, 0.0)).step(OBSERVATIONS)
    expected = dormancy.scan(model, OBSERVATIONS, tau=(0.2, 0.0))
    assert found is not None
    assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
    for mine, theirs in zip(found.layers, expected.layers, strict=True):
        assert np.array_equal(mine.scores, theirs.scores)
    assert found.taus == (0.2, 0.0)


def test_it_scans_every_n_calls_and_asks_for_observations_only_then() -> None:
    asked: list[int] = []
    monitor = Monitor(network(), every=3)

    def observations() -> torch.Tensor:
        asked.append(monitor.steps)
        return OBSERVATIONS

    due = []
    for step in range(1, 11):
        due.append(monitor.due)
        assert (monitor.step(observations, agent_step=4 * step) is not None) is due[-1]
    assert asked == [3, 6, 9]
    assert monitor.series.step_unit == "agent step"
    assert monitor.series.steps == (12, 24, 36)
    assert [found.gradient_step for found in monitor.series.scans] == [3, 6, 9]
    assert monitor.last is monitor.series.scans[-1]


def test_without_agent_steps_the_series_counts_gradient_steps() -> None:
    monitor = Monitor(network(), every=2, name="q")
    assert len(monitor.series) == 0
    assert monitor.last is None
    for _ in range(4):
        monitor.step(OBSERVATIONS)
    assert monitor.series.step_unit == "gradient step"
    assert monitor.series.steps == (2, 4)
    assert monitor.series.name == "q"


def test_it_sees_a_neuron_die() -> None:
    model = network(dropout=0.0)
    monitor = Monitor(model, every=1, tau=0.0)
    monitor.step(OBSERVATIONS)
    with torch.no_grad():
        model[1].weight[2], model[1].bias[2] = 0.0, -1.0  # type: ignore[index]
    monitor.step(OBSERVATIONS)
    before, after = monitor.series.dormant("0", 0.0)
    assert not before[2]
    assert after[2]
    assert monitor.series.onsets("0", 0.0)[1] >= 1


def test_a_callback_hears_every_scan() -> None:
    heard: list[DormancyScan] = []
    monitor = Monitor(network(), every=2, callback=heard.append)
    for _ in range(5):
        monitor.step(OBSERVATIONS)
    assert heard == list(monitor.series.scans)


def test_json_lines_are_scans_that_the_report_reads(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    monitor = Monitor(network(), every=2, jsonl=path)
    for _ in range(6):
        monitor.step(OBSERVATIONS)
        assert len(path.read_text().splitlines()) == monitor.steps // 2
    scans = [DormancyScan.from_dict(json.loads(line)) for line in path.read_text().splitlines()]
    assert [found.gradient_step for found in scans] == [2, 4, 6]
    assert [found.fraction() for found in scans] == [found.fraction() for found in monitor.series.scans]
    assert run(["report", str(path), "-o", str(tmp_path / "report.html"), "--quiet"]) == 0


def test_an_existing_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("precious\n")
    with pytest.raises(OutputError, match="already exists"):
        Monitor(network(), jsonl=path)
    with pytest.raises(OutputError, match="folder does not exist"):
        Monitor(network(), jsonl=tmp_path / "nowhere" / "q.jsonl")
    assert path.read_text() == "precious\n"


class Curves:
    """Stands for TensorBoard's writer: it takes the arguments of `SummaryWriter.add_scalar` by its names."""

    def __init__(self) -> None:
        self.points: dict[str, list[tuple[int, float]]] = {}

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.points.setdefault(tag, []).append((global_step, scalar_value))


def test_curves_go_to_a_writer() -> None:
    curves = Curves()
    monitor = Monitor(network(), every=5, tau=(0.1, 0.0), name="q", writer=curves)
    for _ in range(10):
        monitor.step(OBSERVATIONS)
    expected = [(5 * (index + 1), found.fraction(0.1)) for index, found in enumerate(monitor.series.scans)]
    assert curves.points["q/fraction@0.1"] == expected
    assert len(curves.points["q/fraction@0/4"]) == 2
    assert "q/srank/4" in curves.points


def test_scores_go_to_a_writer_that_takes_histograms() -> None:
    class Histograms(Curves):
        def add_histogram(self, tag: str, values: object, global_step: int) -> None:
            found[tag, global_step] = values

    found: dict[tuple[str, int], object] = {}
    monitor = Monitor(network(), every=5, name="q", writer=Histograms())
    for _ in range(5):
        scan = monitor.step(OBSERVATIONS)
    assert scan is not None
    assert set(found) == {(f"q/scores/{layer.name}", 5) for layer in scan.layers}
    for layer in scan.layers:
        np.testing.assert_array_equal(found[f"q/scores/{layer.name}", 5], layer.scores)


def test_curves_have_no_holes_that_are_not_numbers() -> None:
    model = network()
    with torch.no_grad():
        model[4].weight.fill_(float("nan"))
    found = Monitor(model, every=1).step(OBSERVATIONS)
    assert found is not None
    assert found.nonfinite
    assert all(np.isfinite(value) for _, value in scalars(found))


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": -3}, {"tau": -0.1}, {"tau": ()}])
def test_what_cannot_be_is_refused_before_training(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Monitor(network(), **wrong)  # type: ignore[arg-type]


def test_a_wrong_observation_says_so() -> None:
    with pytest.raises(DormancyError, match="does not take observations"):
        Monitor(network(), every=1).step(torch.rand(4, 5))


def test_a_compiled_network_is_watched_through_its_wrapper() -> None:
    model = network()
    wrapped = torch.compile(model, backend="eager")
    found = Monitor(wrapped, every=1).step(OBSERVATIONS)  # type: ignore[arg-type]
    assert found is not None
    assert [layer.name for layer in found.layers] == ["0", "4"]


def test_the_first_step_checks_and_a_network_that_cannot_be_scanned_raises_there() -> None:
    monitor = Monitor(network(), every=1000)
    with pytest.raises(NetworkError, match="does not take observations"):
        monitor.step(torch.rand(40, 5))
    assert Monitor(network(), every=1000).step(OBSERVATIONS) is None
    with pytest.raises(UsageError, match="no layer matches"):
        Monitor(network(), every=1000, layers="nothing").check(lambda: OBSERVATIONS)


def fail() -> torch.Tensor:
    raise ValueError("the buffer is\nempty")


@pytest.mark.parametrize("later", [torch.rand(40, 5), torch.full((40, 3), 1j), fail])
def test_a_later_failure_warns_once_and_stops_the_monitor(later: Any) -> None:
    monitor = Monitor(network(), every=2, name="q")
    for _ in range(2):
        monitor.step(OBSERVATIONS)
    monitor.step(later)
    with pytest.warns(UserWarning, match=r"'q' stopped after 1 scans, the training continues: \S"):
        assert monitor.step(later) is None
    assert monitor.stopped
    assert "\n" not in monitor.stopped
    for _ in range(4):
        assert monitor.step(OBSERVATIONS) is None  # a second warning would be an error
    assert monitor.series.steps == (2,)


def test_strict_raises_later_failures_and_a_callback_always() -> None:
    monitor = Monitor(network(), every=1, strict=True)
    monitor.step(OBSERVATIONS)
    with pytest.raises(NetworkError):
        monitor.step(torch.rand(40, 5))
    with pytest.raises(KeyError):
        Monitor(network(), every=1, callback=lambda _: {}["stop"]).step(OBSERVATIONS)


def test_a_vanished_folder_does_not_end_the_training(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    monitor = Monitor(network(), every=1, jsonl=folder / "q.jsonl")
    monitor.step(OBSERVATIONS)
    (folder / "q.jsonl").unlink()
    folder.rmdir()
    with pytest.warns(UserWarning, match=r"q\.jsonl"):
        monitor.step(OBSERVATIONS)


class Counting(nn.Module):
    """Changes everything plain that a module can hold, at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.calls = 0
        self.seen: list[int] = []
        self.nested = {"shapes": [set(), deque([1])], "mean": torch.zeros(3)}
        self.sums = np.zeros(2)
        self.rng = np.random.default_rng(1)
        self.noise = torch.Generator().manual_seed(1)
        self.python = random.Random(1)
        self.register_buffer("running", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen.append(len(x))
        self.nested["shapes"][0].add(self.calls)  # type: ignore[index]
        self.nested["shapes"][1].append(2)  # type: ignore[index]
        self.nested["mean"] += 1  # type: ignore[operator]
        self.sums += 1
        self.running = self.running + 1
        self.cache = x
        self.rng.random()
        torch.rand(1, generator=self.noise)
        self.python.random(), random.random(), np.random.random()
        return self.net(x)  # type: ignore[no-any-return]


def test_a_scan_puts_plain_attributes_back() -> None:
    model = Counting()
    running = model.running
    before = copy.deepcopy({name: value for name, value in vars(model).items() if name[0] != "_" and name != "noise"})
    states = model.rng.bit_generator.state, model.noise.get_state(), model.python.getstate(), random.getstate()
    legacy = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    dormancy.scan(model, OBSERVATIONS)
    assert not hasattr(model, "cache")
    assert (model.calls, model.seen, model.nested["shapes"]) == (0, [], [set(), deque([1])])
    assert not model.nested["mean"].any()  # type: ignore[union-attr]
    assert not model.sums.any()
    assert model.running is running
    assert set(before) | {"noise"} == {name for name in vars(model) if name[0] != "_"}
    assert states[0] == model.rng.bit_generator.state
    assert torch.equal(states[1], model.noise.get_state())
    assert states[2:] == (model.python.getstate(), random.getstate())
    assert np.array_equal(legacy, np.random.get_state()[1])  # type: ignore[index]
