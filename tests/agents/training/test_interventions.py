"""Interventions while training, for every recycler of the library."""

from pathlib import Path

import pytest
import torch

from dormancy.errors import UsageError
from dormancy.io import load_checkpoint
from dormancy.recycle import RECYCLERS
from dormancy_agents.algorithms.dqn.agent import DQN
from dormancy_agents.algorithms.registry import dqn_config
from dormancy_cli.main import run
from tests.agents.conftest import CARTPOLE, Run, train

HIDDEN = ["--set", "hidden=16,16"]


@pytest.mark.parametrize("name", list(RECYCLERS))
def test_every_recycler_can_be_trained_with(name: str, cartpole: Run, tmp_path: Path) -> None:
    options = ["--recycler", name, "--recycler-period", "50", "--recycler-tau", "0.5"]
    maturity = ["--set", "recycler_options.rate=0.1", "--set", "recycler_options.maturity=0"]
    found = train(tmp_path / name, *CARTPOLE, *HIDDEN, *options, *(maturity if name == "continual-backprop" else []))
    rows = found.rows("recycling")
    assert rows
    assert all(row["recycler"] == name and row["gradient_step"] in (50, 100, 150) for row in rows)
    assert all(sum(row["recycled"].values()) or row.get("parameters") for row in rows)
    before, after = cartpole.weights(), found.weights()
    assert not all(torch.equal(value, after[key]) for key, value in before.items())


