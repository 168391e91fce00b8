"""What the report needs of the series it was given: same layers, same steps, same taus side by side.

Whatever cannot be shown together is left out with a note in words; nothing is guessed and nothing fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, final

import numpy as np

from dormancy.activation_maps.maps import Convolutions
from dormancy.arrays import BoolArray
from dormancy.errors import UsageError
from dormancy.io import TrainingRecord
from dormancy.metrics import FloatArray, Measurement
from dormancy.report.palette import SLOTS, slot_of
from dormancy.scanning.result import DormancyScan, LayerScore
from dormancy.scanning.series import DormancySeries
from dormancy.text.numbers import count, listed, plural, shown, unique

__all__ = ["Inputs", "Records", "Run", "Scope", "Seen", "read_inputs"]

Records: TypeAlias = Sequence[TrainingRecord | None]
"""What each series' training run wrote about itself; empty, or one for each series, None where nothing is known."""

Seen: TypeAlias = Sequence[Convolutions | None]
"""What the convolutions of each series' last checkpoint look like; empty, or one for each series."""

DEFAULT_TAU = 0.1
MOST_TAUS = 6
LONGEST_NOTE = 300


@final
@dataclass(frozen=True)
class Scope:
    """What a number speaks of: a layer by the name it has in the file, or with `key` None the whole network."""

    key: str | None
    label: str


@final
@dataclass(frozen=True, eq=False)
class Run:
    """One series, with the label and the colour slot that it keeps through the whole report. `x` has shape (K,)."""

    label: str
    slot: int
    series: DormancySeries
    x: FloatArray
    record: TrainingRecord | None = None
    seen: Convolutions | None = None

    @property
    def last(self) -> DormancyScan:
        """The scan of the last checkpoint."""
        return self.series.scans[-1]

    @property
    def checkpoints(self) -> int:
        """How many checkpoints the series has."""
        return len(self.series.scans)

    def has(self, scope: Scope) -> bool:
        """Tell whether this run has that layer."""
        return scope.key is None or scope.key in self.series.layer_names

    def layer(self, scope: Scope) -> LayerScore:
        """Return a layer as it was at the last checkpoint."""
        return next(layer for layer in self.last.layers if layer.name == scope.key)

    def size(self, scope: Scope) -> int:
        """How many neurons a layer, or the network, has."""
        return sum(layer.size for layer in self.last.layers if scope.key in (None, layer.name))

    def scores(self, scope: Scope) -> FloatArray:
        """Return the scores at every checkpoint, shape (K, neurons)."""
        rows = [[layer.scores for layer in scan.layers if scope.key in (None, layer.name)] for scan in self.scans]
        return np.stack([np.concatenate(row) for row in rows])

    @property
    def scans(self) -> tuple[DormancyScan, ...]:
        """The scans, in order."""
        return self.series.scans

    def shares(self, scope: Scope, tau: float) -> FloatArray:
        """Return the dormant share at every checkpoint, shape (K,)."""
        return self.series.fractions(scope.key, tau)

    def interval(self, scope: Scope, tau: float) -> tuple[FloatArray, FloatArray] | None:
        """Return the 95 % interval of the dormant share, low and high of shape (K,) each, NaN where it is not known.

        None where no scan resampled its observations.
        """
        found = np.array([_interval(scan, scope, tau) for scan in self.scans])
        return (found[:, 0], found[:, 1]) if np.isfinite(found).any() else None

    def dormant(self, scope: Scope, tau: float) -> BoolArray:
        """Return who was dormant when, shape (K, neurons)."""
        return self.series.dormant(scope.key, tau)

    def measurement(self, name: str) -> tuple[Measurement | None, ...]:
        """Return one metric's result at every checkpoint, None where it is missing."""
        return tuple(scan.measurements.get(name) for scan in self.scans)

    def measured(self, name: str, scope: Scope) -> FloatArray:
        """Return one metric of a layer, or of the network, at every checkpoint, shape (K,), NaN where it is missing."""
        found = (_value(measurement, scope) for measurement in self.measurement(name))
        return np.array([np.nan if value is None else float(value) for value in found])


def _interval(scan: DormancyScan, scope: Scope, tau: float) -> tuple[float, float]:
    try:
        found = scan.interval(tau, scope.key)
    except UsageError:
        return np.nan, np.nan
    return found.low, found.high


def _value(measurement: Measurement | None, scope: Scope) -> float | None:
    if measurement is None:
        return None
    return measurement.network if scope.key is None else measurement.layers.get(scope.key)


