"""Many scans of one network over its training: who became dormant, who stayed so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

import numpy as np

from dormancy.arrays import BoolArray
from dormancy.errors import FormatError, InputError, UsageError
from dormancy.metrics import FloatArray
from dormancy.metrics.overlap import chance_overlap, overlap_coefficient, retained
from dormancy.registry import nearest
from dormancy.scanning.lifetimes import Spells, fell_dormant, spells, survival, woke
from dormancy.scanning.result import DormancyScan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DormancySeries", "History"]

SCHEMA = "dormancy.series/1"
History: TypeAlias = Literal["previous", "cumulative", "first"]


@final
@dataclass(frozen=True, eq=False)
class DormancySeries:
    """Scans of the same network at K checkpoints, ordered by step; every layer appears in each of them.

    Wherever a layer is asked for, None means the whole network; where a tau, the first one that was scanned with.
    """

    name: str
    scans: tuple[DormancyScan, ...]

    @classmethod
    def of(cls, name: str, scans: Sequence[DormancyScan]) -> DormancySeries:
        """Order scans by step and check that they are of one network; a series may be empty.

        Raises `InputError` when layers differ, and names the first scan that does.
        """
        key = _step_key(scans)
        ordered = sorted(scans, key=key) if key else list(scans)
        for scan in ordered[1:]:
            if _shape(scan) != _shape(ordered[0]):
                which = scan.checkpoint.path if scan.checkpoint else f"step {scan.agent_step}"
                raise InputError(
                    f"{which} holds another network than {name!r} began with: {_difference(ordered[0], scan)}"
                )
        return cls(name, tuple(ordered))

    def __len__(self) -> int:
        return len(self.scans)

    @property
    def step_unit(self) -> str:
        """What `steps` counts: "agent step", "gradient step" or "checkpoint"."""
        for unit, field in (("agent step", "agent_step"), ("gradient step", "gradient_step")):
            if self.scans and all(getattr(scan, field) is not None for scan in self.scans):
                return unit
        return "checkpoint"

    @property
    def steps(self) -> tuple[int, ...]:
        """The step of every checkpoint, in `step_unit`; 0..K-1 where the files do not tell."""
        field = {"agent step": "agent_step", "gradient step": "gradient_step"}.get(self.step_unit)
        return tuple(getattr(scan, field) if field else index for index, scan in enumerate(self.scans))

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of the layers, in the order of the forward pass."""
        return tuple(layer.name for layer in self.scans[0].layers) if self.scans else ()

    @property
    def tau(self) -> float:
        """The threshold that is meant where none is given."""
        if not self.scans:
            raise UsageError("an empty series has no tau")
        return self.scans[0].taus[0]

    def dormant(self, layer: str | None = None, tau: float | None = None) -> BoolArray:
        """Tell which neurons were dormant at each checkpoint: booleans of shape (K, neurons)."""
        if not self.scans:
            return np.zeros((0, 0), dtype=np.bool_)
        threshold = self.tau if tau is None else tau
        if layer is None:
            return np.stack([scan.dormant(threshold) for scan in self.scans])
        index = self._index(layer)
        return np.stack([scan.layers[index].dormant(threshold) for scan in self.scans])

    def fractions(self, layer: str | None = None, tau: float | None = None) -> FloatArray:
        """Return the dormant share at each checkpoint, shape (K,)."""
        return self.dormant(layer, tau).mean(axis=1) if self.scans else np.zeros(0)

    def overlap(
        self, history: History = "cumulative", layer: str | None = None, tau: float | None = None
    ) -> FloatArray:
        """Return the overlap coefficient of every dormant set with its history, shape (K,) (Fig. 5 of the paper).

        `history` is the previous checkpoint's set, the union of all earlier ones, or the first one. NaN for the first
        checkpoint, and wherever a set is empty. The paper's "historical set" does not say which of them it is.
        """
        dormant = self.dormant(layer, tau)
        result = np.full(len(dormant), np.nan)
        for k in range(1, len(dormant)):
            result[k] = overlap_coefficient(_history(dormant, k, history), dormant[k])
        return result

    def retained(self, layer: str | None = None, tau: float | None = None) -> FloatArray:
        """Return the share of each checkpoint's predecessor's dormant neurons that are still dormant, shape (K,)."""
        dormant = self.dormant(layer, tau)
        shares = [retained(before, now) for before, now in pairwise(dormant)]
        return np.array([np.nan, *shares])[: len(dormant)]

    def chance(self, history: History = "cumulative", layer: str | None = None, tau: float | None = None) -> FloatArray:
        """Return the overlap coefficient that two independent sets of these sizes would have, shape (K,).

        What `overlap` is to be read against: max(|X|, |Y|)/H, the hypergeometric expectation. NaN where that is.
        """
        dormant = self.dormant(layer, tau)
        result = np.full(len(dormant), np.nan)
        for k in range(1, len(dormant)):
            result[k] = chance_overlap(_history(dormant, k, history), dormant[k])
        return result

    def onsets(self, layer: str | None = None, tau: float | None = None) -> FloatArray:
        """Count the neurons that fell dormant since the checkpoint before, shape (K,); NaN at the first."""
        return fell_dormant(self.dormant(layer, tau)) if self.scans else np.zeros(0)

    def recoveries(self, layer: str | None = None, tau: float | None = None) -> FloatArray:
        """Count the neurons whose dormancy ended since the checkpoint before, shape (K,); NaN at the first."""
        return woke(self.dormant(layer, tau)) if self.scans else np.zeros(0)

    def lifetimes(self, layer: str | None = None, tau: float | None = None) -> Spells:
        """Return how many checkpoints each spell of dormancy took, and whether its end was seen."""
        return spells(self.dormant(layer, tau))

    def survival(self, layer: str | None = None, tau: float | None = None) -> FloatArray:
        """Return the share of spells that last longer than 0, 1, ..., K checkpoints (Kaplan-Meier), shape (K + 1,)."""
        return survival(self.lifetimes(layer, tau), len(self))

    def overlap_matrix(self, layer: str | None = None, tau: float | None = None) -> FloatArray:
        """Return the overlap coefficients of every pair of checkpoints, shape (K, K); NaN where a set is empty."""
        # Counts are exact in float64, and its product is a hundred times faster than that of integers.
        dormant = self.dormant(layer, tau).astype(np.float64)
        sizes = dormant.sum(axis=1)
        smaller = np.minimum(sizes[:, None], sizes[None, :])
        smaller[smaller == 0] = np.nan
        return np.asarray(dormant @ dormant.T / smaller, dtype=np.float64)

    def to_frame(self) -> pd.DataFrame:
        """Return a frame with one row a checkpoint and layer, with the columns of `DormancyScan.to_frame`."""
        import pandas as pd

        unit = self.step_unit.replace(" ", "_")
        frames = [scan.to_frame().assign(**{unit: step}) for step, scan in zip(self.steps, self.scans, strict=True)]
        return pd.concat(frames).reset_index().set_index([unit, "layer"]) if frames else pd.DataFrame()

    def metric_names(self) -> tuple[str, ...]:
        """Return the metrics that any of the scans holds, besides the score, in the order in which they appear."""
        return tuple(dict.fromkeys(name for scan in self.scans for name in scan.measurements))

    def curve(self, metric: str, layer: str | None = None) -> FloatArray:
        """Return a metric over the checkpoints, of a layer or of the network: shape (K,), NaN where it is not known.

        Raises `UsageError` for a metric that none of the scans holds, and for an unknown layer.
        """
        if metric not in self.metric_names():
            known = list(self.metric_names())
            raise UsageError(f"metric {metric!r} was not measured{nearest(metric, known)}; known: {', '.join(known)}")
        if layer is not None:
            self._index(layer)
        found = (scan.measurements.get(metric) for scan in self.scans)
        values = (None if each is None else each.network if layer is None else each.layers.get(layer) for each in found)
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def curves(self) -> dict[str, dict[str, Any]]:
        """Return every metric over the checkpoints, JSON-able: ``network`` and ``layers``, None where it has none."""
        return {name: self._curves_of(name) for name in self.metric_names()}

    def _curves_of(self, metric: str) -> dict[str, Any]:
        layers = {layer: _known(self.curve(metric, layer)) for layer in self.layer_names}
        return {
            "network": _known(self.curve(metric)),
            "layers": {layer: values for layer, values in layers.items() if values is not None},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the series as JSON-able values, schema ``dormancy.series/1``."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "step_unit": self.step_unit,
            "steps": list(self.steps),
            "curves": self.curves(),
            "scans": [scan.to_dict() for scan in self.scans],
        }

    def to_json(self) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DormancySeries:
        """Read back what `to_dict` gave. Raises `FormatError` for anything else."""
        schema = data.get("schema") if isinstance(data, Mapping) else None
        if schema != SCHEMA or not isinstance(data.get("scans"), list):
            raise FormatError(f"not a series: its schema is {schema!r}, not {SCHEMA!r}")
        return cls.of(str(data.get("name", "series")), [DormancyScan.from_dict(scan) for scan in data["scans"]])

    def _index(self, layer: str) -> int:
        names = list(self.layer_names)
        if layer not in names:
            raise UsageError(f"unknown layer {layer!r}{nearest(layer, names)}; layers: {', '.join(names)}")
        return names.index(layer)


