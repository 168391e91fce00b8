"""Defaults to the letter, and values that cannot be."""

import inspect
from dataclasses import asdict, replace

import pytest

from dormancy.errors import UsageError
from dormancy.networks import ACTIVATIONS, ARCHITECTURES
from dormancy.networks.layers import NEVER_ZERO as LIBRARY_NEVER_ZERO
from dormancy.recycle import RECYCLERS, ContinualBackprop
from dormancy_agents.algorithms.dqn.config import DQNConfig
from dormancy_agents.algorithms.registry import ALGORITHMS, dqn_config
from dormancy_agents.config import Layer, Resolved, resolve
from dormancy_agents.config.fields import kinds
from dormancy_agents.config.files import read_settings
from dormancy_agents.config.resolve import MATURITY, NEVER_ZERO


def test_atari_defaults_are_those_of_the_paper() -> None:
    config = dqn_config("ALE/Breakout-v5")
    assert (config.batch_size, config.replay_capacity, config.warmup_agent_steps) == (32, 1_000_000, 20_000)
    assert (config.learning_rate, config.adam_epsilon) == (6.25e-5, 1.5e-4)
    assert (config.gamma, config.n_step, config.huber_delta) == (0.99, 1, 1.0)
    assert (config.replay_ratio, config.target_period_agent_steps) == (0.25, 8_000)
    assert (config.epsilon_final, config.epsilon_decay_agent_steps) == (0.01, 250_000)
    assert (config.frame_skip, config.frame_stack, config.sticky_action_probability) == (4, 4, 0.25)
    assert (config.clip_rewards, config.max_episode_agent_steps) == (True, 27_000)
    assert (config.agent_steps, config.dormancy_period_gradient_steps) == (2_500_000, 20_000)
    assert (config.recycler, config.recycler_tau) == ("none", 0.025)
    assert (config.recycler_period_gradient_steps, config.recycler_sample_size) == (1_000, 64)
    assert (config.arch, config.hidden, config.width, config.padding) == ("nature", (512,), 1.0, "valid")


@pytest.mark.parametrize(("ratio", "tau"), [(0.125, 0.025), (0.25, 0.025), (0.5, 0.1), (1.0, 0.1), (2.0, 0.1)])
def test_the_threshold_of_redo_follows_the_replay_ratio(ratio: float, tau: float) -> None:
    assert dqn_config("ALE/Breakout-v5", {"replay_ratio": ratio}).recycler_tau == tau
    assert dqn_config("ALE/Breakout-v5", {"replay_ratio": ratio, "recycler_tau": 0.3}).recycler_tau == 0.3


def test_classic_control_has_a_preset_of_its_own() -> None:
    config = dqn_config("CartPole-v1")
    assert (config.arch, config.hidden, config.clip_rewards) == ("mlp", (512, 512), False)
    assert (config.batch_size, config.learning_rate, config.adam_epsilon) == (128, 1e-3, 3.125e-4)
    assert (config.target_period_agent_steps, config.replay_capacity, config.warmup_agent_steps) == (100, 50_000, 500)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agent_steps", 0),
        ("width", -1.0),
        ("batch_size", 0),
        ("replay_ratio", 0.0),
        ("learning_rate", float("nan")),
        ("gamma", 1.5),
        ("sticky_action_probability", -0.1),
        ("seed", -1),
        ("warmup_agent_steps", 0),
        ("learning_rate", float("inf")),
        ("hidden", (0, 3)),
        ("hidden", (8, -1)),
        ("taus", (0.1, -1.0)),
        ("taus", (0.1, float("nan"))),
        ("taus", ()),
        ("recycler", "rdo"),
        ("recycler_tau", float("inf")),
        ("activation", "rleu"),
        ("replay_capacity", 3),
        ("dueling", True),
    ],
)
def test_values_that_cannot_be_are_told_in_one_line(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        dqn_config("CartPole-v1", {name: value})
    assert "\n" not in str(caught.value)


def test_the_warm_up_must_fill_one_return() -> None:
    with pytest.raises(UsageError, match="warmup_agent_steps"):
        replace(DQNConfig("ALE/Pong-v5"), n_step=5, warmup_agent_steps=4)


def test_the_nature_network_has_one_hidden_layer() -> None:
    with pytest.raises(UsageError, match="one hidden dense layer"):
        dqn_config("ALE/Pong-v5", {"hidden": (64, 64)})


def test_unknown_fields_name_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'gamma'"):
        dqn_config("CartPole-v1", {"gama": 0.9})


def test_settings_are_read_by_the_kind_of_the_field() -> None:
    assert read_settings(["norm=layer"], DQNConfig) == {"norm": "layer"}
    found = read_settings(["gamma=0.9", "hidden=64,32", "clip_rewards=false", "taus=0,0.5", "batch_size=8"], DQNConfig)
    assert found == {"gamma": 0.9, "hidden": (64, 32), "clip_rewards": False, "taus": (0, 0.5), "batch_size": 8}


@pytest.mark.parametrize("item", ["gamma", "gamma=x", "batch_size=1.5", "clip_rewards=yes", "hidden=a,b"])
def test_settings_of_the_wrong_kind(item: str) -> None:
    with pytest.raises(UsageError, match=item.partition("=")[0]):
        read_settings([item], DQNConfig)


def test_settings_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match="did you mean 'n_step'"):
        read_settings(["nstep=3"], DQNConfig)


def resolved(algorithm: str, env_id: str, *layers: dict[str, object], preset: str = "paper") -> Resolved:
    named = [Layer(name, values) for name, values in zip(("run.toml", "flag"), layers, strict=False)]
    return resolve(ALGORITHMS[algorithm], env_id, named, preset)


