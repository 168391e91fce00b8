"""What the agent earned while it trained and where it was evaluated, beside how dormant it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dormancy.io import TrainingRecord
from dormancy.metrics import FloatArray
from dormancy.report.axis import written
from dormancy.report.content.groups import FINAL
from dormancy.report.content.runs import Inputs, Run
from dormancy.report.content.sections.common import value_axis
from dormancy.report.model import Axis, Cell, Column, Figure, Line, LinePanel, Section, Table
from dormancy.stats import mean_interval
from dormancy.text.numbers import count, plural

__all__ = ["EVALUATED", "evaluated", "returns_section", "share", "window_means"]

MOST_WINDOWS, EPISODES_A_WINDOW = 20, 10


AGENT_STEPS = "agent steps"
EVALUATED = "Evaluation without exploration"


def window_means(record: TrainingRecord, ends: FloatArray) -> FloatArray:
    """Return the mean return of the episodes that ended in each window (ends[i - 1], ends[i]], the first from step 0.

    NaN where no episode ended. Shape as `ends`, which ascend.

    >>> record = TrainingRecord({}, np.array([5.0, 10.0, 11.0]), np.array([1.0, 3.0, 8.0]), 11)
    >>> window_means(record, np.array([10.0, 20.0, 30.0]))
    array([ 2.,  8., nan])
    """
    place = np.searchsorted(ends, record.steps, side="left")
    inside = place < ends.size
    episodes = np.bincount(place[inside], minlength=ends.size)
    totals = np.bincount(place[inside], weights=record.returns[inside], minlength=ends.size)
    return np.asarray(np.divide(totals, episodes, out=np.full(ends.size, np.nan), where=episodes > 0))


def _course(record: TrainingRecord) -> tuple[FloatArray, FloatArray]:
    windows = int(np.clip(record.returns.size // EPISODES_A_WINDOW, 1, MOST_WINDOWS))
    ends = np.linspace(0, max(record.last_step, 1), windows + 1)[1:]
    return ends, window_means(record, ends)


def share(run: Run, tau: float) -> tuple[FloatArray, FloatArray]:
    """Return the agent steps of a run's checkpoints and the dormant share of the network, without steps both empty."""
    steps = [scan.agent_step for scan in run.scans]
    if None in steps:
        return np.empty(0), np.empty(0)
    return np.array(steps, dtype=np.float64), run.shares(Inputs.network, tau)


def _played(inputs: Inputs) -> list[tuple[Run, TrainingRecord]]:
    return [(run, run.record) for run in inputs.runs if run.record is not None and run.record.returns.size]


def _panel(title: str, what: str, y: Axis, lines: Sequence[Line], last: float) -> LinePanel:
    said = []
    for line in lines:
        known = np.flatnonzero(np.isfinite(line.y))
        ends = [f"{written(float(line.y[at]), y.unit)} at agent step {count(line.x[at])}" for at in known[[0, -1]]]
        said.append(f"{line.label}: from {ends[0]} to {ends[1]}.")
    return LinePanel(title, f"{what}. {' '.join(said)}", Axis(AGENT_STEPS, 0.0, last, "step"), y, tuple(lines))


def _lines(runs: Sequence[Run], curve: Callable[[Run], tuple[FloatArray, FloatArray]]) -> list[Line]:
    drawn = ((run, *curve(run)) for run in runs)
    return [Line(run.label, x, y, run.slot) for run, x, y in drawn if np.isfinite(y).any()]


def _return_panel(inputs: Inputs, title: str) -> LinePanel:
    courses = {run: _course(record) for run, record in _played(inputs)}
    y = value_axis("mean return of an episode", [values for _, values in courses.values()])
    last = max(float(record.last_step) for _, record in _played(inputs))
    lines = _lines(tuple(courses), lambda run: courses[run])
    return _panel(title, "Mean return of the episodes in each window", y, lines, last)


def _row(run: Run, record: TrainingRecord) -> tuple[Cell, ...]:
    last = float(record.last_step)
    first_part = record.returns[record.steps <= FINAL * last]
    final_part = record.returns[record.steps > (1 - FINAL) * last]
    means = (float(part.mean()) if part.size else float("nan") for part in (first_part, final_part))
    return (run.label, last, record.returns.size, *means, float(record.returns.max()))


def _table(inputs: Inputs) -> Table:
    played = _played(inputs)
    columns = (
        Column("run", "text"),
        Column(AGENT_STEPS, "count"),
        Column("episodes", "count"),
        Column("mean, first tenth", hint="of the agent steps"),
        Column("mean, last tenth", hint="of the agent steps"),
        Column("best episode"),
    )
    return Table(
        "Returns of each run", columns, tuple(_row(*one) for one in played), slots=tuple(r.slot for r, _ in played)
    )