def _known(values: FloatArray) -> list[float | None] | None:
    """Return values for JSON, None for those that are not finite; None for a curve without any."""
    finite = [float(value) if np.isfinite(value) else None for value in values]
    return finite if any(value is not None for value in finite) else None


def _history(dormant: BoolArray, k: int, history: History) -> BoolArray:
    """Return the set that checkpoint k is compared with."""
    match history:
        case "previous":
            return np.asarray(dormant[k - 1])
        case "cumulative":
            return np.asarray(dormant[:k].any(axis=0))
        case "first":
            return np.asarray(dormant[0])
    raise UsageError(f"unknown history {history!r}; known: previous, cumulative, first")


def _step_key(scans: Sequence[DormancyScan]) -> Any:
    """Return the function to sort scans with, or None where their files tell no step."""
    for field in ("agent_step", "gradient_step"):
        if all(getattr(scan, field) is not None for scan in scans):
            return lambda scan, field=field: getattr(scan, field)
    return None


def _shape(scan: DormancyScan) -> list[tuple[str, int]]:
    return [(layer.name, layer.size) for layer in scan.layers]


def _difference(first: DormancyScan, other: DormancyScan) -> str:
    """Say in a few words in which layer two networks differ."""
    ours, theirs = dict(_shape(first)), dict(_shape(other))
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            return f"layer {name!r} has {theirs.get(name, 'no')} neurons, not {ours.get(name, 'none')}"
    return "its layers come in another order"