def test_what_did_not_follow_is_told() -> None:
    """A file that holds every field, as --show-config writes it, beside a new replay ratio."""
    whole = asdict(dqn_config("ALE/Pong-v5", {"recycler": "redo"}))
    period, tau = sorted(resolved("dqn", "ALE/Pong-v5", whole, {"replay_ratio": 1.0}).warnings, reverse=True)
    assert period.startswith("target_period_agent_steps is 8000 by run.toml; with what was given besides, 2000 would")
    assert tau.startswith("recycler_tau is 0.025 by run.toml; with what was given besides, 0.1 would")
    given = {"replay_ratio": 1.0, "target_period_agent_steps": 8000, "recycler_tau": 0.1}
    assert resolved("dqn", "ALE/Pong-v5", whole, given).warnings == ()
    assert resolved("dqn", "ALE/Pong-v5", whole, {"learning_rate": 1e-3}).warnings == ()
    assert resolved("dqn", "ALE/Pong-v5", {"replay_ratio": 1.0}, {"seed": 3}).warnings == ()


@pytest.mark.parametrize(
    ("algorithm", "given", "told"),
    [
        ("drq", {"recycler": "reset"}, "recycled: the run has 98400 gradient steps, and the period is 100000"),
        ("sac", {"recycler": "redo", "agent_steps": 100_000}, "recycled: the run has 90000 gradient steps"),
        ("dqn", {"prune_dormant": True, "agent_steps": 30_000}, "pruned: the run has 2500 gradient steps"),
        (
            "dqn",
            {"recycler": "continual-backprop", "recycler_period_gradient_steps": 50, "agent_steps": 36_000},
            "recycled: the run has 4000 gradient steps, and the first neurons are mature after 5050",
        ),
        ("sac", {"recycler": "redo", "activation": "leaky_relu"}, "recycled: leaky_relu is hardly ever exactly 0"),
        ("dqn", {"recycler": "redo", "recycler_tau": 0, "activation": "tanh"}, "recycled: tanh is hardly ever exactly"),
        ("dqn", {"prune_dormant": True, "activation": "gelu"}, "pruned: gelu is hardly ever exactly 0"),
    ],
)
def test_what_will_not_happen_is_told(algorithm: str, given: dict[str, object], told: str) -> None:
    env_id = "Hopper-v5" if algorithm == "sac" else "ALE/Pong-v5"
    (warning,) = resolved(algorithm, env_id, given).warnings
    assert told in warning


@pytest.mark.parametrize(
    ("name", "value", "without"),
    [
        ("recycler_tau", 0.2, "a recycler"),
        ("recycler_period_gradient_steps", 50, "a recycler"),
        ("recycler_options", {"rate": 0.5}, "a recycler"),
        ("prune_tau", 0.1, "--prune-dormant"),
    ],
)
def test_what_nothing_reads_is_told(name: str, value: object, without: str) -> None:
    """It is told of what was typed just now; a file may hold every field."""
    (warning,) = resolved("dqn", "ALE/Pong-v5", {}, {name: value}).warnings
    assert warning.startswith(f"{name} has no effect without {without}")
    assert resolved("dqn", "ALE/Pong-v5", {name: value}).warnings == ()
    switch = {"prune_dormant": True} if without.startswith("--") else {"recycler": "redo"}
    assert resolved("dqn", "ALE/Pong-v5", {}, {name: value, **switch}).warnings == ()


def test_the_names_that_a_field_takes_are_those_of_the_library() -> None:
    known = kinds(DQNConfig)
    assert set(known["recycler"].choices) == {"none", *RECYCLERS}
    assert set(known["activation"].choices) == set(ACTIVATIONS)
    assert set(known["arch"].choices) <= set(ARCHITECTURES)
    assert set(NEVER_ZERO) == set(LIBRARY_NEVER_ZERO) & set(ACTIVATIONS)
    assert inspect.signature(ContinualBackprop).parameters["maturity"].default == MATURITY


def test_a_value_of_the_wrong_kind_says_where_it_stands() -> None:
    with pytest.raises(UsageError, match=r"batch_size takes a whole number, not 'x' \(run.toml\)"):
        resolved("dqn", "ALE/Pong-v5", {"batch_size": "x"})


@pytest.mark.parametrize("item", ["--show-config", "batch_size", ""])
def test_a_setting_without_a_value(item: str) -> None:
    with pytest.raises(UsageError, match="--set takes NAME=VALUE"):
        read_settings([item], DQNConfig)


@pytest.mark.parametrize("algorithm", ["dqn", "drq", "sac"])
@pytest.mark.parametrize("preset", ["paper", "quick"])
@pytest.mark.parametrize("recycler", ["none", "redo"])
def test_presets_warn_of_nothing(algorithm: str, preset: str, recycler: str) -> None:
    tasks = ["Hopper-v5", "Pendulum-v1"] if algorithm == "sac" else ["ALE/Pong-v5"]
    tasks += ["MinAtar/Breakout-v1", "CartPole-v1"] if algorithm == "dqn" else []
    for env_id in tasks:
        assert resolved(algorithm, env_id, {"recycler": recycler}, preset=preset).warnings == (), env_id


@pytest.mark.parametrize(("ratio", "period"), [(1.0, 200_000), (4.0, 800_000), (0.5, 100_000)])
def test_the_reset_of_sac_is_of_all_networks_by_environment_steps(ratio: float, period: int) -> None:
    found = resolved("sac", "Hopper-v5", {"recycler": "reset", "replay_ratio": ratio}).config
    assert found.recycler_period_gradient_steps == period
    assert found.recycler_options == {"which": "all"}
    redo = resolved("sac", "Hopper-v5", {"recycler": "redo", "replay_ratio": ratio}).config
    assert (redo.recycler_period_gradient_steps, redo.recycler_options) == (200_000, {})
