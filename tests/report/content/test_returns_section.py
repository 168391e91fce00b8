"""The chapter on returns: means of what was played, beside dormancy at the same agent steps."""

from __future__ import annotations

import numpy as np
import pytest

from dormancy.io import Evaluation, TrainingRecord
from dormancy.report import render_html, to_markdown
from dormancy.report.content.runs import read_inputs
from dormancy.report.content.sections.returns import returns_section, window_means
from dormancy.report.model import Figure, LinePanel
from dormancy.scanning.series import DormancySeries
from dormancy.stats import mean_interval
from tests.report.runs import layer, made_up_run, scan_of

SMALL = (("conv1", 8), ("fc1", 24))


def record(returns: list[float], apart: int = 100, last: int | None = None) -> TrainingRecord:
    steps = apart * np.arange(1.0, len(returns) + 1)
    return TrainingRecord({"seed": 1}, steps, np.array(returns, dtype=np.float64), last or apart * len(returns))


def figures(series: list[DormancySeries], records: list[TrainingRecord | None]) -> dict[str, Figure]:
    section = returns_section(read_inputs(series, records))
    return {} if section is None else {f"{figure.key} {figure.tau}": figure for figure in section.figures}


def test_a_window_holds_the_episodes_that_ended_in_it() -> None:
    """A window includes its end and not its beginning; what came after the last is left out."""
    one = record([1.0, 2.0, 3.0, 10.0, 99.0])
    means = window_means(one, np.array([50.0, 200.0, 350.0, 400.0]))
    assert np.array_equal(means, [np.nan, 1.5, 3.0, 10.0], equal_nan=True)


def test_windows_are_few_enough_to_average_over() -> None:
    drawn = figures([made_up_run(checkpoints=3, layers=SMALL)], [record([float(k) for k in range(95)])])
    (panel,) = drawn["returns None"].panels
    assert isinstance(panel, LinePanel)
    assert panel.lines[0].x.size == 9
    assert panel.x.high == 9500
    assert float(np.mean(panel.lines[0].y)) == pytest.approx(47, abs=2)


def test_first_and_last_tenth() -> None:
    table = figures([made_up_run(checkpoints=2)], [record([1.0, 3.0] + [7.0] * 16 + [10.0, 20.0])])[
        "returns None"
    ].table
    assert table is not None
    assert table.rows == (("dqn", 2000.0, 20, 2.0, 15.0, 20.0),)


def test_returns_stand_beside_dormancy_at_every_tau() -> None:
    run = made_up_run(checkpoints=4, layers=SMALL, taus=(0.1, 0.0))
    drawn = figures([run], [record([1.0] * 30, apart=5_000)])
    earned, dormant = drawn["returns-dormancy 0.0"].panels
    assert isinstance(earned, LinePanel)
    assert isinstance(dormant, LinePanel)
    assert np.array_equal(dormant.lines[0].y, run.fractions(None, 0.0))
    assert dormant.lines[0].x.tolist() == [0.0, 50_000.0, 100_000.0, 150_000.0]
    assert dormant.x == earned.x
    assert "from 1 at agent step" in earned.alt


def test_runs_without_returns_have_no_chapter() -> None:
    runs = [made_up_run(checkpoints=2), made_up_run("other", 2)]
    assert figures(runs, []) == {}
    assert figures(runs, [None, TrainingRecord()]) == {}


def test_each_run_keeps_its_own_record_and_colour() -> None:
    runs = [DormancySeries.of("empty", []), made_up_run("a", 2), made_up_run("b", 2)]
    (panel,) = figures(runs, [record([9.0]), None, record([4.0])])["returns None"].panels
    assert isinstance(panel, LinePanel)
    assert [(line.label, line.slot, line.y.tolist()) for line in panel.lines] == [("b", 1, [4.0])]


def test_one_checkpoint_or_no_agent_step_leaves_returns_alone() -> None:
    assert list(figures([made_up_run(checkpoints=1)], [record([1.0, 2.0])])) == ["returns None"]
    stepless = DormancySeries.of("x", [scan_of(layer("fc1", [0.0, 1.0]), step=None) for _ in range(2)])
    assert list(figures([stepless], [record([1.0, 2.0])])) == ["returns None"]


def evaluated(*steps: int) -> TrainingRecord:
    """A run that never acted, as offline ones do, and was evaluated over three episodes at each step."""
    evaluations = tuple(Evaluation(step, np.array([1.0, 2.0, 6.0]) * step) for step in steps)
    return TrainingRecord({"seed": 1}, last_step=max(steps, default=0), evaluations=evaluations)


def test_evaluations_are_drawn_with_the_interval_of_their_mean() -> None:
    drawn = figures([made_up_run(checkpoints=2), made_up_run("b", 2)], [evaluated(100, 300), evaluated(200)])
    assert list(drawn) == ["returns-evaluation None"]  # nothing was earned in training
    figure = drawn["returns-evaluation None"]
    (panel,) = figure.panels
    assert isinstance(panel, LinePanel)
    assert [line.x.tolist() for line in panel.lines] == [[100.0, 300.0], [200.0]]
    assert panel.lines[0].y.tolist() == [300.0, 900.0]
    _, low, high = mean_interval([100.0, 200.0, 600.0])
    assert figure.table is not None
    assert figure.table.rows[0] == ("dqn", 100, 3, 300.0, low, high, 100.0, 600.0)
    assert len(figure.table.rows) == len(figure.table.slots) == 3


def test_one_evaluation_a_run_is_a_table() -> None:
    run = made_up_run(checkpoints=2)
    figure = figures([run], [evaluated(100)])["returns-evaluation None"]
    assert figure.panels == ()
    page = render_html([run], records=[evaluated(100)])
    assert "Returns of each evaluation" in page


def test_evaluations_stand_behind_what_was_earned_in_training() -> None:
    both = record([1.0] * 30)
    both = TrainingRecord(both.config, both.steps, both.returns, 3000, evaluations=evaluated(100, 200).evaluations)
    drawn = list(figures([made_up_run(checkpoints=2, taus=(0.1,))], [both]))
    assert drawn == ["returns None", "returns-evaluation None", "returns-dormancy 0.1"]


def test_negative_returns_fit_their_axis() -> None:
    (panel,) = figures([made_up_run(checkpoints=2)], [record([-21.0, -20.0])])["returns None"].panels
    assert isinstance(panel, LinePanel)
    assert panel.y.low <= -20.5


def test_every_format_tells_the_returns() -> None:
    runs, records = [made_up_run(checkpoints=3, layers=SMALL)], [record([2.5] * 12)]
    assert 'id="returns"' in render_html(runs, records=records)
    assert "Returns of each run" in to_markdown(runs, records=records)
