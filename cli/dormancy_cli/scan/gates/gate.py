"""Limits that a scan must keep, as they are written: `0.3`, `fc1=50%`, `srank=100`, `srank@fc1=100`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, final, get_args

from dormancy.errors import UsageError
from dormancy.registry import nearest

__all__ = ["DORMANT", "Gate", "Option", "parse"]

DORMANT = "dormant"
"""What a gate looks at unless it names a metric: the dormant share."""

Option: TypeAlias = Literal["--fail-above", "--fail-below", "--fail-increase", "--fail-decrease"]
EXAMPLES: dict[Option, str] = {
    "--fail-above": "0.3, 30%, fc1=0.5 or grama=0.2",
    "--fail-below": "srank=100 or srank@fc1=100",
    "--fail-increase": "0.05, 5%, fc1=0.1 or grama=0.1",
    "--fail-decrease": "srank=10",
}


@final
@dataclass(frozen=True)
class Gate:
    """One limit: on the dormant share or another metric, in one layer or (None) wherever it is measured.

    `limit` is the largest or smallest value that passes; of an increase or decrease, the largest change since the
    baseline that does.
    """

    option: Option
    metric: str
    layer: str | None
    limit: float

    @property
    def compares(self) -> bool:
        """Whether it needs a baseline."""
        return self.option in ("--fail-increase", "--fail-decrease")

    def __str__(self) -> str:
        """Write it as on the command line."""
        return f"{self.option} {self._name}{self.limit:g}"

    @property
    def _name(self) -> str:
        if self.metric != DORMANT:
            return f"{self.metric}=" if self.layer is None else f"{self.metric}@{self.layer}="
        if self.layer is None:
            return ""
        plain = "@" not in self.layer and not _is_metric(self.layer)
        return f"{self.layer}=" if plain else f"{DORMANT}@{self.layer}="


def parse(option: Option, text: str) -> Gate:
    """Read ``0.3``, ``30%``, ``layer=0.5``, ``metric=100`` or ``metric@layer=100``; raises `UsageError` for others.

    A name that is both a metric and a layer means the metric; ``dormant@srank=0.5`` is the layer of that name. A share
    lies between 0 and 1, a metric's limit is any finite number, a change is 0 or more.

    >>> parse("--fail-above", "fc1=50%")
    Gate(option='--fail-above', metric='dormant', layer='fc1', limit=0.5)
    >>> parse("--fail-below", "srank@body.0=100")
    Gate(option='--fail-below', metric='srank', layer='body.0', limit=100.0)
    """
    name, separator, amount = text.rpartition("=")
    if separator and not name:
        raise UsageError(f"{option} {text!r} names no layer and no metric; write {EXAMPLES[option]}")
    metric, layer = _subject(option, name)
    limit = _share(option, text, amount) if metric == DORMANT else _number(option, text, amount)
    return Gate(option, metric, layer, limit)


def _subject(option: Option, name: str) -> tuple[str, str | None]:
    """Tell metric and layer apart; what is no metric is a layer, whose name is checked where the network is known."""
    if not name:
        return DORMANT, None
    metric, separator, layer = name.partition("@")
    if _is_metric(metric):
        if separator and not layer:
            raise UsageError(f"{option} {name!r} names no layer behind '@'; write {EXAMPLES[option]}")
        return metric, layer or None
    if separator:
        raise UsageError(f"{option} names an unknown metric {metric!r}{nearest(metric, _metrics())}")
    return DORMANT, name


def _is_metric(name: str) -> bool:
    # Most gates are on the dormant share: the registry, and torch behind it, is loaded only where a name could be one.
    return name == DORMANT or (name.isidentifier() and name in _metrics())


def _metrics() -> list[str]:
    from dormancy.metrics import METRICS

    return [DORMANT, *(name for name in METRICS if name != "score")]


def _share(option: Option, text: str, amount: str) -> float:
    limit = _float(amount.removesuffix("%")) / (100 if amount.endswith("%") else 1)
    if not 0 <= limit <= 1:
        raise UsageError(f"{option} {text!r} is not a share between 0 and 1; write {EXAMPLES[option]}")
    return limit


def _number(option: Option, text: str, amount: str) -> float:
    limit = _float(amount)
    if not math.isfinite(limit) or (limit < 0 and option in get_args(Option)[2:]):
        raise UsageError(f"{option} {text!r} is not a number such as 100; write {EXAMPLES[option]}")
    return limit


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
