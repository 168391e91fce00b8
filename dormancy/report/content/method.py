"""How the numbers came about: formulas, what tau means, which observations, which files and versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

from dormancy.metrics import METRICS
from dormancy.report.content.runs import Inputs, Run
from dormancy.report.content.summary import NOTABLE_SHARE, long_streak
from dormancy.report.model import Cell, Column, Table
from dormancy.text.numbers import count, listed, percent, plural, shown

__all__ = ["Definition", "method", "provenance"]

PATH_LIMIT = 160
Fact: TypeAlias = tuple[str, str, str]
"""What is known, its value, and where that comes from."""


@final
@dataclass(frozen=True)
class Definition:
    """A term of the report, its formula where it has one, and its meaning."""

    term: str
    text: str
    formula: str = ""


_FIXED = (
    Definition(
        "Score",
        "The mean absolute value of a neuron after its nonlinearity, relative to the mean of its layer. A convolution "
        "channel is one neuron, averaged over observations and positions. The scores of a layer average 1; a layer "
        "that is silent altogether scores 0. Output units are not neurons. Sokar et al. 2023, Eq. 1.",
        "s_i = mean|h_i| / ((1/H) · Σ_k mean|h_k|)",
    ),
    Definition(
        "Dormant at tau",
        "At tau = 0 a neuron is dormant only if it was silent on every observation, exactly; that cannot happen in "
        "practice with leaky ReLU, ELU, tanh, sigmoid, GELU or SiLU. At a larger tau it is dormant when it is that "
        "much quieter than the average of its layer.",
        "s_i ≤ tau",
    ),
    Definition(
        "Dormant share of the network", "All dormant neurons over all neurons, not the mean of the layers' shares."
    ),
    Definition(
        "Overlap",
        "How much two dormant sets have in common: 1 when the smaller is part of the larger. Undefined, and blank, "
        "when either is empty. Independent sets of these sizes among H neurons would have max(|X|, |Y|) / H on "
        "average: the chance level.",
        "|X ∩ Y| / min(|X|, |Y|)",
    ),
    Definition(
        "Spell",
        "Checkpoints in a row at which a neuron was dormant. Between two checkpoints nobody looked.",
    ),
)


def _samples(run: Run) -> str:
    digests = {scan.sample.sha256 for scan in run.scans if scan.sample}
    sizes = sorted({scan.observations for scan in run.scans})
    size = count(sizes[0]) if len(sizes) == 1 else f"{count(sizes[0])} to {count(sizes[-1])}"
    if not digests:
        return f"{size} observations given in memory"
    if len(digests) == 1:
        return f"{size} observations, the same sample at every checkpoint"
    return f"{size} observations a checkpoint, from {count(len(digests))} different samples"


def _sample_definition(inputs: Inputs) -> Definition:
    runs: dict[str, list[str]] = {}
    for run in inputs.runs:
        runs.setdefault(_samples(run), []).append(run.label)
    said = "; ".join(f"{listed(labels, limit=4)}: {text}" for text, labels in runs.items())
    return Definition(
        "Observations",
        f"{said}. A neuron is dormant on these observations; on others it may speak. Scans of different samples differ "
        "in both network and data.",
    )


def method(inputs: Inputs) -> tuple[Definition, ...]:
    """Return the definitions of everything that the report shows."""
    names = inputs.metric_names()
    streak = max((long_streak(run) for run in inputs.runs), default=1)
    metrics = [METRICS[name] for name in names if name in METRICS]
    measured = [Definition(one.title, one.source, one.formula) for one in metrics]
    named = Definition(
        "Named in the summary",
        f"Layers with {percent(NOTABLE_SHARE)} or more dormant neurons at the last checkpoint, and what the scans "
        f"warned of. A long spell is one of more than {plural(streak, 'checkpoint')}.",
    )
    return (*_FIXED[:3], _sample_definition(inputs), *_FIXED[3:], *measured, named)


def _file_row(run: Run, k: int) -> tuple[Cell, ...]:
    scan = run.scans[k]
    checkpoint, sample = scan.checkpoint, scan.sample
    return (
        run.label,
        scan.agent_step,
        scan.gradient_step,
        shown(checkpoint.path, PATH_LIMIT) if checkpoint else "in memory",
        checkpoint.sha256 if checkpoint else None,
        shown(sample.path, PATH_LIMIT) if sample else "in memory",
        sample.sha256 if sample else None,
        scan.observations,
    )


def _files(inputs: Inputs) -> Table:
    columns = (
        Column("run", "text"),
        Column("agent step", "count"),
        Column("gradient step", "count"),
        Column("checkpoint", "text"),
        Column("SHA-256", "mono"),
        Column("sample", "text"),
        Column("SHA-256", "mono"),
        Column("observations", "count"),
    )
    drawn = [(run, k) for run in inputs.runs for k in range(run.checkpoints)]
    return Table("Files", columns, tuple(_file_row(*one) for one in drawn), slots=tuple(run.slot for run, _ in drawn))


def _facts(run: Run) -> Iterator[Fact]:
    for scan in run.scans:
        if scan.env_id:
            yield "environment", shown(scan.env_id), "file"
        for one in scan.assumptions:
            yield shown(one.what), shown(one.value), shown(one.origin)
        for name, version in scan.versions.items():
            yield f"version of {shown(name)}", shown(version), "at the time of the scan"


def _assumptions(inputs: Inputs) -> Table:
    """List what was assumed and what was in use, with the checkpoints it holds for."""
    found = {run.label: Counter(_facts(run)) for run in inputs.runs}
    facts = dict.fromkeys(fact for counter in found.values() for fact in counter)
    rows = tuple((*fact, _where(fact, found)) for fact in facts)
    columns = tuple(Column(name, "text") for name in ("what", "value", "from", "holds for"))
    return Table("Assumptions and versions", columns, rows, "" if rows else "None recorded.")


def _where(fact: Fact, found: Mapping[str, Counter[Fact]]) -> str:
    """Say which checkpoints a fact holds for."""
    having = [label for label, counter in found.items() if counter[fact]]
    number = plural(sum(counter[fact] for counter in found.values()), "checkpoint")
    return number if len(having) == len(found) else f"{number} of {listed(having)}"


def provenance(inputs: Inputs) -> Sequence[Table]:
    """Return the files that the numbers came from, then what was assumed about them."""
    return (_assumptions(inputs), _files(inputs))


def subject(inputs: Inputs) -> str:
    """Name what the report is about: the environments, or nothing where no scan knows one."""
    return listed(list(dict.fromkeys(shown(run.last.env_id) for run in inputs.runs if run.last.env_id)))
