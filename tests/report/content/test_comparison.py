"""Many runs: who is grouped with whom, and that the page says what the statistics say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dormancy.errors import UsageError
from dormancy.io import Evaluation, TrainingRecord
from dormancy.report import render_html, to_json, to_markdown
from dormancy.report.content.groups import Comparison, compare_runs
from dormancy.report.content.report import ReportView, build_view
from dormancy.report.content.runs import read_inputs
from dormancy.report.model import Figure, LinePanel
from dormancy.scanning.series import DormancySeries
from dormancy.stats import iqm, probability_of_improvement
from tests.report.runs import made_up_run

SMALL = (("conv1", 8), ("fc1", 24))


def record(last: int = 100_000, final: float = 1.0, **config: Any) -> TrainingRecord:
    steps = np.linspace(last / 50, last, 50)
    return TrainingRecord(config, steps, np.linspace(0.0, final, 50), last)


def runs_of(*configs: dict[str, Any], checkpoints: int = 3) -> tuple[list[DormancySeries], list[TrainingRecord | None]]:
    series = [
        made_up_run(f"run{k}", checkpoints, layers=SMALL, seed=k, cured=bool(config.get("redo")))
        for k, config in enumerate(configs)
    ]
    return series, [record(**config) for config in configs]


def compare(*configs: dict[str, Any], by: str = "redo") -> Comparison:
    return compare_runs(read_inputs(*runs_of(*configs)), by)


def found(comparison: Comparison) -> list[tuple[str, list[tuple[str, int, list[str]]]]]:
    return [
        (one.label, [(group.label, group.slot, [run.label for run in group.runs]) for group in one.groups])
        for one in comparison.pairings
    ]


TWINS = tuple({"redo": redo, "seed": seed, "tau": 0.1} for redo in (True, False) for seed in (1, 2, 3))


def test_runs_are_grouped_over_their_seeds() -> None:
    comparison = compare(*TWINS)
    dqn, redo = ("redo false", 0, ["run3", "run4", "run5"]), ("redo true", 1, ["run0", "run1", "run2"])
    assert found(comparison) == [("", [dqn, redo])]
    assert comparison.notes == ()


def test_by_seed_every_configuration_stands_for_itself() -> None:
    alone = {"redo": True, "seed": 1, "tau": 0.5}
    comparison = compare(*TWINS, alone, by="seed")
    redo, dqn = ("3 seeds", 0, ["run0", "run1", "run2"]), ("3 seeds", 1, ["run3", "run4", "run5"])
    assert found(comparison) == [("redo true", [redo]), ("redo false", [dqn])]
    assert comparison.notes == ("Without a counterpart that differs in seed alone, so left out: run6.",)


def test_one_configuration_over_seeds_is_drawn_with_its_interval_and_compared_with_nothing() -> None:
    series, records = runs_of(*({"seed": seed, "env_id": "Pong"} for seed in range(4)))
    view = build_view(series, records=records, compare="seed")
    figures = {figure.key: figure for section in view.sections for figure in section.figures}
    (panel,) = figures["returns"].panels
    assert isinstance(panel, LinePanel)
    (line,) = panel.lines
    assert line.label == "4 seeds"
    assert line.low is not None
    assert "returns-improvement" not in figures
    assert [card.label for card in view.summaries[0].cards] == [
        "Dormant neurons",
        "Final return",
        "Effective rank",
        "Runs",
    ]
    assert not any("does it depend" in section.question for section in view.sections)


def test_runs_of_one_seed_are_no_seeds_to_compare() -> None:
    with pytest.raises(UsageError, match="no two runs differ in 'seed' alone"):
        compare({"seed": 1, "redo": True}, {"seed": 1, "redo": False}, by="seed")


def test_what_says_how_a_run_was_computed_is_no_setting() -> None:
    comparison = compare({"redo": False, "device": "cpu", "threads": 1}, {"redo": True, "device": "cuda", "threads": 2})
    assert len(comparison.pairings) == 1


def test_only_groups_that_differ_in_the_setting_alone_are_paired() -> None:
    lonely = {"redo": True, "seed": 1, "tau": 0.0}
    comparison = compare(*TWINS, lonely)
    assert len(comparison.groups) == 2
    assert comparison.notes == ("Without a counterpart that differs in redo alone, so left out: run6.",)


def test_pairings_are_told_apart_by_what_else_differs() -> None:
    configs = [{"redo": redo, "env_id": env, "width": 2} for env in ("Pong", "Seaquest") for redo in (False, True)]
    comparison = compare(*configs)
    assert [one.label for one in comparison.pairings] == ["env_id Pong", "env_id Seaquest"]
    assert [group.slot for group in comparison.groups] == [0, 1, 0, 1]


def test_numbers_are_in_their_order() -> None:
    comparison = compare(*({"ratio": ratio} for ratio in (4.0, 0.25, 16)), by="ratio")
    assert [group.label for group in comparison.groups] == ["ratio 0.25", "ratio 4", "ratio 16"]


@pytest.mark.parametrize(
    ("configs", "by", "reason"),
    [
        (({"redo": True}, {"redo": False}), "reddo", "did you mean 'redo'"),
        (({"redo": True}, {"redo": True}), "redo", "no two runs differ in 'redo' alone"),
        (({"redo": True, "tau": 1}, {"redo": False, "tau": 2}), "redo", "compare by another setting"),
    ],
)
def test_what_cannot_be_compared_is_one_line(configs: tuple[dict[str, Any], ...], by: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        compare(*configs, by=by)
    assert "\n" not in str(raised.value)


def test_runs_without_configuration_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match=r"run\.json"):
        compare_runs(read_inputs([made_up_run(checkpoints=2, layers=SMALL)]), "redo")


def test_a_run_that_fell_short_is_named_and_not_judged() -> None:
    comparison = compare(*TWINS, {"redo": True, "seed": 4, "tau": 0.1, "last": 50_000, "final": 99.0})
    redo = comparison.groups[1]
    assert [run.label for run in redo.runs] == ["run0", "run1", "run2", "run6"]
    assert redo.finals(100_000).size == 3
    assert "run6 (50\u202f000 of 100\u202f000 agent steps)" in comparison.notes[0]


def test_the_same_seed_twice_is_no_independent_run() -> None:
    comparison = compare(*TWINS, TWINS[0])
    assert any("several runs of the same seed" in note for note in comparison.notes)
    assert compare(*TWINS[:3], TWINS[0], by="seed").groups[0].label == "3 seeds, 4 runs"


RATIO = {"replay_ratio": 1.0, "prune_dormant": False, "prune_tau": 0.0}
PLAIN = {**RATIO, "recycler": "none", "recycler_tau": 0.1, "recycler_period_gradient_steps": 1000}
REDO = {**RATIO, "recycler": "redo", "recycler_tau": 0.1, "recycler_period_gradient_steps": 100}


def test_a_recycler_is_compared_with_its_options_and_none_has_none() -> None:
    """What nothing reads where nothing is recycled keeps no baseline from its counterpart."""
    comparison = compare(PLAIN, {**REDO, "seed": 1}, {**REDO, "seed": 2}, by="recycler")
    (plain, redo) = comparison.groups
    assert (plain.label, len(plain.runs)) == ("recycler none", 1)
    assert (redo.label, len(redo.runs)) == ("recycler redo", 2)
    other = compare(PLAIN, REDO, {**REDO, "recycler_tau": 0.0}, {**PLAIN, "prune_tau": 0.2}, by="recycler")
    labels = [(group.label, len(group.runs)) for group in other.groups]
    assert labels == [
        ("recycler none", 2),
        ("recycler redo, recycler_tau 0", 1),
        ("recycler redo, recycler_tau 0.1", 1),
    ]
    assert [group.label for group in compare(REDO, {**REDO, "recycler_tau": 0.0}, PLAIN, by="recycler_tau").groups] == [
        "recycler_tau 0",
        "recycler_tau 0.1",
    ]


def test_what_else_differs_is_said() -> None:
    with pytest.raises(UsageError, match="they differ in replay_ratio, too"):
        compare(PLAIN, {**REDO, "replay_ratio": 2.0}, by="recycler")


def test_numbers_in_labels_are_not_escaped() -> None:
    configs = [{"seed": seed, "period": period} for period in (500, 2000) for seed in (1, 2)]
    assert [one.label for one in compare(*configs, by="seed").pairings] == ["period 500", "period 2\u202f000"]
    assert compare(*configs, by="period").groups[1].label == "period 2\u202f000"


def test_what_a_run_did_not_read_is_no_difference_to_name() -> None:
    configs = [{**config, "seed": seed} for config in (PLAIN, REDO) for seed in (1, 2)]
    assert [one.label for one in compare(*configs, by="seed").pairings] == ["recycler none", "recycler redo"]
    other = [{**REDO, "recycler_tau": 0.5, "seed": seed} for seed in (1, 2)]
    assert [one.label for one in compare(*configs, *other, by="seed").pairings] == [
        "recycler none",
        "recycler redo, recycler_tau 0.1",
        "recycler redo, recycler_tau 0.5",
    ]


def view_of(*configs: dict[str, Any], checkpoints: int = 3) -> ReportView:
    series, records = runs_of(*configs, checkpoints=checkpoints)
    return build_view(series, records=records, compare="redo")


def figures(view: ReportView) -> dict[str, Figure]:
    drawn = [figure for section in view.sections for figure in section.figures]
    return {f"{figure.key} {figure.tau}": figure for figure in drawn}


def test_curves_are_iqms_over_seeds() -> None:
    view, (series, _) = view_of(*TWINS), runs_of(*TWINS)
    (panel,) = figures(view)["dormancy-network 0.1"].panels
    assert isinstance(panel, LinePanel)
    dqn, redo = panel.lines
    assert dqn.y[2] == pytest.approx(iqm([one.fractions(None, 0.1)[2] for one in series[3:]]))
    assert redo.y[2] == pytest.approx(iqm([one.fractions(None, 0.1)[2] for one in series[:3]]))
    assert dqn.low is not None
    assert dqn.high is not None
    assert (dqn.low <= dqn.y).all()
    assert (dqn.y <= dqn.high).all()
    assert [run.label for run in view.runs] == ["redo false", "redo true"]
    assert "rank-srank None" in figures(view)


def test_final_returns_are_compared() -> None:
    finals = {True: (3.0, 5.0, 4.0), False: (1.0, 2.0, 4.5)}
    configs = [
        {"redo": redo, "seed": seed, "final": value} for redo, each in finals.items() for seed, value in enumerate(each)
    ]
    series, _ = runs_of(*configs)
    records = [record(final=one["final"], redo=one["redo"], seed=one["seed"]) for one in configs]
    drawn = figures(build_view(series, records=list(records), compare="redo"))
    table = drawn["returns-improvement None"].table
    assert table is not None
    expected = probability_of_improvement([finals[True]], [finals[False]])
    assert table.rows == (("all runs", "redo true over redo false", "3 and 3", *expected, "these runs do not tell"),)
    (profile,) = drawn["returns-profile None"].panels
    assert isinstance(profile, LinePanel)
    assert profile.lines[0].y[0] == 1.0
    assert profile.lines[1].y[-1] == 0.0


def evaluated(redo: bool, seed: int, *steps: int) -> TrainingRecord:
    found = tuple(Evaluation(step, np.array([seed + redo, seed - redo + step])) for step in steps)
    return TrainingRecord({"redo": redo, "seed": seed}, last_step=100_000, evaluations=found)


def test_evaluations_are_compared_over_seeds() -> None:
    series, _ = runs_of(*TWINS)
    records: list[TrainingRecord | None] = [evaluated(one["redo"], one["seed"], 50, 100) for one in TWINS]
    figure = figures(build_view(series, records=records, compare="redo"))["returns-evaluation None"]
    (panel,) = figure.panels
    assert isinstance(panel, LinePanel)
    for line in panel.lines:
        assert line.x.tolist() == [50.0, 100.0]
        assert line.y.tolist() == [iqm([seed + 25 for seed in (1, 2, 3)]), iqm([seed + 50 for seed in (1, 2, 3)])]
    assert "returns None" not in figures(build_view(series, records=records, compare="redo"))


def test_one_evaluation_over_seeds_is_a_table() -> None:
    series, _ = runs_of(*TWINS)
    records: list[TrainingRecord | None] = [evaluated(one["redo"], one["seed"], 100) for one in TWINS]
    figure = figures(build_view(series, records=records, compare="redo"))["returns-evaluation None"]
    assert figure.panels == ()
    assert figure.table is not None
    assert [row[:4] for row in figure.table.rows] == [
        ("evaluation", label, 100.0, 3.0) for label in ("redo false", "redo true")
    ]


def test_runs_without_episodes_have_no_chapter_on_returns() -> None:
    series, _ = runs_of({}, {})
    records: list[TrainingRecord | None] = [TrainingRecord({"redo": redo}) for redo in (True, False)]
    view = build_view(series, records=records, compare="redo")
    assert [section.key for section in view.sections] == ["dormancy", "rank"]
    assert "One run only" in " ".join(view.notes)


def test_groups_of_different_networks_show_the_layers_they_have() -> None:
    series = [made_up_run(f"{depth}-{seed}", 3, layers=SMALL[:depth], seed=seed) for depth in (1, 2) for seed in (1, 2)]
    records = [record(depth=depth, seed=seed) for depth in (1, 2) for seed in (1, 2)]
    view = build_view(series, records=records, compare="depth")
    fc1 = figures(view)["dormancy-layers 0.1"].panels[1]
    assert isinstance(fc1, LinePanel)
    assert [line.x.size for line in fc1.lines] == [0, 3]
    assert "depth 1: no value." in fc1.alt
    assert "fc1" in render_html(series, records=records, compare="depth")


@pytest.mark.parametrize("value", [10**400, float("inf"), "<script>" * 2000, [1, {"a": None}], None])
def test_a_setting_may_hold_anything(value: object) -> None:
    series, _ = runs_of({}, {})
    records = [TrainingRecord({"odd": value, "rest": value}), TrainingRecord({"odd": "plain", "rest": value})]
    page = render_html(series, records=records, compare="odd")
    assert page.count("<script") == 2


def test_one_checkpoint_a_run_has_no_course() -> None:
    view = view_of(*TWINS, checkpoints=1)
    assert "One checkpoint a run" in view.sections[0].empty
    assert view.layers is not None


def test_every_format_is_written_and_the_page_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    series, records = runs_of(*TWINS)
    page = render_html(series, records=records, compare="redo")
    assert page == render_html(series, records=records, compare="redo")
    assert "redo compared" in page
    text = to_markdown(series, records=records, compare="redo")
    assert "IQM over 3 runs" in text
    assert "redo true over redo false" in text
    assert '"returns-profile"' in to_json(series, records=records, compare="redo")
