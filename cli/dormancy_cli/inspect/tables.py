"""What `dormancy inspect` found, laid out for people: one sheet a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from dormancy_cli.prune.results_file import history
from dormancy_cli.shared.tables import literal, new_table
from dormancy_cli.shared.text import counted, grouped

__all__ = ["draw_sheets"]


def draw_sheets(console: Console, found: Sequence[Mapping[str, Any]], *, verbose: bool = False) -> None:
    """Print one sheet a file: what it is, its layers, what is missing; with `verbose` every parameter."""
    for index, facts in enumerate(found):
        if index:
            console.print()
        console.print(literal(facts["path"]), style="bold", soft_wrap=True)
        _draw_facts(console, _facts(facts))
        for network in facts.get("networks", ()):
            _draw_network(console, network)
        if facts.get("layers"):
            _draw_layers(console, facts["layers"])
        if verbose and "parameters" in facts:
            _draw_parameters(console, facts["parameters"])
        for missing in facts.get("missing", ()):
            console.print(literal(f"missing: {missing}"), style="yellow", soft_wrap=True)


def _facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["kind"] == "sample":
        return _sample_facts(facts)
    return _checkpoint_facts(facts) if facts["complete"] else _partial_facts(facts)


def _partial_facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "kind", f"checkpoint, {facts['format']}, {grouped(facts['bytes'])} bytes"
    yield "sha256", facts["sha256"]
    yield "network", "cannot be told without more flags"
    if facts["not_read"]:
        yield "not read", facts["not_read"]


def _draw_network(console: Console, network: Mapping[str, Any]) -> None:
    """Print the parameters of one network of a file that cannot be scanned as it is, and what this network needs."""
    needs = f"needs: {network['missing']}" if network["missing"] else f"look at it with: {network['command']}"
    console.print()
    name = f"network {network['key']}" if network["key"] else "network"
    console.print(literal(f"{name}: {_parameter_summary(network['parameters'])}"), style="bold", soft_wrap=True)
    _draw_parameters(console, network["parameters"])
    console.print(literal(needs), style="yellow" if network["missing"] else "", soft_wrap=True)


def _draw_facts(console: Console, facts: Iterator[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(literal(name), literal(value))
    console.print(table)


def _checkpoint_facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "kind", f"checkpoint, {facts.get('format', 'in memory')}, {grouped(facts['bytes'])} bytes"
    yield "sha256", facts.get("sha256", "")
    yield "network", f"{facts['arch']} ({_keywords(facts['arch_kwargs'])})"
    yield "saved at", " · ".join(_saved_at(facts)) or "not said"
    yield "parameters", _parameter_summary(facts["parameters"])
    yield "optimizer", _optimizer_summary(facts["optimizer"])
    for record in history(facts["metadata"]):
        yield "pruned", record
    for assumption in facts["assumptions"]:
        yield assumption["what"], f"{assumption['value']} (from {assumption['origin']})"
    yield "sample", facts["sample"] or "none beside it"


def _keywords(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _saved_at(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["env_id"]:
        yield facts["env_id"]
    for unit in ("agent_step", "gradient_step"):
        if facts[unit] is not None:
            yield f"{unit.replace('_', ' ')} {grouped(facts[unit])}"


def _parameter_summary(parameters: Sequence[Mapping[str, Any]]) -> str:
    numbers = sum(math.prod(parameter["shape"]) for parameter in parameters)
    broken = [parameter["name"] for parameter in parameters if parameter["nonfinite"]]
    health = f"NOT FINITE in {', '.join(broken)}" if broken else "all finite"
    return f"{grouped(numbers)} in {counted(len(parameters), 'tensor')}, {health}"


def _optimizer_summary(optimizer: Mapping[str, Sequence[str]]) -> str:
    if not optimizer:
        return "no state"
    entries = sorted({entry for state in optimizer.values() for entry in state})
    return f"{', '.join(entries)} of {counted(len(optimizer), 'parameter')}"


def _sample_facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "kind", f"sample, {facts.get('format', 'in memory')}, {grouped(facts['bytes'])} bytes"
    yield "sha256", facts.get("sha256", "")
    yield "rows", grouped(facts["rows"])
    for name, array in facts["arrays"].items():
        yield name, f"{array['dtype']} {tuple(array['shape'])}"
    yield from facts["provenance"].items()


def _draw_layers(console: Console, layers: Sequence[Mapping[str, Any]]) -> None:
    table = new_table()
    table.add_column("layer", overflow="fold")
    table.add_column("activation")
    table.add_column("neurons", justify="right")
    table.add_column("recycling and pruning", overflow="fold")
    for layer in layers:
        table.add_row(literal(layer["name"]), layer["activation"], grouped(layer["neurons"]), literal(_verdict(layer)))
    console.print()
    console.print(table)


def _verdict(layer: Mapping[str, Any]) -> str:
    if layer["obstacle"]:
        return f"refused: {layer['obstacle']}"
    return f"with care: {layer['caveat']}" if layer["caveat"] else "exact"


def _draw_parameters(console: Console, parameters: Sequence[Mapping[str, Any]]) -> None:
    console.print()
    shown = ((parameter["name"], f"{parameter['dtype']} {tuple(parameter['shape'])}") for parameter in parameters)
    _draw_facts(console, iter(shown))
