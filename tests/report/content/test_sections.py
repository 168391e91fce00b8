"""The numbers behind the charts, against the series and against sums done by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormancy.metrics import Measurement
from dormancy.metrics.tau_sweep import tau_sweep
from dormancy.report.content.runs import Inputs, read_inputs
from dormancy.report.content.sections.dormancy import dormancy_section
from dormancy.report.content.sections.lifetimes import lifetimes_section
from dormancy.report.content.sections.other_metrics import further_section
from dormancy.report.content.sections.overlap import overlap_section
from dormancy.report.content.sections.overlap_matrix import chance_matrix
from dormancy.report.content.sections.rank import rank_section
from dormancy.report.content.sections.tau_sweep import sweep_section
from dormancy.report.content.summary import summarise
from dormancy.report.model import LinePanel, RasterPanel
from dormancy.scanning.series import DormancySeries
from dormancy.text.numbers import percent
from tests.report.runs import layer, made_up_run, scan_of

LAYERS = (("conv1", 8), ("fc1", 24))


@pytest.fixture
def inputs() -> Inputs:
    return read_inputs([made_up_run("dqn", 9, layers=LAYERS), made_up_run("redo", 9, layers=LAYERS, cured=True)])


def test_curves_are_the_fractions_of_the_series(inputs: Inputs) -> None:
    network, layers, *_ = dormancy_section(inputs).figures
    for panel, key in zip((*network.panels, *layers.panels), (None, "conv1", "fc1"), strict=True):
        assert isinstance(panel, LinePanel)
        for run, line in zip(inputs.runs, panel.lines, strict=True):
            np.testing.assert_array_equal(line.y, run.series.fractions(key, 0.1))
            assert percent(float(line.y[-1])) in panel.alt


def test_intervals_of_scans_that_resampled_are_bands() -> None:
    """Ten replicates of 4 neurons, of which 1 is dormant in the sample: 0 to 2 are so in a replicate."""
    counts = [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]
    at = {"tau": 0.1, "dormant": {"": counts, "fc1": counts}, "sample_size": []}
    detail = {"by": "transition", "clusters": 1000, "at": [at]}
    resampled = {"uncertainty": Measurement(layers={"fc1": 0.1}, network=0.1, detail=detail)}
    scores = layer("fc1", [0.0, 1.0, 1.0, 2.0])
    scans = [scan_of(scores, step=0), scan_of(scores, step=1, measurements=resampled)]
    inputs = read_inputs([DormancySeries.of("dqn", scans)])
    figure = dormancy_section(inputs).figures[0]
    (panel,) = figure.panels
    assert isinstance(panel, LinePanel)
    expected = scans[1].interval(0.1)
    low, high = panel.lines[0].low, panel.lines[0].high
    assert low is not None
    assert high is not None
    np.testing.assert_array_equal(low, [np.nan, expected.low])
    np.testing.assert_array_equal(high, [np.nan, expected.high])
    said = f"95 % interval of the last {percent(expected.low)} to {percent(expected.high)}"
    assert said in panel.alt
    assert "95 % interval" in figure.caption
    assert said.removeprefix("95 % interval of the last ") in summarise(inputs, inputs.runs[0], 0.1).cards[0].detail


def test_every_tau_has_its_own_figures(inputs: Inputs) -> None:
    for build in (dormancy_section, overlap_section, lifetimes_section):
        assert {figure.tau for figure in build(inputs).figures} == {0.1, 0.0, 0.025}


def test_pictures_of_pairs_hold_measured_above_and_chance_below(inputs: Inputs) -> None:
    figure = next(one for one in overlap_section(inputs).figures if one.key == "overlap-pairs")
    for panel in figure.panels:
        assert isinstance(panel, RasterPanel)
        run = next(one for one in inputs.runs if one.label == panel.title)
        key = None if panel.group == "whole network" else panel.group
        measured, chance = run.series.overlap_matrix(key, 0.1), chance_matrix(run.series.dormant(key, 0.1))
        shown = np.where(panel.levels == 0, np.nan, (panel.levels - 1.0) / 100)
        upper = np.triu_indices(9)
        np.testing.assert_allclose(shown[upper], measured[upper], atol=0.0051)
        np.testing.assert_allclose(shown.T[upper][shown.T[upper] != 1], chance[upper][shown.T[upper] != 1], atol=0.0051)


def test_chance_is_the_mean_over_random_sets() -> None:
    """Draw many pairs of independent sets of 3 and 5 among 12 neurons: their overlap averages 5 / 12."""
    rng = np.random.default_rng(0)
    dormant = np.zeros((2, 12), dtype=bool)
    dormant[0, :3] = dormant[1, :5] = True
    draws = [np.intersect1d(rng.permutation(12)[:3], rng.permutation(12)[:5]).size / 3 for _ in range(4000)]
    assert chance_matrix(dormant)[0, 1] == pytest.approx(5 / 12)
    assert np.mean(draws) == pytest.approx(5 / 12, abs=0.015)


@given(st.lists(st.one_of(st.floats(0, 3), st.just(0.1), st.just(float("nan"))), min_size=1, max_size=30))
def test_the_sweep_is_the_share_at_every_tau(scores: list[float]) -> None:
    taus = np.array([0.0, 0.1, 1.0])
    found = layer("fc1", scores)
    np.testing.assert_allclose(tau_sweep(found.scores, taus), [found.fraction(tau) for tau in taus])


def test_a_sweep_passes_through_the_numbers_of_the_report(inputs: Inputs) -> None:
    (figure,) = sweep_section(inputs).figures
    panel = figure.panels[0]
    assert isinstance(panel, LinePanel)
    solid = [line for line in panel.lines if line.style == "solid"]
    for run, line in zip(inputs.runs, solid, strict=True):
        for tau in inputs.taus:
            assert line.y[line.x == tau] == run.series.fractions(None, tau)[-1]


def test_the_rank_is_drawn_below_what_is_attainable() -> None:
    inputs = read_inputs([made_up_run(checkpoints=4, layers=LAYERS, rows=16)])
    figure = rank_section(inputs).figures[0]
    (panel,) = figure.panels
    assert isinstance(panel, LinePanel)
    assert [(rule.value, rule.label) for rule in panel.rules] == [(16.0, "at most 16")]
    np.testing.assert_array_equal(panel.lines[0].y, inputs.runs[0].measured("srank", inputs.layers[1]))


def test_ranks_keep_their_names(inputs: Inputs) -> None:
    titles = {panel.title for figure in rank_section(inputs).figures for panel in figure.panels}
    assert {"Stable rank", "Entropy effective rank", "PCA rank", "Feature rank"} <= titles


def test_a_spectrum_is_relative_to_its_largest_value(inputs: Inputs) -> None:
    figure = next(one for one in rank_section(inputs).figures if one.key.startswith("rank-spectrum"))
    (panel,) = figure.panels
    assert isinstance(panel, LinePanel)
    assert all(line.y[0] == 1 and np.all(np.diff(line.y) < 0) for line in panel.lines)
    assert len(panel.lines) == 4


def test_a_metric_is_shown_without_being_known() -> None:
    measured = {"fancy": Measurement(layers={"fc1": 0.25}, network=0.5), "empty": Measurement()}
    scans = [scan_of(layer("fc1", [1.0]), step=k, measurements=measured) for k in range(3)]
    section = further_section(read_inputs([DormancySeries.of("dqn", scans)]))
    assert section is not None
    (figure,) = section.figures
    assert figure.title == "Fancy"
    assert [panel.lines[0].y.tolist() for panel in figure.panels] == [[0.5] * 3, [0.25] * 3]  # type: ignore[union-attr]


def test_a_measurement_that_is_missing_at_some_checkpoints_is_a_gap() -> None:
    rank = {"srank": Measurement(layers={"fc1": 3.0})}
    scans = [scan_of(layer("fc1", [1.0] * 4), step=k, measurements=rank if k != 1 else {}) for k in range(3)]
    panel = rank_section(read_inputs([DormancySeries.of("dqn", scans)])).figures[0].panels[0]
    assert isinstance(panel, LinePanel)
    np.testing.assert_array_equal(panel.lines[0].y, [3, np.nan, 3])


def test_falling_dormant_and_waking_add_up(inputs: Inputs) -> None:
    figure = lifetimes_section(inputs).figures[0]
    fell, woke, _ = figure.panels
    assert isinstance(fell, LinePanel)
    assert isinstance(woke, LinePanel)
    for run, down, up in zip(inputs.runs, fell.lines, woke.lines, strict=True):
        stock = run.series.dormant(None, 0.1).sum(axis=1)
        np.testing.assert_array_equal((down.y - up.y)[1:], np.diff(stock))
