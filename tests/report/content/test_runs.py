"""Series side by side: what is shared, what is left out, and that it is said."""

import numpy as np

from dormancy.report.content.runs import read_inputs
from dormancy.scanning.series import DormancySeries
from tests.report.runs import layer, made_up_run, scan_of


def test_an_empty_series_is_left_out_and_named() -> None:
    inputs = read_inputs([DormancySeries.of("nothing", []), made_up_run(checkpoints=2)])
    assert [run.label for run in inputs.runs] == ["dqn"]
    assert inputs.notes == ("Without any checkpoint or neuron, so left out: nothing.",)


def test_mixed_networks_share_the_layers_they_have() -> None:
    wide = made_up_run("wide", 2, layers=(("conv1", 8), ("fc1", 16)))
    deep = made_up_run("deep", 2, layers=(("conv1", 8), ("fc1", 16), ("fc2", 4)))
    inputs = read_inputs([wide, deep])
    assert [scope.key for scope in inputs.layers] == ["conv1", "fc1", "fc2"]
    assert [run.label for run in inputs.having(inputs.layers[2])] == ["deep"]
    assert "different networks" in inputs.notes[0]


def test_different_units_of_steps_fall_back_to_numbers_of_checkpoints() -> None:
    agent = made_up_run("a", 3)
    bare = DormancySeries.of("b", [scan_of(layer("fc1", [1.0]), step=None) for _ in range(2)])
    inputs = read_inputs([agent, bare])
    assert inputs.step_unit == "checkpoint"
    np.testing.assert_array_equal(inputs.runs[0].x, [0, 1, 2])
    assert any("count different steps" in note for note in inputs.notes)


def test_taus_of_all_scans_are_shown_the_first_one_first() -> None:
    inputs = read_inputs([made_up_run("a", 2, taus=(0.1, 0.0)), made_up_run("b", 2, taus=(0.025, 0.1))])
    assert inputs.taus == (0.1, 0.0, 0.025)
    assert inputs.tau == 0.1


def test_more_taus_than_can_be_switched_are_said_so() -> None:
    inputs = read_inputs([made_up_run("a", 1, taus=tuple(k / 100 for k in range(9)))])
    assert len(inputs.taus) == 6
    assert any("first 6 of 9 taus" in note for note in inputs.notes)


def test_runs_of_the_same_name_can_be_told_apart() -> None:
    inputs = read_inputs([made_up_run("dqn", 1), made_up_run("dqn", 1)])
    assert [run.label for run in inputs.runs] == ["dqn", "dqn (2)"]
    assert [run.slot for run in inputs.runs] == [0, 1]


def test_colours_that_are_used_again_are_said_so() -> None:
    inputs = read_inputs([made_up_run(f"seed {seed}", 1) for seed in range(7)])
    assert any("colours" in note for note in inputs.notes)


def test_scores_of_the_network_are_those_of_its_layers() -> None:
    inputs = read_inputs([made_up_run(checkpoints=3, layers=(("a", 4), ("b", 5)))])
    (run,) = inputs.runs
    joined = np.concatenate([run.scores(scope) for scope in inputs.layers], axis=1)
    np.testing.assert_array_equal(run.scores(inputs.network), joined)
