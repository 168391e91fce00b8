"""An earlier result to compare with: which of its scans is whose counterpart, and whether they can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from dormancy.errors import FormatError
from dormancy_cli.scan.results_file import read_scans
from dormancy_cli.shared.paths import series_name

if TYPE_CHECKING:
    from dormancy.scanning.result import DormancyScan

__all__ = ["Baseline", "Counterpart", "read_baseline"]


@final
@dataclass(frozen=True, eq=False)
class Counterpart:
    """The scan of the baseline that one is compared with; None where there is none, and `problem` says why.

    `notes` say on what other terms it was measured: the numbers can be compared, the reader must know.
    """

    scan: DormancyScan | None
    problem: str | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON-able form."""
        scan = self.scan
        return {
            "checkpoint": scan.checkpoint.path if scan and scan.checkpoint else None,
            "checkpoint_sha256": scan.checkpoint.sha256 if scan and scan.checkpoint else None,
            "sample_sha256": scan.sample.sha256 if scan and scan.sample else None,
            "agent_step": scan.agent_step if scan else None,
            "gradient_step": scan.gradient_step if scan else None,
            "notes": list(self.notes),
        }


@final
@dataclass(frozen=True, eq=False)
class Baseline:
    """The scans of an earlier result, by run. With `same_sample`, other observations make a problem, not a note."""

    path: Path
    runs: Mapping[str, Sequence[DormancyScan]]
    same_sample: bool = False

    def counterpart(self, run: str, scan: DormancyScan, *, only_run: bool) -> Counterpart:
        """Find the scan of the same run of the same path, else at the same step, else the last one of that run.

        `only_run` says that no other run is being looked at: the baseline's only run is then its counterpart, whatever
        their names.
        """
        name = next(iter(self.runs)) if only_run and len(self.runs) == 1 else run
        if name not in self.runs:
            return Counterpart(None, f"{self.path} has no run {run!r}; it has {', '.join(self.runs)}")
        scans = self.runs[name]
        alike = (each for same in (_same_path, _same_step) for each in scans if same(each, scan))
        found = next(alike, scans[-1])
        problem = next(_refusals(scan, found, self.same_sample), None)
        renamed = [] if name == run else [f"the baseline's run is {name!r}"]
        return Counterpart(None if problem else found, problem, (*renamed, *_notes(scan, found)))


def read_baseline(path: Path, *, same_sample: bool = False) -> Baseline:
    """Read what `dormancy scan` wrote earlier. Raises what `read_scans` raises, and `FormatError` when it is empty."""
    runs: dict[str, list[DormancyScan]] = {}
    for name, scan in read_scans(path):
        known = series_name(Path(scan.checkpoint.path)) if name is None and scan.checkpoint else name
        runs.setdefault(known or "", []).append(scan)
    if not runs:
        raise FormatError(f"{path}: holds no scan to compare with; write one with dormancy scan -o {path.name}")
    return Baseline(path, runs, same_sample)


def _same_path(one: DormancyScan, other: DormancyScan) -> bool:
    return bool(one.checkpoint and other.checkpoint and one.checkpoint.path == other.checkpoint.path)


def _same_step(one: DormancyScan, other: DormancyScan) -> bool:
    steps = [(scan.agent_step, scan.gradient_step) for scan in (one, other)]
    return steps[0] == steps[1] != (None, None)


def _refusals(scan: DormancyScan, before: DormancyScan, same_sample: bool) -> Iterator[str]:
    """Say why two scans are not of one kind of thing: nothing good comes of a difference between them."""
    shapes = [[(layer.name, layer.size) for layer in each.layers] for each in (scan, before)]
    if shapes[0] != shapes[1]:
        yield f"the baseline is of another network: {_shape(before)} there, {_shape(scan)} here"
    if scan.env_id and before.env_id and scan.env_id != before.env_id:
        yield f"the baseline is of {before.env_id}, this checkpoint of {scan.env_id}"
    if same_sample and _samples_differ(scan, before):
        yield "the baseline was measured on another sample; give both one --sample, or leave out --same-sample"


def _shape(scan: DormancyScan) -> str:
    return " ".join(f"{layer.name}:{layer.size}" for layer in scan.layers)


def _notes(scan: DormancyScan, before: DormancyScan) -> Iterator[str]:
    if _samples_differ(scan, before):
        yield "the baseline was measured on another sample: part of the change may be the sample's"
    ours, theirs = ({(each.what, each.value) for each in one.assumptions} for one in (scan, before))
    if ours != theirs:
        named = ", ".join(sorted({what for what, _ in ours ^ theirs}))
        yield f"the baseline rests on other assumptions: {named}"


def _samples_differ(scan: DormancyScan, before: DormancyScan) -> bool:
    hashes = {each.sample.sha256 if each.sample else None for each in (scan, before)}
    return len(hashes) > 1
