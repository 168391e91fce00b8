"""Escape names from files, so that a terminal, a page or a log shows them and nothing acts on them."""

from __future__ import annotations

__all__ = ["one_line", "printable"]


def printable(text: object, limit: int = 200) -> str:
    r"""Return `text` fit for one line of a terminal: names in files are written by strangers.

    Control characters, line ends, bidirectional marks, odd spaces and lone surrogates become escapes; beyond `limit`
    characters the middle is left out.

    >>> printable("fc1\x1b[31m\n.weight")
    'fc1\\x1b[31m\\n.weight'
    >>> printable("x" * 100, limit=9)
    'xxxx…xxxx'
    """
    raw = str(text)
    if len(raw) > limit:
        kept = (limit - 1) // 2
        raw = f"{raw[: limit - 1 - kept]}…{raw[len(raw) - kept :]}"
    return "".join(_escaped(character) for character in raw)


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return the message of a foreign exception as one printable line."""
    return printable(" ".join(str(error).split()), limit) or type(error).__name__
