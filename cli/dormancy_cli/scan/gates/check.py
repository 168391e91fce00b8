"""Holding scans against gates: what is looked at, and what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, final

from dormancy.errors import UsageError
from dormancy.registry import nearest
from dormancy_cli.scan.gates.gate import DORMANT, Gate
from dormancy_cli.scan.gates.verdict import Verdict

if TYPE_CHECKING:
    from dormancy.scanning.result import DormancyScan, LayerScore
    from dormancy_cli.scan.gates.baseline import Counterpart

__all__ = ["check"]


def check(
    gate: Gate,
    scan: DormancyScan,
    tau: float,
    *,
    run: str = "",
    confidence: float | None = None,
    counterpart: Counterpart | None = None,
) -> Verdict:
    """Hold one scan against one gate, and against its counterpart in the baseline where the gate asks for a change.

    With a `confidence` the kinder end of the interval is judged, for dormant shares: other metrics have none. Raises
    `UsageError` when the network has no such layer, or the metric was not measured or says nothing there.
    """
    name = scan.checkpoint.path if scan.checkpoint else "?"
    at = _Place(gate, run, name, tau, confidence)
    if gate.compares:
        if counterpart is None or counterpart.scan is None:
            reason = "no baseline was given" if counterpart is None else str(counterpart.problem)
            return Verdict(gate, run, name, tau, counterpart=counterpart, problem=reason)
        return _compared(at, scan, counterpart, counterpart.scan)
    return _share(at, scan) if gate.metric == DORMANT else _worst(at, _values(gate, scan))


_Values: TypeAlias = Mapping[str | None, float]


@final
@dataclass(frozen=True)
class _Place:
    gate: Gate
    run: str
    checkpoint: str
    tau: float
    confidence: float | None

    def verdict(self, value: float, layer: str | None, **others: Any) -> Verdict:
        return Verdict(self.gate, self.run, self.checkpoint, self.tau, value, layer, **others)


def _share(at: _Place, scan: DormancyScan) -> Verdict:
    looked_at = _looked_at(at.gate, scan)
    interval = None if at.confidence is None else scan.interval(at.tau, at.gate.layer, at.confidence)
    return at.verdict(
        looked_at.fraction(at.tau),
        at.gate.layer,
        nonfinite=looked_at.nonfinite,
        interval=interval,
        confidence=at.confidence,
        problem=_too_small(at, scan),
    )


def _too_small(at: _Place, *scans: DormancyScan) -> str | None:
    """Say why a sample cannot decide with confidence; a gate that then never failed would look like one that passed."""
    if at.confidence is None:
        return None
    reasons = (scan.unresolved(at.tau) for scan in scans)
    found = next((reason for reason in reasons if reason), None)
    return f"{found}; or gate without --confidence" if found else None


def _compared(at: _Place, scan: DormancyScan, counterpart: Counterpart, before: DormancyScan) -> Verdict:
    if at.gate.metric == DORMANT:
        return _share_compared(at, scan, counterpart, before)
    now, then = _values(at.gate, scan), _values_before(at.gate, before)
    return max((_value_compared(at, now, then, layer, counterpart) for layer in now), key=lambda each: each.excess)


def _value_compared(at: _Place, now: _Values, then: _Values, layer: str | None, counterpart: Counterpart) -> Verdict:
    before = then.get(layer, math.nan)
    if math.isnan(before):
        where = "of the network" if layer is None else f"of layer {layer!r}"
        missing = f"the baseline has no {at.gate.metric} {where}; scan it with --metrics {at.gate.metric}"
        return at.verdict(now[layer], layer, counterpart=counterpart, problem=missing)
    return at.verdict(now[layer], layer, before=before, counterpart=counterpart)


def _share_compared(at: _Place, scan: DormancyScan, counterpart: Counterpart, before: DormancyScan) -> Verdict:
    here, there = _looked_at(at.gate, scan), _looked_at(at.gate, before)
    known: dict[str, Any] = {
        "before": there.fraction(at.tau),
        "nonfinite": here.nonfinite,
        "counterpart": counterpart,
        "confidence": at.confidence,
    }
    if there.nonfinite:
        known["problem"] = "the baseline has neurons whose activations are not finite"
    elif at.confidence is not None:
        known |= _change(at, scan, before)
    return at.verdict(here.fraction(at.tau), at.gate.layer, **known)


def _change(at: _Place, scan: DormancyScan, before: DormancyScan) -> dict[str, Any]:
    from dormancy.scanning.sample_comparison import change_interval

    try:
        interval = change_interval(before, scan, at.tau, at.gate.layer, at.confidence or 0.0)
        return {"interval": interval, "problem": _too_small(at, scan, before)}
    except UsageError as error:
        return {"problem": f"the baseline was not resampled as --confidence asks ({error})"}


def _looked_at(gate: Gate, scan: DormancyScan) -> DormancyScan | LayerScore:
    if gate.layer is None:
        return scan
    for layer in scan.layers:
        if layer.name == gate.layer:
            return layer
    names = [layer.name for layer in scan.layers]
    raise UsageError(
        f"{gate.option} names an unknown layer {gate.layer!r}{nearest(gate.layer, names)}; layers: {', '.join(names)}"
    )


def _values(gate: Gate, scan: DormancyScan) -> _Values:
    """Return what the metric is: of the gate's layer, else of the network, else of every layer that it speaks of."""
    if gate.metric not in scan.measurements:
        raise UsageError(f"{gate.metric} was not measured; scan again with --metrics {gate.metric}")
    found = scan.measurements[gate.metric]
    if gate.layer is not None:
        _looked_at(gate, scan)
        if gate.layer not in found.layers:
            spoken = ", ".join(found.layers) or "the network only"
            raise UsageError(f"{gate.metric} says nothing of layer {gate.layer!r}; it speaks of {spoken}")
        return {gate.layer: found.layers[gate.layer]}
    if found.network is not None:
        return {None: found.network}
    everywhere: dict[str | None, float] = dict(found.layers.items())
    return everywhere or {None: math.nan}


def _values_before(gate: Gate, scan: DormancyScan) -> _Values:
    """Return the same of the baseline: nothing where it was not measured there."""
    found = scan.measurements.get(gate.metric)
    if found is None:
        return {}
    values: dict[str | None, float] = dict(found.layers.items())
    return values | {None: math.nan if found.network is None else found.network}


def _worst(at: _Place, values: _Values) -> Verdict:
    return max((at.verdict(value, layer) for layer, value in values.items()), key=lambda verdict: verdict.excess)