def test_options_reach_the_recycler(tmp_path: Path) -> None:
    """A tenth of a layer of 16 by the cosine schedule, which has fallen to half of that after two thirds."""
    settings = ["selection=random", "end=120", "semantics=paper"]
    options = [word for each in settings for word in ("--set", f"recycler_options.{each}")]
    found = train(tmp_path / "run", *CARTPOLE, *HIDDEN, "--recycler", "redo", "--recycler-period", "20", *options)
    rows = found.rows("recycling")
    assert [row["gradient_step"] for row in rows] == [20, 40, 60, 80, 100]
    assert [row["recycled"] for row in rows] == [{"fc1": k, "fc2": k} for k in (2, 1, 1, 1, 1)]
    assert all(row["tau"] is None for row in rows)
    assert found.description["config"]["recycler_options"] == {"selection": "random", "end": 120, "semantics": "paper"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"recycler": "redoo"}, "did you mean 'redo'"),
        ({"recycler": "redo", "recycler_options": {"selektion": "random"}}, "did you mean 'selection'"),
        ({"recycler": "redo", "recycler_options": {"tau": 0.5}}, "recycler 'redo' has no option 'tau'"),
        ({"recycler": "redo", "recycler_options": {"selection": "random"}}, "needs end="),
        (
            {"recycler": "redo", "recycler_options": {"adaptive_share": 1.5}},
            "adaptive_share must be between 0 and 1, not 1.5",
        ),
        ({"recycler": "redo", "recycler_options": {"adaptive_share": "much"}}, "adaptive_share takes a number"),
        ({"recycler": "regrama", "recycler_options": {"adaptive_share": 0.1}}, "has no option 'adaptive_share'"),
    ],
)
def test_what_a_recycler_cannot_do_is_told_at_once(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DQN(dqn_config("CartPole-v1", values))


def test_a_threshold_can_follow_the_share_to_recycle(tmp_path: Path) -> None:
    options = ["--redo", "--redo-period", "20", "--redo-tau", "0.01", "--set", "recycler_options.adaptive_share=0.25"]
    rows = train(tmp_path / "run", *CARTPOLE, "--set", "hidden=32,32", *options).rows("recycling")
    assert len(rows) >= 5
    taus = [row["tau"] for row in rows]
    assert len(set(taus)) == len(taus)
    recycled = [sum(row["recycled"].values()) / 64 for row in rows]
    assert abs(recycled[-1] - 0.25) < 0.15


def test_layers_that_are_not_recycled_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--env", "ALE/Breakout-v5", "--arch", "impala", "--width", "0.125", "--steps", "150", "--warmup", "100"]
    short = ["--set", "hidden=16", "--sample-size", "16", "--set", "recycler_sample_size=8", "--quiet"]
    assert run(["train", "dqn", *options, *short, "--redo", "--redo-period", "5", "--out", str(tmp_path / "run")]) == 0
    rows = Run(tmp_path / "run").rows("recycling")
    assert len(rows) == 2
    assert all(row["refused"] and not set(row["refused"]) & set(row["recycled"]) for row in rows)
    error = capsys.readouterr().err
    assert error.count("layers that are not recycled") == 1
    assert rows[0]["refused"][0] in error


def test_weight_decay_is_added_to_the_gradient() -> None:
    """With a loss of no gradient, the first step of Adam on decay alone moves each weight by the learning rate."""
    agent = DQN(dqn_config("CartPole-v1", {"weight_decay": 1e-2, "learning_rate": 1e-3, "adam_epsilon": 1e-12}))
    before = {name: value.detach().clone() for name, value in agent.online.named_parameters()}
    for value in agent.online.parameters():
        value.grad = torch.zeros_like(value)
    agent.optimizer.step()
    agent.env.close()
    for name, value in agent.online.named_parameters():
        expected = before[name] - 1e-3 * torch.sign(before[name])
        torch.testing.assert_close(value.detach(), expected, rtol=0, atol=1e-6)


def test_pruned_neurons_are_in_every_checkpoint(tmp_path: Path) -> None:
    options = ["--prune-dormant", "--prune-period", "20", "--prune-tau", "0.5", "--set", "prune_sample_size=64"]
    found = train(tmp_path / "run", *CARTPOLE, *HIDDEN, *options)
    sets = [load_checkpoint(path).metadata["pruned"] for path in found.checkpoints]
    sizes = [sum(map(len, each.values())) for each in sets]
    assert sizes == sorted(sizes)
    assert sizes[0] == 0 < sizes[-1]
    for path, off in zip(found.checkpoints, sets, strict=True):
        parameters = load_checkpoint(path).parameters
        assert not parameters["fc2.weight"][:, off.get("fc1", [])].any()
        assert not parameters["head.weight"][:, off.get("fc2", [])].any()


def test_networks_are_looked_at_before_they_are_recycled(tmp_path: Path) -> None:
    """A scan and a checkpoint that are due at a step of recycling are of the network that made it necessary."""
    short = ["--env", "CartPole-v1", "--steps", "200", "--warmup", "100", "--replay-ratio", "1", "--log-period", "25"]
    periods = ["--checkpoint-period", "50", "--redo-period", "50", "--redo-tau", "0.9"]
    plain = train(tmp_path / "plain", *short, *periods, *HIDDEN)
    redo = train(tmp_path / "redo", *short, *periods, *HIDDEN, "--redo")
    (first, *_) = redo.rows("recycling")
    assert first["gradient_step"] == 50
    assert sum(first["recycled"].values()) > 0
    seen, before = ({row["gradient_step"]: row for row in each.rows("dormancy")} for each in (redo, plain))
    assert seen[50]["dormant_fraction"] == before[50]["dormant_fraction"]
    assert seen[75]["dormant_fraction"] != before[75]["dormant_fraction"]  # 25 steps after it
    assert seen[50]["checkpoint"] == "step_000000150"
    kept, same = (load_checkpoint(each.folder / "checkpoints" / "step_000000150.pt") for each in (redo, plain))
    assert all(torch.equal(value, same.parameters[name]) for name, value in kept.parameters.items())
    last = load_checkpoint(redo.folder / "checkpoints" / "step_000000200.pt")
    assert [row["gradient_step"] for row in redo.rows("recycling")] == [50, 100]
    assert last.gradient_step == 100


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--recycler", "rdo"], "recycler must be one of none, redo"),
        (["--redo", "--recycler", "reset"], "--redo is --recycler redo, not --recycler reset"),
        (["--redo", "--set", "recycler_options.selection=foo"], "selection must be one of"),
        (["--redo", "--set", "recycler_options.end=-1"], "recycling must end after it starts"),
        (["--redo", "--set", "recycler_options.rte=1"], "has no option 'rte' (did you mean 'rate'?)"),
        (["--device", "tpu"], "device must be cpu, cuda or cuda:N"),
    ],
)
def test_what_training_refuses_is_refused_by_show_config(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "dqn", "--env", "CartPole-v1", "--show-config", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    fine = [
        "--redo",
        "--set",
        "recycler_options.layers=fc1,fc2",
        "--set",
        "recycler_options.end=5000",
        "--steps",
        "9000",
    ]
    assert run(["train", "dqn", "--env", "CartPole-v1", "--show-config", *fine]) == 0


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MinAtar/Breakout-v1"])
def test_drq_without_frames_leads_to_dqn(env_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "drq", "--env", env_id, "--out", str(tmp_path / "run")]) == 2
    assert "use `dormancy train dqn`" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
