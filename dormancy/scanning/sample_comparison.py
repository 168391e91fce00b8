"""Dormant on this data, or dormant everywhere? Two scans of one network on different samples, neuron by neuron."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dormancy.arrays import BoolArray
from dormancy.errors import InputError
from dormancy.io import Source
from dormancy.metrics.overlap import chance_overlap, jaccard, overlap_coefficient
from dormancy.metrics.uncertainty import share_interval
from dormancy.scanning.result import DormancyScan
from dormancy.stats import Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LayerComparison", "SampleComparison", "change_interval", "compare_samples"]


SCHEMA = "dormancy.samples/1"


@final
@dataclass(frozen=True, eq=False)
class LayerComparison:
    """Who of one layer (or of the network) is dormant on the first sample, and who on the second: (neurons,) each.

    Neurons whose activations were not finite on either sample are counted apart and belong to none of the sets.
    """

    name: str
    first: BoolArray
    second: BoolArray
    known: BoolArray

    @property
    def both(self) -> BoolArray:
        """Dormant on both: as far as two samples can tell, dormant everywhere."""
        return self.first & self.second & self.known

    @property
    def first_only(self) -> BoolArray:
        """Dormant on the first sample and awake on the second."""
        return self.first & ~self.second & self.known

    @property
    def second_only(self) -> BoolArray:
        """Awake on the first sample and dormant on the second."""
        return ~self.first & self.second & self.known

    @property
    def neither(self) -> BoolArray:
        """Awake on both."""
        return ~self.first & ~self.second & self.known

    def to_dict(self) -> dict[str, Any]:
        """Count the sets; overlap, its chance level and Jaccard index are None where they are undefined."""
        first, second = self.first & self.known, self.second & self.known
        ratios = {
            "overlap": overlap_coefficient(first, second),
            "chance": chance_overlap(first, second),
            "jaccard": jaccard(first, second),
        }
        return {
            "layer": self.name,
            "neurons": int(self.known.size),
            **{name: int(getattr(self, name).sum()) for name in ("both", "first_only", "second_only", "neither")},
            "nonfinite": int((~self.known).sum()),
            **{name: None if np.isnan(value) else value for name, value in ratios.items()},
        }


@final
@dataclass(frozen=True, eq=False)
class SampleComparison:
    """What two samples say of one network at one tau; `layers` in the order of the forward pass.

    `first` and `second` are the files of the samples, `observations` how many rows they have.
    """

    tau: float
    layers: tuple[LayerComparison, ...]
    checkpoint: Source | None = None
    first: Source | None = None
    second: Source | None = None
    observations: tuple[int, int] = (0, 0)

    @property
    def network(self) -> LayerComparison:
        """All layers, one after the other."""
        parts = [(each.first, each.second, each.known) for each in self.layers]
        return LayerComparison("network", *(np.concatenate(column) for column in zip(*parts, strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able counts, schema ``dormancy.samples/1``."""
        rows = [each.to_dict() for each in (*self.layers, self.network)]
        sources = {name: getattr(self, name) for name in ("checkpoint", "first", "second")}
        return {
            "schema": SCHEMA,
            **{name: asdict(source) if source else None for name, source in sources.items()},
            "observations": list(self.observations),
            "tau": self.tau,
            "layers": rows[:-1],
            "network": rows[-1],
        }

    def to_json(self) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a frame with one row a layer and a last one for the network."""
        import pandas as pd

        return pd.DataFrame([each.to_dict() for each in (*self.layers, self.network)]).set_index("layer")


def compare_samples(first: DormancyScan, second: DormancyScan, tau: float | None = None) -> SampleComparison:
    """Compare two scans of one network, on an early and a late sample, or on the policy's and on random actions.

    `tau` is the first one of the first scan where it is not given. Raises `InputError` when the scans are of different
    networks: other layers, or other parameters where both checkpoints are known.
    """
    _check(first, second)
    threshold = first.taus[0] if tau is None else tau
    return SampleComparison(
        threshold,
        tuple(
            LayerComparison(
                one.name,
                one.dormant(threshold),
                other.dormant(threshold),
                ~np.isnan(one.scores) & ~np.isnan(other.scores),
            )
            for one, other in zip(first.layers, second.layers, strict=True)
        ),
        first.checkpoint,
        first.sample,
        second.sample,
        (first.observations, second.observations),
    )


def change_interval(
    before: DormancyScan,
    after: DormancyScan,
    tau: float | None = None,
    layer: str | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Return how much the dormant share grew between two scans, with its bootstrap confidence interval.

    Replicates are taken in pairs: row n has the same weight in the b-th replicate of both, so that on one sample the
    luck of the draw that both share drops out. Both need the metric "uncertainty" at this tau; without it, for an
    unknown layer and for a bad `confidence` raises `UsageError`.
    """
    shares = [each.replicate_shares(tau, layer) for each in (before, after)]
    count = min(len(each) for each in shares)
    grown = shares[1][:count] - shares[0][:count]
    estimates = [_share(each, before.taus[0] if tau is None else tau, layer) for each in (before, after)]
    return share_interval(grown, estimates[1] - estimates[0], confidence)


def _share(scan: DormancyScan, tau: float, layer: str | None) -> float:
    return (
        scan.fraction(tau) if layer is None else next(each for each in scan.layers if each.name == layer).fraction(tau)
    )


def _check(first: DormancyScan, second: DormancyScan) -> None:
    shapes = [[(layer.name, layer.size) for layer in scan.layers] for scan in (first, second)]
    if shapes[0] != shapes[1]:
        raise InputError("the two scans are of networks with different layers; scan one checkpoint on both samples")
    sources = (first.checkpoint, second.checkpoint)
    if all(sources) and len({source.sha256 for source in sources if source}) > 1:
        paths = " and ".join(source.path for source in sources if source)
        raise InputError(f"{paths} are different checkpoints; scan one checkpoint on both samples")