def _return_figure(inputs: Inputs) -> Figure:
    episodes = sum(record.returns.size for _, record in _played(inputs))
    return Figure(
        key="returns",
        title="Return of the training episodes",
        panels=(_return_panel(inputs, "return"),),
        table=_table(inputs),
        caption=f"Undiscounted, as the agent explored: means over windows, {plural(episodes, 'episode')} in all.",
        wide=True,
    )


def _beside_figure(inputs: Inputs, tau: float) -> Figure | None:
    lines = _lines([run for run, _ in _played(inputs)], lambda run: share(run, tau))
    if not lines or inputs.still:
        return None
    earned = _return_panel(inputs, "Return")
    y = value_axis("dormant neurons", [line.y for line in lines], "percent", least=0.05)
    last = max(earned.x.high, *(float(line.x[-1]) for line in lines))
    dormant = _panel("Dormant neurons", f"Share of dormant neurons at tau = {tau:g}", y, lines, last)
    return Figure(
        key="returns-dormancy",
        title="Return beside dormancy",
        panels=(earned, dormant),
        table=None,
        caption=f"The same agent steps, tau = {tau:g}. That two curves move together does not say which moves which.",
        tau=tau,
    )


def evaluated(record: TrainingRecord | None) -> tuple[FloatArray, FloatArray]:
    """Return the agent steps at which a run was evaluated, and the mean return each time."""
    found = record.evaluations if record else ()
    steps = np.array([each.agent_step for each in found], dtype=np.float64)
    return steps, np.array([each.returns.mean() for each in found], dtype=np.float64)


def _bands(record: TrainingRecord) -> FloatArray:
    """Return mean, low and high of each evaluation, shape (3, evaluations)."""
    return np.array([mean_interval(each.returns) for each in record.evaluations]).T


def _evaluation_rows(run: Run, record: TrainingRecord) -> Iterator[tuple[Cell, ...]]:
    for each, band in zip(record.evaluations, _bands(record).T.tolist(), strict=True):
        ends = (float(each.returns.min()), float(each.returns.max()))
        yield (run.label, each.agent_step, each.returns.size, *band, *ends)


def _evaluation_table(found: Sequence[tuple[Run, TrainingRecord]]) -> Table:
    columns = (
        Column("run", "text"),
        Column(AGENT_STEPS, "count"),
        Column("episodes", "count"),
        Column("mean return"),
        Column("95 % from"),
        Column("to"),
        Column("lowest"),
        Column("highest"),
    )
    rows = tuple(row for one in found for row in _evaluation_rows(*one))
    slots = tuple(run.slot for run, record in found for _ in record.evaluations)
    return Table("Returns of each evaluation", columns, rows, slots=slots)


def _evaluation_panel(found: Sequence[tuple[Run, TrainingRecord]]) -> LinePanel:
    lines = []
    for run, record in found:
        steps, (means, low, high) = evaluated(record)[0], _bands(record)
        lines.append(Line(run.label, steps, means, run.slot, low=low, high=high))
    y = value_axis("mean return of an episode", [_bands(record).ravel() for _, record in found])
    last = max(float(record.last_step) for _, record in found)
    return _panel("evaluation", "Mean return of the episodes of each evaluation", y, lines, last)


def _evaluation_figure(inputs: Inputs) -> Figure | None:
    found = [(run, run.record) for run in inputs.runs if run.record is not None and run.record.evaluations]
    if not found:
        return None
    return Figure(
        key="returns-evaluation",
        title=EVALUATED,
        panels=(_evaluation_panel(found),) if any(len(record.evaluations) > 1 for _, record in found) else (),
        table=_evaluation_table(found),
        caption="Undiscounted returns, in an environment of their own. Bands: 95 % interval of the mean, bootstrapped "
        "over episodes: what other episodes of this agent might give, not what other seeds might.",
        wide=True,
    )


def returns_section(inputs: Inputs) -> Section | None:
    """Return what the agent earned, or None where no run folder with episodes was given."""
    evaluations = _evaluation_figure(inputs)
    figures = [evaluations] if evaluations else []
    if _played(inputs):
        beside = (_beside_figure(inputs, tau) for tau in inputs.taus)
        figures = [_return_figure(inputs), *figures, *(figure for figure in beside if figure is not None)]
    if not figures:
        return None
    question = "Did the agent learn, and how dormant was it meanwhile?"
    return Section("returns", "Returns", "Returns", question, figures)
