"""Numbers and names as a reader meets them: rounded once, in one place, the same in every format.

Names come from files, so they are data: control and direction-changing characters are shown as escapes, and a
name of ten thousand characters is shortened in the middle. Rendering escapes them once more for its own syntax.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import count as count_up

from dormancy.text.escape import printable

__all__ = ["MISSING", "compact", "count", "listed", "number", "percent", "plural", "shown", "unique"]

MISSING = "–"
NARROW_SPACE = "\u202f"
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def percent(share: float) -> str:
    """Return a share in 0..1 as a percentage; only nothing is "0 %" and only everything is "100 %".

    >>> percent(0.4271), percent(0.0312), percent(0.0004), percent(0.9996), percent(float("nan"))
    ('43 %', '3.1 %', '<0.1 %', '99.9 %', '–')
    """
    if not math.isfinite(share):
        return MISSING
    value = 100 * share
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.5 <= value < 100:
        return f"{min(value, 99.9):.1f} %"
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f}".removesuffix(".0") + " %"


def count(value: float) -> str:
    """Return a whole number with its thousands apart.

    >>> count(250000) == "250\\u202f000"
    True
    """
    return f"{int(value):,}".replace(",", NARROW_SPACE)


def number(value: float) -> str:
    """Return a number to three significant digits, whole numbers and what is in the thousands as whole numbers.

    >>> number(212.0), number(0.012345), number(1.5), number(float("nan")), number(6312.5) == "6\\u202f313"
    ('212', '0.0123', '1.5', '–', True)
    """
    if not math.isfinite(value):
        return MISSING
    whole = value == int(value) or abs(value) >= 999.5
    return count(math.floor(value + 0.5)) if whole and abs(value) < 1e15 else f"{value:.3g}"


def compact(value: float) -> str:
    """Return a number as short as an axis wants it.

    >>> compact(0), compact(2500), compact(250000), compact(1.2e6), compact(0.025)
    ('0', '2.5k', '250k', '1.2M', '0.025')
    """
    for size, suffix in _SUFFIXES:
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def plural(amount: float, noun: str) -> str:
    """Return an amount with its noun.

    >>> plural(1, "neuron"), plural(3, "neuron")
    ('1 neuron', '3 neurons')
    """
    return f"{count(amount)} {noun}" if amount == 1 else f"{count(amount)} {noun}s"


def listed(words: Sequence[str], limit: int = 6) -> str:
    """Join words as a sentence does, the rest of a long list as a number.

    >>> listed(["fc1", "fc2", "fc3"]), listed(["a", "b", "c"], limit=2)
    ('fc1, fc2 and fc3', 'a, b and 1 more')
    """
    if len(words) > limit:
        return f"{', '.join(words[:limit])} and {len(words) - limit} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _shortened(text: str, limit: int) -> str:
    kept = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[: limit - 1 - kept]}…{text[len(text) - kept :]}"


def shown(name: str, limit: int = 60) -> str:
    r"""Return a name from a file as harmless text of at most `limit` characters.

    >>> shown("fc1"), shown("a\u202eb"), shown("x" * 10_000, limit=9)
    ('fc1', 'a\\u202eb', 'xxxx…xxxx')
    """
    return _shortened(printable(name, limit), limit) or "(no name)"


def unique(names: Iterable[str], limit: int = 60) -> tuple[str, ...]:
    """Return names as `shown`, numbered where two would read the same.

    >>> unique(["dqn", "redo", "dqn"])
    ('dqn', 'redo', 'dqn (2)')
    """
    taken: set[str] = set()
    labels = []
    for label in (shown(name, limit) for name in names):
        numbered = (label if number == 1 else f"{label} ({number})" for number in count_up(1))
        labels.append(next(candidate for candidate in numbered if candidate not in taken))
        taken.add(labels[-1])
    return tuple(labels)
