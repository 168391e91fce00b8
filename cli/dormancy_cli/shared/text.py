"""Small pieces of text: numbers people read, and names from files that must not act on a terminal."""

from __future__ import annotations

import math

__all__ = ["bar", "counted", "grouped", "number", "percent", "printable"]


def printable(text: str) -> str:
    r"""Escape what is not printable, so that a name read from a file cannot move the cursor or break the line.

    >>> printable("conv\x1b[2J")
    'conv\\x1b[2J'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def percent(share: float) -> str:
    """Write a share with one decimal, and nothing for an undefined one.

    >>> percent(0.3634), percent(float("nan"))
    ('36.3 %', '')
    """
    return "" if math.isnan(share) else f"{100 * share:.1f} %"


def grouped(count: int | None) -> str:
    """Write an integer with its thousands apart, and nothing for none.

    >>> grouped(1250000), grouped(None)
    ('1 250 000', '')
    """
    return "" if count is None else f"{count:,}".replace(",", " ")


def number(value: float) -> str:
    """Write a measured value with four significant digits, whole numbers as they are.

    >>> number(212.0), number(1.75463), number(float("nan"))
    ('212', '1.755', '')
    """
    if math.isnan(value):
        return ""
    return grouped(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun in the right number.

    >>> counted(1, "neuron"), counted(3, "neuron")
    ('1 neuron', '3 neurons')
    """
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


def bar(share: float, cells: int) -> str:
    """Draw a share between 0 and 1 as a bar, to an eighth of a cell.

    >>> bar(0.5, 4), bar(0.53125, 4), bar(0.0, 4)
    ('██', '██▏', '')
    """
    eighths = round(share * cells * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
