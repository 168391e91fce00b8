"""Many runs side by side: grouped by their configuration over seeds, paired where one setting differs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dormancy.errors import UsageError
from dormancy.metrics import FloatArray
from dormancy.registry import nearest
from dormancy.report.content.runs import Inputs, Run
from dormancy.report.palette import slot_of
from dormancy.text.numbers import listed, number, shown

__all__ = ["FINAL", "SEED", "Comparison", "Group", "Pairing", "compare_runs"]

SEED = "seed"
NOT_SETTINGS = (SEED, "device", "threads", "tensorboard")
DETAILS = {"recycler": "recycler_", "prune_dormant": "prune_"}
"""How the settings begin that are read only where an intervention is on; they are compared together with it."""
OFF = ("none", False)
SHORTEST = 0.9
"""A run that got less far than this part of the longest is not judged by its final returns."""


@final
@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seeds only, with the value of the compared setting and its colour slot."""

    label: str
    slot: int
    runs: tuple[Run, ...]

    def finals(self, horizon: float) -> FloatArray:
        """Return each run's mean return in the last tenth of `horizon` agent steps, without runs that fell short."""
        found = (_final(run, horizon) for run in self.runs if _reach(run) >= SHORTEST * horizon)
        return np.array([value for value in found if np.isfinite(value)])


@final
@dataclass(frozen=True, eq=False)
class Pairing:
    """Groups whose configurations are the same but for the compared setting; `label` tells pairings apart."""

    label: str
    groups: tuple[Group, ...]

    @property
    def horizon(self) -> float:
        """The agent step that the longest run reached."""
        return max(_reach(run) for group in self.groups for run in group.runs)


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """All pairings over one setting, and what was left out of them in words."""

    setting: str
    pairings: tuple[Pairing, ...]
    notes: tuple[str, ...]

    def asked(self, question: str) -> str:
        """Finish a question that the report answers: does it depend on the setting?"""
        return f"{question}?" if self.setting == SEED else f"{question}, and does it depend on {self.setting}?"

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group of every pairing."""
        return tuple(group for pairing in self.pairings for group in pairing.groups)


def _reach(run: Run) -> float:
    return float(run.record.last_step) if run.record else 0.0


def _final(run: Run, horizon: float) -> float:
    if run.record is None:
        return float("nan")
    inside = (run.record.steps > (1 - FINAL) * min(horizon, _reach(run))) & (run.record.steps <= horizon)
    return float(run.record.returns[inside].mean()) if inside.any() else float("nan")


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a run read: without those of an intervention that was off."""
    off = [prefix for name, prefix in DETAILS.items() if config.get(name) in OFF]
    return {key: value for key, value in config.items() if not (_is_detail(key) and key.startswith(tuple(off)))}


def _belongs(key: str, setting: str) -> bool:
    """Whether a setting is the compared one, or a detail of it."""
    return key == setting or (setting in DETAILS and key.startswith(DETAILS[setting]))


def _value(config: Mapping[str, Any], setting: str) -> Any:
    """Return the value that is compared; of an intervention, with its details: ReDo at another tau is another value."""
    if setting not in DETAILS:
        return config[setting]
    return {key: value for key, value in config.items() if _belongs(key, setting)}


def _rest(config: Mapping[str, Any], setting: str) -> str:
    kept = {key: value for key, value in config.items() if key not in NOT_SETTINGS and not _belongs(key, setting)}
    return _text(kept)


def _configured(inputs: Inputs, setting: str) -> list[tuple[Run, Mapping[str, Any]]]:
    known: list[tuple[Run, Mapping[str, Any]]]
    known = [(run, _read(run.record.config)) for run in inputs.runs if run.record is not None]
    having = [(run, config) for run, config in known if setting in config]
    if not having:
        names = sorted({name for _, config in known for name in config})
        hint = nearest(setting, names) if names else "; give run folders, each with its run.json"
        raise UsageError(f"no run has a setting {shown(setting)!r} to compare by{hint}")
    return having


def _ordered(values: Iterable[Any]) -> list[str]:
    """Return the distinct values as text, numbers by size, false before true."""
    distinct = {_text(value): value for value in values}
    numbers = all(isinstance(value, (int, float)) for value in distinct.values())
    return sorted(distinct, key=(lambda text: (distinct[text], text)) if numbers else None)


def _differences(rests: Sequence[str]) -> list[str]:
    """Name each configuration by the settings in which it differs from the others."""
    configs = [json.loads(rest) for rest in rests]
    keys = dict.fromkeys(key for config in configs for key in config)
    varying = [key for key in keys if _varies(key, configs)]
    return [
        ", ".join(f"{shown(key)} {_word(config.get(key))}" for key in varying if key in config or not _is_detail(key))
        for config in configs
    ]


