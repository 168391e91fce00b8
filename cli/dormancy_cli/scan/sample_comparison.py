"""`dormancy scan --against`: dead on this data, or dead everywhere? Two samples, one network, neuron by neuron."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from dormancy.errors import InputError, PartialFailure, UsageError
from dormancy.text.jsonable import as_json
from dormancy.text.markdown import cell, line, rule
from dormancy_cli.scan.output import Target
from dormancy_cli.scan.tasks import Done, ScanOptions, Task, plan
from dormancy_cli.scan.worker_pool import Answer, run_all
from dormancy_cli.shared.console import Reporter, render, result_console, write_result
from dormancy_cli.shared.paths import Failure
from dormancy_cli.shared.text import counted, number, percent

if TYPE_CHECKING:
    from rich.console import Console

    from dormancy.scanning.result import DormancyScan
    from dormancy.scanning.sample_comparison import LayerComparison, SampleComparison

__all__ = ["FORMATS", "compare_inputs"]

FORMATS = ("table", "json", "csv", "md")
SCHEMA = "dormancy.comparisons/1"
COLUMNS = ("layer", "neurons", "both", "first_only", "second_only", "neither", "overlap", "chance")
TITLES = {"first_only": "only on A", "second_only": "only on B"}
Item = Path | Failure


@final
@dataclass(frozen=True, eq=False)
class _Found:
    comparisons: list[SampleComparison]
    failures: list[Failure]


def compare_inputs(
    inputs: Sequence[Item], asked: ScanOptions, against: Path, target: Target, reporter: Reporter, jobs: int
) -> int:
    """Scan every checkpoint on both samples, give what they say of its neurons, and return the exit code.

    Raises `UsageError` for a form that has no place for a comparison.
    """
    if target.format not in FORMATS:
        raise UsageError(f"--against has no --format {target.format}; choose {', '.join(FORMATS)}")
    first = plan(inputs, replace(asked, metrics=()))
    second = plan(inputs, replace(asked, metrics=(), sample=against))
    pairs = [task for pair in zip(first, second, strict=True) for task in pair]
    with reporter.progress(pairs, "scanning") as tasks:
        found = _compared(run_all(tasks, jobs), asked.taus, reporter)
    if found.comparisons:
        _give(found, target)
    if not found.failures:
        return 0
    return PartialFailure.exit_code if found.comparisons else InputError.exit_code


def _compared(answers: Iterator[tuple[Task | Failure, Answer]], taus: Sequence[float], reporter: Reporter) -> _Found:
    from dormancy.scanning.sample_comparison import compare_samples

    found = _Found([], [])
    for (task, one), (_, other) in zip(answers, answers, strict=True):
        wrong = next((each for each in (one, other) if isinstance(each, InputError)), None)
        if wrong is not None:
            found.failures.append(Failure(str(task.path), wrong))
            reporter.error(found.failures[-1])
            continue
        scans = _read(one), _read(other)
        found.comparisons.extend(compare_samples(scans[0], scans[1], tau) for tau in taus)
    return found


def _read(answer: Answer) -> DormancyScan:
    from dormancy.scanning.result import DormancyScan

    assert isinstance(answer, Done)
    return DormancyScan.from_dict(json.loads(answer.text))


def _give(found: _Found, target: Target) -> None:
    if target.format == "json":
        failures = [{"path": failure.path, "error": str(failure.error)} for failure in found.failures]
        document = {
            "schema": SCHEMA,
            "comparisons": [each.to_dict() for each in found.comparisons],
            "failures": failures,
        }
        write_result(as_json(document), target.path, force=target.force)
    elif target.format == "csv":
        write_result(_csv(found.comparisons), target.path, force=target.force)
    elif target.format == "md":
        write_result("\n".join(map(_markdown, found.comparisons)), target.path, force=target.force)
    elif target.path is None and result_console().is_terminal:
        _draw(result_console(), found.comparisons)
    else:
        write_result(render(lambda console: _draw(console, found.comparisons)), target.path, force=target.force)


def _csv(comparisons: Sequence[SampleComparison]) -> str:
    page = io.StringIO()
    writer: Any = csv.writer(page, lineterminator="\n")
    writer.writerow(["checkpoint", "sample", "against", "tau", *COLUMNS, "nonfinite"])
    for each in comparisons:
        paths = [source.path if source else "" for source in (each.checkpoint, each.first, each.second)]
        for row in (*each.layers, each.network):
            values = row.to_dict()
            writer.writerow([*paths, each.tau, *(values[name] for name in COLUMNS), values["nonfinite"]])
    return page.getvalue()


def _heading(comparison: SampleComparison) -> str:
    return comparison.checkpoint.path if comparison.checkpoint else "network"


def _samples(comparison: SampleComparison) -> str:
    sources = zip("AB", (comparison.first, comparison.second), comparison.observations, strict=True)
    named = (f"{letter}: {source.path if source else '?'} ({rows})" for letter, source, rows in sources)
    return f"tau {comparison.tau:g}; {'; '.join(named)}"


def _reading(comparison: SampleComparison) -> str:
    network = comparison.network
    dormant, wakes = int((network.both | network.first_only).sum()), int(network.first_only.sum())
    if not dormant:
        return "no neuron is dormant on A"
    share = percent(wakes / dormant)
    return f"of {counted(dormant, 'neuron')} dormant on A, {wakes} ({share}) are awake on B: dead on that data only"


def _cells(layer: LayerComparison) -> list[str]:
    values = layer.to_dict()
    ratios = ("overlap", "chance")
    return [
        *(str(values[name]) for name in COLUMNS if name not in ratios),
        *("" if values[name] is None else number(round(values[name], 4)) for name in ratios),
    ]


def _markdown(comparison: SampleComparison) -> str:
    rows = [_cells(each) for each in (*comparison.layers, comparison.network)]
    head = [TITLES.get(name, name) for name in COLUMNS]
    lines = [f"### {cell(_heading(comparison))}", "", cell(_samples(comparison)), "", line(head), rule(len(head))]
    return "\n".join([*lines, *(line([cell(each) for each in row]) for row in rows), "", _reading(comparison), ""])


def _draw(console: Console, comparisons: Sequence[SampleComparison]) -> None:
    from rich.text import Text

    from dormancy_cli.shared.tables import literal, new_table

    for index, comparison in enumerate(comparisons):
        if index:
            console.print()
        console.print(literal(_heading(comparison)), style="bold", soft_wrap=True)
        console.print(literal(_samples(comparison)), soft_wrap=True)
        table = new_table()
        for name in COLUMNS:
            table.add_column(TITLES.get(name, name), justify="left" if name == "layer" else "right")
        for each in comparison.layers:
            table.add_row(*(literal(text) for text in _cells(each)))
        table.add_section()
        table.add_row(*(Text(text) for text in _cells(comparison.network)))
        console.print()
        console.print(table)
        console.print(literal(_reading(comparison)), style="dim", soft_wrap=True)
