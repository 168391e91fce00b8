"""What a scan found, as plain values: printable, comparable, and back from JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dormancy.arrays import BoolArray
from dormancy.errors import FormatError, UsageError
from dormancy.io import Assumption, Source
from dormancy.metrics import FloatArray, Measurement
from dormancy.metrics.tau_sweep import SWEEP, tau_sweep
from dormancy.metrics.uncertainty import replicate_counts, resolves, share_interval, unresolved
from dormancy.registry import nearest
from dormancy.stats import Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DormancyScan", "LayerScore"]

SCHEMA = "dormancy.scan/1"
ON_THE_LINE = 1e-5


@final
@dataclass(frozen=True, eq=False)
class LayerScore:
    """The scores of one layer's neurons (Sokar et al. 2023, Eq. 1): shape (size,), averaging 1 or all 0.

    A neuron whose activations were not all finite scores NaN: it is neither dormant nor alive.
    """

    name: str
    activation: str
    scores: FloatArray
    obstacle: str | None
    caveat: str | None
    penultimate: bool

    @property
    def size(self) -> int:
        """How many neurons the layer has."""
        return int(self.scores.size)

    def dormant(self, tau: float) -> BoolArray:
        """Tell which neurons are tau-dormant (score <= tau): booleans of shape (size,)."""
        return np.asarray(self.scores <= tau)

    def fraction(self, tau: float) -> float:
        """Return the dormant share of this layer."""
        return float(np.mean(self.dormant(tau)))

    def on_the_line(self, tau: float) -> int:
        """Count the neurons within 1e-5 of tau, which another summation order could move (none at tau = 0)."""
        return int(np.sum(np.abs(self.scores - tau) <= ON_THE_LINE)) if tau > 0 else 0

    @property
    def nonfinite(self) -> int:
        """How many neurons gave an infinite or undefined activation."""
        return int(np.sum(np.isnan(self.scores)))


@final
@dataclass(frozen=True, eq=False)
class DormancyScan:
    """Everything one scan found, with what it was found on.

    `layers` are in the order of the forward pass. `measurements` holds the result of every other metric by its name.
    `reference` and `previous` are the earlier checkpoints that metrics compared with.
    """

    layers: tuple[LayerScore, ...]
    taus: tuple[float, ...]
    measurements: Mapping[str, Measurement]
    observations: int
    checkpoint: Source | None = None
    sample: Source | None = None
    agent_step: int | None = None
    gradient_step: int | None = None
    env_id: str | None = None
    assumptions: tuple[Assumption, ...] = ()
    reference: Source | None = None
    previous: Source | None = None
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def neurons(self) -> int:
        """How many neurons were scored (672 for the Nature CNN)."""
        return sum(layer.size for layer in self.layers)

    def dormant(self, tau: float | None = None) -> BoolArray:
        """Tell which neurons are dormant: booleans of shape (neurons,), the layers one after the other."""
        threshold = self.taus[0] if tau is None else tau
        return np.concatenate([layer.dormant(threshold) for layer in self.layers])

    def fraction(self, tau: float | None = None) -> float:
        """Return the dormant share of the network: dormant neurons of all layers over all neurons."""
        return float(np.mean(self.dormant(tau)))

    def mean_layer_fraction(self, tau: float | None = None) -> float:
        """Return the mean over layers of each layer's dormant share."""
        threshold = self.taus[0] if tau is None else tau
        return float(np.mean([layer.fraction(threshold) for layer in self.layers]))

    @property
    def nonfinite(self) -> int:
        """How many neurons gave an infinite or undefined activation."""
        return sum(layer.nonfinite for layer in self.layers)

    def interval(self, tau: float | None = None, layer: str | None = None, confidence: float = 0.95) -> Interval:
        """Return the dormant share, of the network or of one layer, with its bootstrap confidence interval.

        Where the sample is too small for this tau (`unresolved`), its lower end is 0: nothing is known there.
        Needs the metric "uncertainty": without it, or at a tau that it did not resample at, raises `UsageError`; so do
        an unknown layer and a `confidence` that is not between 0 and 1.
        """
        threshold = self.taus[0] if tau is None else tau
        found = self.replicate_shares(threshold, layer)
        scored = [each for each in self.layers if layer in (None, each.name)]
        estimate = sum(int(each.dormant(threshold).sum()) for each in scored) / sum(each.size for each in scored)
        interval = share_interval(found, estimate, confidence)
        return interval if self.unresolved(threshold) is None else interval._replace(low=0.0)

    def unresolved(self, tau: float | None = None) -> str | None:
        """Say why this sample gives no lower end for the dormant share at `tau`; None where it does.

        Raises `UsageError` without the metric "uncertainty".
        """
        threshold = self.taus[0] if tau is None else tau
        detail = self._resampled.detail
        clusters = int(detail["clusters"])
        return None if resolves(clusters, threshold) else unresolved(clusters, str(detail["by"]), threshold)

    @property
    def _resampled(self) -> Measurement:
        if "uncertainty" not in self.measurements:
            raise UsageError("no interval: this scan did not resample; scan again with the metric 'uncertainty'")
        return self.measurements["uncertainty"]

    def replicate_shares(self, tau: float | None = None, layer: str | None = None) -> FloatArray:
        """Return the dormant share, of the network or of one layer, in every bootstrap replicate: (replicates,).

        Raises what `interval` raises.
        """
        threshold = self.taus[0] if tau is None else tau
        counts = replicate_counts(self._resampled.detail, threshold)
        scored = [each for each in self.layers if layer in (None, each.name)]
        if not scored:
            names = [each.name for each in self.layers]
            raise UsageError(f"unknown layer {layer!r}{nearest(str(layer), names)}; layers: {', '.join(names)}")
        summed = np.sum([counts[each.name] for each in scored], axis=0)
        return np.asarray(summed / sum(each.size for each in scored), dtype=np.float64)

    def sweep(self, taus: Sequence[float] = SWEEP) -> pd.DataFrame:
        """Return the dormant share at each tau: one column a layer and "network", indexed by tau."""
        import pandas as pd

        columns = {layer.name: tau_sweep(layer.scores, taus) for layer in self.layers}
        whole = tau_sweep(np.concatenate([layer.scores for layer in self.layers]), taus)
        return pd.DataFrame({**columns, "network": whole}, index=pd.Index(taus, name="tau"))

    def to_frame(self) -> pd.DataFrame:
        """Return a frame with one row a layer, indexed by its name.

        Columns: neurons, activation, for every tau ``dormant@tau`` (count) and ``fraction@tau``, nonfinite, every
        metric that gives a number a layer, obstacle, caveat.
        """
        import pandas as pd  # takes long to import, and not everybody wants a frame

        rows = []
        for layer in self.layers:
            row: dict[str, Any] = {"layer": layer.name, "neurons": layer.size, "activation": layer.activation}
            for tau in self.taus:
                row[f"dormant@{tau:g}"] = int(layer.dormant(tau).sum())
                row[f"fraction@{tau:g}"] = layer.fraction(tau)
            row["nonfinite"] = layer.nonfinite
            for name, measurement in self.measurements.items():
                if measurement.layers:
                    row[name] = measurement.layers.get(layer.name, math.nan)
            rows.append({**row, "obstacle": layer.obstacle, "caveat": layer.caveat})
        return pd.DataFrame(rows).set_index("layer")

    def to_dict(self) -> dict[str, Any]:
        """Return the scan as JSON-able values, schema ``dormancy.scan/1``; what is not finite becomes None."""
        return {
            "schema": SCHEMA,
            "checkpoint": asdict(self.checkpoint) if self.checkpoint else None,
            "sample": asdict(self.sample) if self.sample else None,
            "reference": asdict(self.reference) if self.reference else None,
            "previous": asdict(self.previous) if self.previous else None,
            "env_id": self.env_id,
            "agent_step": self.agent_step,
            "gradient_step": self.gradient_step,
            "observations": self.observations,
            "neurons": self.neurons,
            "taus": list(self.taus),
            "network": [
                {
                    "tau": tau,
                    "dormant": int(self.dormant(tau).sum()),
                    "fraction": self.fraction(tau),
                    "mean_layer_fraction": self.mean_layer_fraction(tau),
                }
                for tau in self.taus
            ],
            "layers": [self._layer_to_dict(layer) for layer in self.layers],
            "measurements": {name: _to_dict(measurement) for name, measurement in self.measurements.items()},
            "assumptions": [asdict(assumption) for assumption in self.assumptions],
            "warnings": list(self.warnings),
            "versions": dict(self.versions),
        }

    def to_json(self) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def _layer_to_dict(self, layer: LayerScore) -> dict[str, Any]:
        return {
            "name": layer.name,
            "activation": layer.activation,
            "neurons": layer.size,
            "penultimate": layer.penultimate,
            "obstacle": layer.obstacle,
            "caveat": layer.caveat,
            "nonfinite": layer.nonfinite,
            "dormant": [
                {
                    "tau": tau,
                    "dormant": int(layer.dormant(tau).sum()),
                    "fraction": layer.fraction(tau),
                    "on_the_line": layer.on_the_line(tau),
                }
                for tau in self.taus
            ],
            "scores": [_finite(score) for score in layer.scores],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DormancyScan:
        """Read back what `to_dict` gave. Raises `FormatError` for anything else."""
        schema = data.get("schema") if isinstance(data, Mapping) else None
        if schema != SCHEMA:
            raise FormatError(f"not a scan: its schema is {schema!r}, not {SCHEMA!r}")
        try:
            return cls._read(data)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"a scan of schema {SCHEMA!r} with a missing or wrong field: {error}") from error

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> DormancyScan:
        return cls(
            layers=tuple(
                LayerScore(
                    name=str(layer["name"]),
                    activation=str(layer["activation"]),
                    scores=_array(layer["scores"]),
                    obstacle=layer["obstacle"],
                    caveat=layer["caveat"],
                    penultimate=bool(layer["penultimate"]),
                )
                for layer in data["layers"]
            ),
            taus=tuple(float(tau) for tau in data["taus"]),
            measurements={str(name): _from_dict(each) for name, each in data["measurements"].items()},
            observations=int(data["observations"]),
            checkpoint=Source(**data["checkpoint"]) if data["checkpoint"] else None,
            sample=Source(**data["sample"]) if data["sample"] else None,
            agent_step=data["agent_step"],
            gradient_step=data["gradient_step"],
            env_id=data["env_id"],
            assumptions=tuple(Assumption(**each) for each in data["assumptions"]),
            reference=Source(**data["reference"]) if data.get("reference") else None,
            previous=Source(**data["previous"]) if data.get("previous") else None,
            warnings=tuple(str(text) for text in data["warnings"]),
            versions={str(name): str(value) for name, value in data["versions"].items()},
        )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _array(values: list[float | None]) -> FloatArray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _to_dict(measurement: Measurement) -> dict[str, Any]:
    return {
        "neurons": {name: [_finite(value) for value in values] for name, values in measurement.neurons.items()},
        "layers": {name: _finite(value) for name, value in measurement.layers.items()},
        "network": None if measurement.network is None else _finite(measurement.network),
        "detail": dict(measurement.detail),
        "warnings": list(measurement.warnings),
    }


def _from_dict(data: Mapping[str, Any]) -> Measurement:
    return Measurement(
        neurons={str(name): _array(values) for name, values in data["neurons"].items()},
        layers={str(name): math.nan if value is None else float(value) for name, value in data["layers"].items()},
        network=data["network"],
        detail=data["detail"],
        warnings=tuple(data["warnings"]),
    )