def _varies(key: str, configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether configurations differ in a setting; in a detail of an intervention, those that read it."""
    asked = [config for config in configs if key in config or not _is_detail(key)]
    return len({_text(config.get(key)) for config in asked}) > 1


def _is_detail(key: str) -> bool:
    return key not in DETAILS and key.startswith(tuple(DETAILS.values()))


def _word(value: object) -> str:
    """Write a value of a setting for a label.

    >>> _word("Pong"), _word(16.0), _word(True), _word([8, 4])
    ('Pong', '16', 'true', '[8, 4]')
    """
    if isinstance(value, str):
        return shown(value, 36)
    usual = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
    return number(value) if usual else shown(_text(value), 36)  # type: ignore[arg-type]  # a number, if it is usual


def _short(comparison: Sequence[Pairing]) -> list[str]:
    short = [
        f"{run.label} ({number(_reach(run))} of {number(pairing.horizon)} agent steps)"
        for pairing in comparison
        for group in pairing.groups
        for run in group.runs
        if _reach(run) < SHORTEST * pairing.horizon
    ]
    return [f"Not as far as the others, so left out of final returns: {listed(short)}."] if short else []


def _seed_notes(comparison: Sequence[Pairing], setting: str) -> list[str]:
    few = [group.label for pairing in comparison for group in pairing.groups if len(group.runs) < 2]
    notes = [f"One run only, so without interval: {listed(few)}."] if few else []
    twice = [
        group.label
        for pairing in comparison
        for group in pairing.groups
        if len({_seed(run) for run in group.runs}) < len(group.runs)
    ]
    return [*notes, *(f"{label}: several runs of the same seed; they are not independent." for label in twice)]


def compare_runs(inputs: Inputs, setting: str) -> Comparison:
    """Group runs by their configuration without the seed, and put groups that differ in `setting` alone together.

    By "seed", every configuration is a group for itself. Raises `UsageError` when no run has that setting, or when no
    two groups (by "seed": runs) differ in it alone.
    """
    configured = _configured(inputs, setting)
    if setting == SEED:
        return _over_seeds(inputs, configured)
    values = _ordered(_value(config, setting) for _, config in configured)
    table: dict[str, dict[str, list[Run]]] = {}
    for run, config in configured:
        table.setdefault(_rest(config, setting), {}).setdefault(_text(_value(config, setting)), []).append(run)
    paired = {rest: cells for rest, cells in table.items() if len(cells) > 1}
    if not paired:
        raise _nothing_to_compare(setting, configured)
    names = dict(zip(values, _labels(setting, values), strict=True))
    pairings = tuple(
        Pairing(label, tuple(_group(names, value, cells) for value in values if value in cells))
        for label, cells in zip(_differences(list(paired)), paired.values(), strict=True)
    )
    return Comparison(setting, pairings, _notes(inputs, pairings, setting))


def _over_seeds(inputs: Inputs, configured: Sequence[tuple[Run, Mapping[str, Any]]]) -> Comparison:
    table: dict[str, list[Run]] = {}
    for run, config in configured:
        table.setdefault(_rest(config, SEED), []).append(run)
    several = {rest: runs for rest, runs in table.items() if len({_seed(run) for run in runs}) > 1}
    if not several:
        raise _nothing_to_compare(SEED, configured)
    named = zip(_differences(list(several)), several.values(), strict=True)
    pairings = tuple(
        Pairing(label, (Group(_counted(runs), slot_of(index), tuple(runs)),))
        for index, (label, runs) in enumerate(named)
    )
    return Comparison(SEED, pairings, _notes(inputs, pairings, SEED))


def _counted(runs: Sequence[Run]) -> str:
    seeds = len({_seed(run) for run in runs})
    return f"{seeds} seeds" if seeds == len(runs) else f"{seeds} seeds, {len(runs)} runs"


def _nothing_to_compare(setting: str, configured: Sequence[tuple[Run, Mapping[str, Any]]]) -> UsageError:
    """Say which values there are, and what else differs."""
    known = listed([shown(value) for value in _ordered(config[setting] for _, config in configured)])
    rests = [json.loads(_rest(config, setting)) for _, config in configured]
    keys = dict.fromkeys(key for rest in rests for key in rest)
    varying = [shown(key) for key in keys if _varies(key, rests)]
    others = f"; they differ in {listed(varying)}, too" if varying else ""
    return UsageError(
        f"no two runs differ in {shown(setting)!r} alone (values: {known}){others}; compare by another setting"
    )


def _seed(run: Run) -> str:
    return _text(run.record.config.get(SEED) if run.record else None)


def _labels(setting: str, values: Sequence[str]) -> list[str]:
    """Name the values of a setting; where an intervention has several details, by those in which they differ."""
    found = [json.loads(value) for value in values]
    if setting not in DETAILS:
        return [f"{shown(setting)} {_word(value)}" for value in found]
    alike = [[each for each in found if each[setting] == value[setting]] for value in found]
    details = [
        _differences([_text(each) for each in same])[same.index(value)]
        for value, same in zip(found, alike, strict=True)
    ]
    return [
        ", ".join(filter(None, (f"{shown(setting)} {_word(value[setting])}", detail)))
        for value, detail in zip(found, details, strict=True)
    ]


def _group(names: Mapping[str, str], value: str, cells: Mapping[str, list[Run]]) -> Group:
    return Group(names[value], slot_of(list(names).index(value)), tuple(cells[value]))


def _notes(inputs: Inputs, pairings: Sequence[Pairing], setting: str) -> tuple[str, ...]:
    used = {id(run) for pairing in pairings for group in pairing.groups for run in group.runs}
    out = [run.label for run in inputs.runs if id(run) not in used]
    without = f"Without a counterpart that differs in {shown(setting)} alone, so left out: {listed(out)}."
    return (*([without] if out else []), *_short(pairings), *_seed_notes(pairings, setting))


FINAL = 0.1
