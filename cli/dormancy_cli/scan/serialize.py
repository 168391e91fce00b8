"""Scans as data: JSON, JSON lines, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dormancy.text.jsonable import as_json
from dormancy.text.markdown import cell, line, rule
from dormancy_cli.scan.collect import Collection, Group
from dormancy_cli.scan.gates.verdict import Verdict
from dormancy_cli.scan.results_file import RESULTS_SCHEMA

if TYPE_CHECKING:
    from dormancy.scanning.result import DormancyScan

__all__ = ["rows", "to_csv", "to_json", "to_jsonl", "to_markdown"]


HISTORIES: tuple[Literal["previous", "cumulative", "first"], ...] = ("previous", "cumulative", "first")


def to_json(collection: Collection, verdicts: Sequence[Verdict]) -> str:
    """One document for all runs, whatever their number: schema dormancy.results/1."""
    document = {
        "schema": RESULTS_SCHEMA,
        "runs": [_run(group) for group in collection.groups],
        "gates": [verdict.to_dict() for verdict in verdicts],
        "failures": [{"path": failure.path, "error": str(failure.error)} for failure in collection.failures],
    }
    return as_json(document)


def _run(group: Group) -> dict[str, Any]:
    run: dict[str, Any] = {"name": group.name, "scans": [scan.to_dict() for scan in group.scans]}
    if group.series is not None:
        run["overlap"] = {history: group.series.overlap(history).tolist() for history in HISTORIES}
        run["curves"] = group.series.curves()
    return run


def to_jsonl(collection: Collection, verdicts: Sequence[Verdict] = ()) -> str:
    """One scan a line: schema dormancy.scan/1, with its ``gates`` where there were any."""
    return "".join(
        as_json(scan.to_dict() | _gates(group.name, scan, verdicts), indent=None)
        for group in collection.groups
        for scan in group.scans
    )


def _gates(run: str, scan: DormancyScan, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {"gates": [each.to_dict() for each in _about(run, scan, verdicts)]} if verdicts else {}


def _about(run: str, scan: DormancyScan, verdicts: Sequence[Verdict]) -> list[Verdict]:
    path = scan.checkpoint.path if scan.checkpoint else "?"
    return [each for each in verdicts if each.run == run and each.checkpoint == path]


def rows(collection: Collection, verdicts: Sequence[Verdict] = ()) -> Iterator[dict[str, Any]]:
    """One row per checkpoint, layer and tau, in tidy form; with gates, those that the checkpoint did not pass."""
    for group in collection.groups:
        for scan in group.scans:
            missed = " ; ".join(f"{each.gate}" for each in _about(group.name, scan, verdicts) if not each.passed)
            told = {"gates_not_passed": missed} if verdicts else {}
            yield from (row | told for row in _scan_rows(group.name, scan))


def _scan_rows(run: str, scan: DormancyScan) -> Iterator[dict[str, Any]]:
    for layer in scan.layers:
        for tau in scan.taus:
            yield {
                "run": run,
                "checkpoint": scan.checkpoint.path if scan.checkpoint else None,
                "agent_step": scan.agent_step,
                "gradient_step": scan.gradient_step,
                "layer": layer.name,
                "activation": layer.activation,
                "neurons": layer.size,
                "tau": tau,
                "dormant": int(layer.dormant(tau).sum()),
                "fraction": layer.fraction(tau),
                "on_the_line": layer.on_the_line(tau),
                "nonfinite": layer.nonfinite,
                "sample_sha256": scan.sample.sha256 if scan.sample else None,
                **{name: found.layers[layer.name] for name, found in _measured(scan) if layer.name in found.layers},
            }


def _measured(scan: DormancyScan) -> list[tuple[str, Any]]:
    return [(name, found) for name, found in scan.measurements.items() if found.layers]


def _columns(table: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in table for name in row))


def to_csv(collection: Collection, verdicts: Sequence[Verdict] = ()) -> str:
    """All rows under one heading, quoted where needed; what was not measured is empty."""
    table = list(rows(collection, verdicts))
    page = io.StringIO()
    writer = csv.DictWriter(page, _columns(table), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return page.getvalue()


def to_markdown(collection: Collection, verdicts: Sequence[Verdict] = ()) -> str:
    """One table a run, with a row per checkpoint, layer and tau; a last one of the gates, where there were any."""
    tables = [_markdown_run(Collection((group,), ())) for group in collection.groups]
    return "\n".join([*tables, *_markdown_gates(verdicts)])


MARKDOWN_COLUMNS = ("layer", "neurons", "tau", "dormant", "fraction")


def _markdown_run(run: Collection) -> str:
    table = list(rows(run))
    step = "agent_step" if all(row["agent_step"] is not None for row in table) else "checkpoint"
    columns = [step, *MARKDOWN_COLUMNS]
    lines = [f"### {cell(run.groups[0].name)}", "", line(columns), rule(len(columns))]
    return "\n".join([*lines, *(line([cell(row[name]) for name in columns]) for row in table), ""])


def _markdown_gates(verdicts: Sequence[Verdict]) -> Iterator[str]:
    if not verdicts:
        return
    columns = ("gate", "run", "checkpoint", "verdict", "found")
    lines = ["### Gates", "", line(columns), rule(len(columns))]
    for each in verdicts:
        cells = (str(each.gate), each.run, each.checkpoint, each.outcome, each.finding)
        lines.append(line([cell(each) for each in cells]))
    yield "\n".join([*lines, ""])