@final
@dataclass(frozen=True, eq=False)
class Inputs:
    """The runs of one report, and what they share: their layers in order, the unit of their steps, the taus."""

    runs: tuple[Run, ...]
    layers: tuple[Scope, ...]
    step_unit: str
    taus: tuple[float, ...]
    notes: tuple[str, ...]

    network = Scope(None, "whole network")

    @property
    def tau(self) -> float:
        """The tau that the report opens with: the first one of the first scan."""
        return self.taus[0]

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The network, then every layer."""
        return (self.network, *self.layers)

    @cached_property
    def penultimate(self) -> tuple[Scope, ...]:
        """The layers that only output layers read."""
        keys = {layer.name for run in self.runs for layer in run.last.layers if layer.penultimate}
        return tuple(scope for scope in self.layers if scope.key in keys)

    def having(self, scope: Scope) -> tuple[Run, ...]:
        """Return the runs that have a layer."""
        return tuple(run for run in self.runs if run.has(scope))

    @property
    def several(self) -> bool:
        """Whether there is more than one run to tell apart."""
        return len(self.runs) > 1

    @property
    def still(self) -> bool:
        """Whether no run has a second checkpoint, so that nothing can be seen to move."""
        return all(run.checkpoints < 2 for run in self.runs)

    def metric_names(self) -> tuple[str, ...]:
        """Return the name of every metric that any scan holds, in the order of first sight."""
        return tuple(dict.fromkeys(name for run in self.runs for scan in run.scans for name in scan.measurements))


def _status_notes(runs: Sequence[Run]) -> Iterator[str]:
    """Say which runs are not finished: still training, or ended by something else than their last step."""
    for run in runs:
        if run.record is None or run.record.status in ("", "finished"):
            continue
        at = f"agent step {count(run.record.last_step)}"
        if not run.record.running:
            yield f"{run.label} ended early, {at}: {shown(run.record.status, LONGEST_NOTE)}."
        else:
            steps = run.record.config.get("agent_steps")
            planned = f" of {count(steps)}" if isinstance(steps, int) else ""
            yield f"{run.label} was still training when this was written: {at}{planned}."


def _usable(series: DormancySeries) -> bool:
    return bool(series.scans) and any(layer.size for layer in series.scans[-1].layers)


def _layer_scopes(series: Sequence[DormancySeries]) -> tuple[Scope, ...]:
    keys = dict.fromkeys(name for one in series for name in one.layer_names)
    return tuple(Scope(key, label) for key, label in zip(keys, unique(keys), strict=True))


def _taus(series: Sequence[DormancySeries]) -> tuple[float, ...]:
    return tuple(dict.fromkeys(float(tau) for one in series for scan in one.scans for tau in scan.taus)) or (
        DEFAULT_TAU,
    )


def _layer_note(series: Sequence[DormancySeries]) -> str | None:
    first = [(layer.name, layer.size) for layer in series[0].scans[-1].layers]
    if all([(layer.name, layer.size) for layer in one.scans[-1].layers] == first for one in series):
        return None
    return "The runs are of different networks: a layer is shown for the runs that have it, whatever its size there."


def _notes(
    given: Sequence[DormancySeries], used: Sequence[DormancySeries], taus: int, units: set[str], grouped: bool
) -> tuple[str, ...]:
    left_out = unique(one.name for one in given if one not in used)
    notes = [f"Without any checkpoint or neuron, so left out: {listed(left_out)}."] if left_out else []
    if used and (note := _layer_note(used)):
        notes.append(note)
    if len(units) > 1:
        notes.append("The runs count different steps, so checkpoints are numbered 0, 1, 2, ... instead.")
    if taus > MOST_TAUS:
        notes.append(f"Charts are drawn for the first {MOST_TAUS} of {taus} taus; the tau sweep covers the others.")
    if len(used) > SLOTS and not grouped:
        notes.append(f"Only {SLOTS} colours can be told apart: with {plural(len(used), 'run')} some are used again.")
    return tuple(notes)


def _steps(series: DormancySeries, same_unit: bool) -> FloatArray:
    return np.asarray(series.steps if same_unit else range(len(series.scans)), dtype=np.float64)


def _kept(series: Sequence[DormancySeries], beside: Sequence[Any]) -> tuple[Any, ...]:
    """Return what belongs to the series that are not empty."""
    pairs = zip(series, beside or [None] * len(series), strict=True)
    return tuple(each for one, each in pairs if _usable(one))


def read_inputs(
    series: Sequence[DormancySeries],
    records: Records = (),
    seen: Seen = (),
    *,
    grouped: bool = False,
    notes: Sequence[str] = (),
) -> Inputs:
    """Put series side by side, each with what is known of its run; those that are empty are named in `notes`.

    `grouped` says that runs are shown in groups, so that no colours are needed to tell them apart. `notes` come before
    those that are found here.
    """
    used = _kept(series, series)
    units = {one.step_unit for one in used}
    same = len(units) == 1
    labels = unique((one.name for one in used), limit=36)
    runs = tuple(
        Run(label, slot_of(index), one, _steps(one, same), record, looked)
        for index, (label, one, record, looked) in enumerate(
            zip(labels, used, _kept(series, records), _kept(series, seen), strict=True)
        )
    )
    taus = _taus(used)
    said = (*(shown(note, LONGEST_NOTE) for note in notes), *_status_notes(runs))
    notes = (*said, *_notes(series, used, len(taus), units, grouped))
    return Inputs(runs, _layer_scopes(used), units.pop() if same else "checkpoint", taus[:MOST_TAUS], notes)
