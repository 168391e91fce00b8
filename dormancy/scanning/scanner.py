"""One network, one sample, one pass: the `DormancyScan`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import nn

from dormancy._version import versions
from dormancy.errors import InputError, NetworkError, ReferenceRequired, ReferenceUnfit, UsageError
from dormancy.graph import NeuronGraph
from dormancy.io import Assumption, Checkpoint, Hints, ReplaySample, Source, load_checkpoint
from dormancy.io.pairing import checkpoint_name, environments_differ, inputs_for, open_pair
from dormancy.metrics import METRICS, Measurement
from dormancy.networks.layers import NEVER_ZERO
from dormancy.probing.probe import BATCH, Earlier, Observations, Probe
from dormancy.scanning.result import DormancyScan, LayerScore
from dormancy.taus import Taus, checked_taus

__all__ = ["scan", "scan_checkpoint", "scan_probe"]


def scan(
    model: nn.Module,
    observations: Observations,
    tau: Taus = 0.1,
    *,
    metrics: Sequence[str] | None = None,
    layers: str | None = None,
    batch_size: int = BATCH,
    input_scale: float | None = None,
    reference: Earlier | None = None,
    previous: Earlier | None = None,
    answerable_only: bool = False,
    activations: Mapping[str, str] | None = None,
) -> DormancyScan:
    """Measure how dormant a network is on a sample, in one pass over it.

    `observations` has shape (N, ...): an array, a tensor, a mapping of them by keyword argument, or a `ReplaySample`.
    `tau` is one threshold or several; the first is the one results are headed by. `metrics` are names in `METRICS`
    (None: all default ones; "all": every one that this probe can answer), `layers` is a regular expression that layer
    names must contain a match of. `reference` is an earlier network, for metrics that tell what has changed since, and
    `previous` the one right before in a series (None: the reference). With `answerable_only`, metrics that compare with
    a checkpoint that is not there, or cannot be used, are left out. `activations` names nonlinearities that the
    network writes out, ``{"net.mul": "glu"}``: modules, or operations in modules (see `dormancy.graph.trace_neurons`);
    ``x * sigmoid(x)`` needs no name. The network is left as it was, on whatever device
    it is; no random numbers are consumed.

    Raises `UsageError` for a bad tau, metric, pattern or name, `SampleError` for unusable observations, and
    `NetworkError` when the network does not take them or has no neurons.

    >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> with torch.no_grad():
    ...     _ = model[0].bias.copy_(torch.tensor([-9.0, -9.0, 9.0, 9.0]))  # the first two never fire
    >>> scan(model, torch.rand(100, 2), tau=0).fraction()
    0.5
    """
    probe = Probe(
        model,
        observations,
        batch_size=batch_size,
        input_scale=input_scale,
        taus=checked_taus(tau),
        reference=reference,
        previous=previous,
        activations=activations,
    )
    return scan_probe(probe, metrics=metrics, layers=layers, answerable_only=answerable_only)


def scan_probe(
    probe: Probe,
    tau: Taus | None = None,
    *,
    metrics: Sequence[str] | None = None,
    layers: str | None = None,
    answerable_only: bool = False,
) -> DormancyScan:
    """Measure what a probe looks at; see `scan`. Statistics that the probe already has are not gathered again.

    A `tau` replaces those of the probe.
    """
    probe.taus = probe.taus if tau is None else checked_taus(tau)
    taus = probe.taus
    graph = _chosen(probe.graph, layers)
    names, left_out = _chosen_metrics(metrics, probe, answerable_only)
    measurements = _measure(probe, names)
    scores = measurements.pop("score").neurons
    found = tuple(
        LayerScore(
            name=layer.name,
            activation=layer.activation,
            scores=scores[layer.name],
            obstacle=layer.obstacle,
            caveat=layer.caveat,
            penultimate=layer.penultimate,
        )
        for layer in graph
    )
    kept = {name: _only(measurement, graph) for name, measurement in measurements.items()}
    return DormancyScan(
        layers=found,
        taus=taus,
        measurements=kept,
        observations=probe.rows,
        warnings=(
            *_warnings(found, taus),
            *graph.warnings,
            *left_out,
            *(text for each in kept.values() for text in each.warnings),
        ),
        versions=versions(),
    )


def scan_checkpoint(
    checkpoint: Checkpoint | str | os.PathLike[str],
    sample: ReplaySample | str | os.PathLike[str] | None = None,
    tau: Taus = 0.1,
    *,
    metrics: Sequence[str] | None = None,
    layers: str | None = None,
    batch_size: int = BATCH,
    device: str | torch.device | None = None,
    reference: Checkpoint | str | os.PathLike[str] | None = None,
    previous: Checkpoint | str | os.PathLike[str] | None = None,
    hints: Hints | None = None,
    answerable_only: bool = False,
    activations: Mapping[str, str] | None = None,
) -> DormancyScan:
    """Measure a checkpoint on a sample; either may be a path. Without a sample, the one beside the checkpoint is used.

    `reference` and `previous` are earlier checkpoints, read when a metric compares with them. `hints` say of paths what
    a foreign file does not. The rest is as in `scan`.

    Raises what `scan` raises; besides, `FileError` and its kin for files, `SampleRequired` when there is no sample, and
    `InputError` for parameters that are not finite.
    """
    checked_taus(tau)
    first = None if reference is None else _Earlier(reference, hints, device)
    before = first if previous is None else _Earlier(previous, hints, device)
    with open_pair(_load(checkpoint, hints), sample) as (loaded, opened):
        loaded.require_finite()
        model = loaded.build().to(_device(device))
        inputs = inputs_for(model, opened)
        try:
            result = scan(
                model,
                inputs,
                tau,
                metrics=metrics,
                layers=layers,
                batch_size=batch_size,
                reference=first,
                previous=before,
                answerable_only=answerable_only,
                activations=activations,
            )
        except NetworkError as error:
            where = opened.source.path if opened.source else "the sample"
            raise NetworkError(f"{checkpoint_name(loaded)} on {where}: {error}") from error
        return replace(
            result,
            checkpoint=loaded.source,
            sample=opened.source,
            agent_step=loaded.agent_step,
            gradient_step=loaded.gradient_step,
            env_id=loaded.env_id,
            assumptions=(*loaded.assumptions, *_named(activations)),
            reference=first.source if first else None,
            previous=before.source if before else None,
            warnings=(*_other_environment(loaded, opened), *_not_certain(loaded), *result.warnings),
        )


@final
class _Earlier:
    """A network that is read and built when a metric first asks for it, and once only; `source` is None until then."""

    def __init__(
        self, checkpoint: Checkpoint | str | os.PathLike[str], hints: Hints | None, device: str | torch.device | None
    ) -> None:
        self._checkpoint, self._hints, self._device = checkpoint, hints, device
        self._built: nn.Module | None = None
        self.source: Source | None = None

    def __call__(self) -> nn.Module:
        if self._built is None:
            loaded = _load(self._checkpoint, self._hints)
            self._built, self.source = loaded.build().to(_device(self._device)), loaded.source
        return self._built


def _load(checkpoint: Checkpoint | str | os.PathLike[str], hints: Hints | None = None) -> Checkpoint:
    return checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint, hints)


def _measure(probe: Probe, names: Iterable[str]) -> dict[str, Measurement]:
    """Run metrics on a few rows to see what they touch, gather all of that in one pass, then run them in earnest."""
    chosen = {name: METRICS[name].measure for name in names}
    preview = probe.preview()
    for measure in chosen.values():
        measure(preview)
    probe.gather(preview.touched)
    return {name: measure(probe) for name, measure in chosen.items()}


def _chosen_metrics(names: Sequence[str] | None, probe: Probe, answerable_only: bool) -> tuple[list[str], list[str]]:
    """Return the metrics to measure, and what to say of those that were left out though they were named."""
    if names is None:
        return [name for name in METRICS if METRICS[name].default], []
    wanted: list[str] = []
    said: list[str] = []
    preview = probe.preview()
    forgiven = ReferenceUnfit if answerable_only else ()
    for name in names:
        every = name == "all"
        for each in METRICS if every else [METRICS[name].name]:
            ask = every or answerable_only
            why = _unanswerable(each, preview, InputError if every else forgiven) if ask else None
            wanted += [each] if why is None else []
            said += [f"{each} was left out: {why}"] if why else []
    return list(dict.fromkeys(["score", *wanted])), said


def _unanswerable(name: str, preview: Probe, forgiven: Any) -> str | None:
    """Try a metric on a few rows; return why it cannot be measured, "" where that goes without saying.

    That there is nothing to compare with does: a series has a first checkpoint. Of other errors only `forgiven` ones
    are reasons; the rest are raised.
    """
    try:
        METRICS[name].measure(preview)
    except ReferenceRequired:
        return ""
    except forgiven as error:
        return str(error)
    return None


def _chosen(graph: NeuronGraph, pattern: str | None) -> NeuronGraph:
    if not len(graph):
        reason = "; ".join(graph.warnings) or "the network has no nonlinearity between two weights"
        raise NetworkError(f"no neurons found: {reason}")
    if pattern is None:
        return graph
    try:
        matching = tuple(layer for layer in graph if re.search(pattern, layer.name))
    except re.error as error:
        raise UsageError(f"{pattern!r} is not a regular expression: {error}") from error
    if not matching:
        raise UsageError(f"no layer matches {pattern!r}; layers: {', '.join(layer.name for layer in graph)}")
    return NeuronGraph(matching, graph.warnings)


def _only(measurement: Measurement, graph: NeuronGraph) -> Measurement:
    names = {layer.name for layer in graph}
    return replace(
        measurement,
        neurons={name: values for name, values in measurement.neurons.items() if name in names},
        layers={name: value for name, value in measurement.layers.items() if name in names},
    )


def _warnings(layers: Sequence[LayerScore], taus: Sequence[float]) -> list[str]:
    found: list[str] = []
    for layer in layers:
        if layer.nonfinite:
            found.append(
                f"layer {layer.name!r}: {layer.nonfinite} of {layer.size} neurons gave infinite or undefined values; "
                "they count neither as dormant nor as alive"
            )
        elif not layer.scores.any():
            found.append(f"layer {layer.name!r} is silent: every activation is 0 on this sample, so all are dormant")
        if 0.0 in taus and layer.activation in NEVER_ZERO:
            found.append(f"layer {layer.name!r}: {layer.activation} is hardly ever exactly 0, so tau = 0 finds nothing")
        found.extend(
            f"layer {layer.name!r}: {count} neurons within 1e-5 of tau = {tau:g}; rounding could move them"
            for tau in taus
            if (count := layer.on_the_line(tau))
        )
    return found


def _named(activations: Mapping[str, str] | None) -> Iterator[Assumption]:
    for key, name in (activations or {}).items():
        yield Assumption(f"activation at {key}", name, "flag")


def _device(device: str | torch.device | None) -> torch.device:
    try:
        chosen = torch.device(device or "cpu")
    except RuntimeError as error:
        raise UsageError(f"unknown device {device!r}; use cpu, cuda or cuda:0") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {str(device)!r} asked for, but torch sees no GPU here; use --device cpu")
    return chosen


def _not_certain(checkpoint: Checkpoint) -> tuple[str, ...]:
    doubtful = [said for said in checkpoint.assumptions if said.origin.startswith("not certain")]
    return tuple(f"{said.what}: {said.value}" for said in doubtful)


def _other_environment(checkpoint: Checkpoint, sample: ReplaySample) -> tuple[str, ...]:
    if not environments_differ(checkpoint, sample):
        return ()
    return (f"the network was trained on {checkpoint.env_id}, but the sample is of {sample.provenance['env_id']}",)
