"""The chapter on pruning: what it shows is what was measured, and what is missing is left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from dormancy.report import render_html
from dormancy.report.content.sections.pruning import pruning_section, sweep_figure
from dormancy.report.model import Figure, LinePanel
from tests.report.runs import made_up_run


def change(largest: float, agreement: float | None = 0.9) -> dict[str, Any]:
    return {"observations": 64, "largest": largest, "mean": largest / 2, "agreement": agreement, "gap_ratio": None}


def point(tau: float, share: float, largest: float, agreement: float | None = 0.9) -> dict[str, Any]:
    held_out = {"pruned": 3, "found": change(largest), "unseen": change(largest * 2)}
    controls = {"random_mean": change(largest * 3, agreement), "strongest": change(largest * 4, agreement)}
    return {
        "tau": tau,
        "share": share,
        "pruned": round(share * 12),
        "change": change(largest, agreement),
        "held_out": held_out,
        "controls": controls,
    }


def result(**fields: Any) -> dict[str, Any]:
    layer = {"name": "fc1", "chosen": 2, "refused": None, "masked_only": None}
    effect = {"sample": change(0.5), "held_out": None, "controls": None}
    whole = {"checkpoint": {"path": "runs/dqn/checkpoints/step_9.pt"}, "tau": 0.1, "pruned": 3, "neurons": 12}
    whole |= {"layers": [layer], "effect": effect, "sweep": None, "returns": None}
    return {**whole, **fields}


def figures(*results: dict[str, Any]) -> dict[str, Figure]:
    section = pruning_section(results)
    assert section is not None
    return {figure.key: figure for figure in section.figures}


def test_without_results_there_is_no_chapter() -> None:
    assert pruning_section([]) is None


def test_the_effect_of_each_checkpoint() -> None:
    table = figures(result(), result())["pruning-effect"].table
    assert table is not None
    assert [row[0] for row in table.rows] == ["dqn step_9", "dqn step_9 (2)"]
    assert table.rows[0][1:] == (0.1, "3 of 12", "dormant, on the sample", 64, 0.5, 0.25, 0.9, None)


def test_held_out_rows_and_controls() -> None:
    held_out = {"found": change(0.0), "unseen": change(0.7)}
    controls = {"random_mean": change(3.0), "strongest": change(4.0)}
    effect = {"sample": change(0.5), "held_out": held_out, "controls": controls}
    table = figures(result(effect=effect))["pruning-effect"].table
    assert table is not None
    assert [row[5] for row in table.rows] == [0.5, 0.0, 0.7, 3.0, 4.0]


def test_layers_left_alone_are_named() -> None:
    assert "pruning-refused" not in figures(result())
    layers = [
        {"name": "c1", "chosen": 4, "refused": "added to another branch", "masked_only": None},
        {"name": "c2", "chosen": 1, "refused": None, "masked_only": "grouped"},
    ]
    table = figures(result(layers=layers))["pruning-refused"].table
    assert table is not None
    assert [row[1:] for row in table.rows] == [("c1", 4, "added to another branch"), ("c2", 1, "grouped")]


def test_returns() -> None:
    interval = {"estimate": 2.0, "low": 1.0, "high": 3.0}
    returns = {"env_id": "CartPole-v1", "episodes": 5, "before": interval, "after": interval, "difference": interval}
    table = figures(result(returns=returns))["pruning-returns"].table
    assert table is not None
    assert table.rows[1] == ("dqn step_9", "CartPole-v1", 5, "after", 2.0, 1.0, 3.0)


def test_the_curves_of_a_sweep() -> None:
    sweep = {"points": [point(0.1, 0.5, 1.0), point(0.0, 0.25, 0.0)]}
    figure = figures(result(sweep=sweep))["pruning-sweep"]
    moved, agreed = figure.panels
    assert isinstance(moved, LinePanel)
    assert [line.style for line in moved.lines] == ["solid", "dashed", "faint"]
    assert np.array_equal(moved.lines[0].x, [0.25, 0.5])
    assert np.array_equal(moved.lines[1].y, [0.0, 3.0])
    assert moved.y.high >= 4.0
    assert isinstance(agreed, LinePanel)
    assert agreed.y.unit == "percent"
    assert figure.table is not None
    assert figure.table.rows[1] == ("dqn step_9", 0.1, 6, 0.5, 1.0, 2.0, 3.0, 4.0, 0.9, 0.9, 0.9, 0.9)


def test_a_network_without_actions_and_a_sweep_without_controls() -> None:
    bare = [{**point(0.0, 0.25, 1.0, None), "controls": None, "held_out": None}]
    (panel,) = sweep_figure([("net", {"sweep": {"points": bare}})]).panels
    assert isinstance(panel, LinePanel)
    assert np.isnan(panel.lines[1].y).all()


def test_checkpoints_are_not_mistaken_for_runs() -> None:
    """Colours are checkpoints in this chapter, named above their panels: a legend of runs would be wrong."""
    runs = [made_up_run(name, 2, layers=(("fc1", 4),)) for name in ("dqn", "redo")]
    page = render_html(runs, prunings=[result(sweep={"points": [point(0.0, 0.25, 0.0)]})])
    chapter = page.split('<section id="pruning">')[1].split("</section>")[0]
    assert "dqn step_9: outputs" in chapter
    assert 'aria-label="Runs"' not in chapter
    assert 'aria-label="Runs"' in page.split('<section id="dormancy">')[1].split("</section>")[0]
