"""Episodes: the same start gives the same return, and actions are what the network says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dormancy.errors import InputError, UsageError
from dormancy.io import Checkpoint, ReplaySample, save_checkpoint, save_sample
from dormancy.networks import NetworkSpec, build_network
from dormancy.pruning import Policy
from dormancy_agents.acting.paired_returns import Returns, environment_config, play, play_both
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs.make import make_continuous
from tests.cli.runs import Dormancy

CARTPOLE, PENDULUM = dqn_config("CartPole-v1"), dqn_config("Pendulum-v1")
LARGEST = Policy(0, "largest")


class Fixed(nn.Module):
    """Outputs the same numbers whatever it sees."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, x: Tensor) -> Tensor:
        return self.values.expand(len(x), -1)


def test_pushing_to_one_side_falls_at_once() -> None:
    assert 8 <= play(Fixed(0.0, 1.0), LARGEST, CARTPOLE, 0, epsilon=0.0) <= 11
    assert play(Fixed(0.0, 1.0), LARGEST, CARTPOLE, 3, epsilon=1.0) > 8


def test_an_episode_is_repeated_exactly_and_others_differ() -> None:
    returns = [play(Fixed(0.0, 1.0), LARGEST, CARTPOLE, number, epsilon=0.5) for number in (0, 0, 1, 2, 3, 4)]
    assert returns[0] == returns[1]
    assert len(set(returns)) > 2


def test_networks_that_agree_get_the_same_returns() -> None:
    found = play_both(Fixed(0.0, 1.0), Fixed(0.0, 2.0), LARGEST, CARTPOLE, range(3))
    assert found.before == found.after
    other = play_both(Fixed(0.0, 1.0), Fixed(1.0, 0.0), LARGEST, CARTPOLE, range(3))
    assert other.before == found.before != other.after


def test_intervals_are_of_the_mean_and_of_paired_differences() -> None:
    found = Returns("Pong", 0.001, 0, (1.0, 2.0, 3.0), (2.0, 3.0, 4.0)).intervals
    assert (found["before"].estimate, found["after"].estimate) == (2.0, 3.0)
    assert found["difference"] == (1.0, 1.0, 1.0)
    assert found["before"].low < 2.0 < found["before"].high


def test_a_network_of_another_environment() -> None:
    with pytest.raises(InputError, match=r"gives \(1, 3\) for one observation, but CartPole-v1 needs \(1, 2\)"):
        play(Fixed(0.0, 1.0, 2.0), LARGEST, CARTPOLE, 0, epsilon=0.0)


def test_the_setup_of_the_run_is_used(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "a.pt"
    checkpoint.parent.mkdir(parents=True)
    config = {"env_id": "ALE/Pong-v5", "frame_stack": 2, "sticky_action_probability": 0.0, "seed": 5}
    (tmp_path / "run" / "run.json").write_text(json.dumps({"config": config}))
    found = environment_config(checkpoint, "ALE/Pong-v5")
    assert (found.frame_stack, found.sticky_action_probability, found.seed) == (2, 0.0, 0)
    assert environment_config(checkpoint, "ALE/Breakout-v5").frame_stack == 4
    (tmp_path / "run" / "run.json").write_text("[")
    assert environment_config(checkpoint, "ALE/Pong-v5").frame_stack == 4


def pendulum(torque: float) -> float:
    """Play an episode of Pendulum by hand with one torque."""
    env = make_continuous("Pendulum-v1", int(np.random.default_rng([0, 0]).integers(2**31)))
    env.reset()
    total, over = 0.0, False
    while not over:
        step = env.take(np.array([torque]))
        total, over = total + step.reward, step.truncated
    env.close()
    return total


@pytest.mark.parametrize(
    ("choice", "given", "torque"),
    [("unit", 0.5, 1.0), ("squashed", float(np.arctanh(0.25)), 0.5), ("plain", 1.5, 1.5), ("plain", 9.0, 2.0)],
)
def test_what_a_network_outputs_becomes_an_action(choice: Any, given: float, torque: float) -> None:
    """The torque of Pendulum goes from -2 to 2."""
    assert play(Fixed(given), Policy(0, choice), PENDULUM, 0, epsilon=0.0) == pytest.approx(pendulum(torque), rel=1e-5)


def test_the_second_output_can_be_the_policy() -> None:
    class Two(Fixed):
        def forward(self, x: Tensor) -> Any:
            return x.sum(1, keepdim=True), super().forward(x)

    assert play(Two(0.5), Policy(1, "unit"), PENDULUM, 0, epsilon=0.0) == pytest.approx(pendulum(1.0), rel=1e-5)


def test_environments_of_the_wrong_kind() -> None:
    with pytest.raises(UsageError, match="actions must be vectors here, the environment takes Discrete"):
        play(Fixed(0.0), Policy(0, "unit"), CARTPOLE, 0)
    with pytest.raises(UsageError, match="Pendulum-v1: dqn needs discrete actions"):
        play(Fixed(0.0), LARGEST, PENDULUM, 0)
    with pytest.raises(UsageError, match=r"unknown environment 'Pendulm-v1' \(did you mean 'Pendulum-v1'\?\)"):
        make_continuous("Pendulm-v1")


def test_an_actor_on_pendulum(dormancy: Dormancy, tmp_path: Path) -> None:
    """An actor whose first hidden neurons are silent plays the same without them, whichever way they go."""
    layers = [{"name": "fc1", "inputs": 3, "outputs": 8, "activation": "relu"}]
    options = {"observation_shape": [3], "trunk": layers, "heads": [[{"name": "mu", "inputs": 8, "outputs": 1}]]}
    spec = NetworkSpec("stack", {**options, "output": "tanh"})
    torch.manual_seed(0)
    network = build_network(spec)
    with torch.no_grad():
        network.get_submodule("fc1").bias[:3] = -50.0  # type: ignore[index, operator]
        network.get_submodule("fc1").bias[3:] = 5.0  # type: ignore[index, operator]
    path = save_checkpoint(tmp_path / "a.pt", Checkpoint(spec, network.state_dict(), env_id="Pendulum-v1"))
    rows = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    save_sample(tmp_path / "a.h5", ReplaySample(rows, provenance={"env_id": "Pendulum-v1"}))
    outcome = dormancy("prune", path, "--episodes", 2, "--format", "json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert found["pruned"] == 3
    assert found["returns"]["returns"]["before"] == found["returns"]["returns"]["after"]
    assert found["effect"]["sample"]["agreement"] is None
    gated = dormancy("prune", path, "--min-agreement", "1")
    assert (gated.code, "has no greedy action; use --max-delta" in gated.err) == (3, True)
    assert dormancy("prune", path, "--mode", "remove", "-o", tmp_path / "b.pt").code == 0
