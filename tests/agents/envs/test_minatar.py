"""MinAtar behind the small interface: against the package's own class, driven by hand."""

import importlib
import sys

import numpy as np
import pytest

from dormancy.errors import UsageError
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_agents.envs.make import make_environment
from dormancy_agents.envs.minatar import MINATAR_GAMES
from tests.agents.conftest import Run
from tests.agents.conftest import train as train_dqn

KINDS = {"Asterix": 4, "Breakout": 4, "Freeway": 7, "Seaquest": 10, "SpaceInvaders": 6}


@pytest.mark.parametrize(("game", "kinds"), KINDS.items())
def test_observations_are_boards_of_zeros_and_ones(game: str, kinds: int) -> None:
    env = make_environment(dqn_config(f"MinAtar/{game}-v1"), seed=0)
    first = env.reset()
    assert (first.shape, first.dtype, env.frame_stack, env.frame_shape) == (
        (kinds, 10, 10),
        np.uint8,
        None,
        (kinds, 10, 10),
    )
    assert set(np.unique(first)) <= {0, 1}
    assert first.any()
    env.close()


@pytest.mark.parametrize("game", KINDS)
def test_steps_are_those_of_the_package(game: str) -> None:
    """The same seed and actions, with and without our class; sticky actions included, until five episodes ended."""
    import minatar

    env = make_environment(dqn_config(f"MinAtar/{game}-v1"), seed=7)
    theirs = minatar.Environment(MINATAR_GAMES[f"MinAtar/{game}-v1"], sticky_action_prob=0.1)
    theirs.seed(7)
    actions, rng = theirs.minimal_action_set(), np.random.default_rng(1)
    assert env.actions == len(actions)
    for _ in range(2):
        theirs.reset()
        theirs.last_action = 0
        assert np.array_equal(env.reset(), np.moveaxis(theirs.state(), -1, 0))
        for _ in range(300):
            action = int(rng.integers(env.actions))
            reward, over = theirs.act(actions[action])
            step = env.step(action)
            assert (step.reward, step.terminated, step.truncated) == (float(reward), bool(over), False)
            assert np.array_equal(step.observation, np.moveaxis(theirs.state(), -1, 0))
            if over:
                break
    env.close()


def test_a_sticky_action_does_not_reach_over_from_the_last_episode() -> None:
    env = make_environment(dqn_config("MinAtar/Breakout-v1", {"sticky_action_probability": 1.0}), seed=0)
    boards = []
    for action in (1, 2):  # left, right; with probability 1 the first action, nothing, is repeated for ever
        env.reset()
        while not (step := env.step(action)).terminated:
            boards.append(step.observation[0, 9])
    assert all(np.array_equal(board, boards[0]) for board in boards)  # the paddle never moved


@pytest.mark.parametrize("game", KINDS)
def test_a_seed_decides_all_that_follows(game: str) -> None:
    """What a resumed run relies on: nothing is left of the episodes before."""
    env = make_environment(dqn_config(f"MinAtar/{game}-v1"), seed=7)
    runs = []
    for steps_before in (0, 150):
        env.reset()
        for index in range(steps_before):
            if env.step(index % env.actions).terminated:
                env.reset()
        boards = [env.reset(3)]
        for index in range(200):
            step = env.step((7 * index) % env.actions)
            boards.append(env.reset() if step.terminated else step.observation)
        runs.append(np.stack(boards))
    assert np.array_equal(*runs)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("MinAtar/Breakot-v1", "did you mean 'MinAtar/Breakout-v1'"),
        ("minatar/breakout", "known: MinAtar/Asterix-v1"),
        ("MinAtar/Breakout-v0", "did you mean 'MinAtar/Breakout-v1'"),
    ],
)
def test_unknown_games_name_the_known_ones(env_id: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_environment(dqn_config(env_id), 0)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minatar", None)
    with pytest.raises(UsageError, match=r"pip install 'dormancy\[minatar\]'"):
        make_environment(dqn_config("MinAtar/Breakout-v1"), 0)


def test_the_package_can_be_imported() -> None:
    assert importlib.import_module("minatar").Environment


def test_a_run_on_boards(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("runs") / "minatar"
    run: Run = train_dqn(folder, "--env", "MinAtar/SpaceInvaders-v1", "--steps", "300", "--warmup", "100")
    assert run.description["network"]["arch"] == "minatar"
    layers = run.rows("dormancy")[-1]["layers"]
    assert {name: layer["neurons"] for name, layer in layers.items()} == {"conv1": 16, "fc1": 128}
    assert run.description["config"]["target_period_agent_steps"] == 1_000


def test_networks_that_do_not_fit_say_which_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    from dormancy_agents.training.setup import network_spec

    boards = make_environment(dqn_config("MinAtar/Breakout-v1"), 0)
    with pytest.raises(UsageError, match="--set arch="):
        network_spec(dqn_config("MinAtar/Breakout-v1", {"arch": "nature"}), boards)
    cartpole = make_environment(dqn_config("CartPole-v1"), 0)
    with pytest.raises(UsageError, match="boards of MinAtar"):
        network_spec(dqn_config("CartPole-v1", {"arch": "minatar", "hidden": (128,)}), cartpole)
    cartpole.close()
    spec = network_spec(dqn_config("MinAtar/Breakout-v1", {"arch": "mlp", "hidden": (32,)}), boards)
    assert spec.options["inputs"] == 400
