"""The record that an edited checkpoint keeps of its edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["with_history"]


def with_history(
    metadata: Mapping[str, Any], kind: Literal["pruning", "recycling"], record: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `metadata` with `record` as the latest entry of its list `kind`.

    A file is written by a stranger: what stands there and is no list is replaced.

    >>> with_history({"recycling": "twice"}, "recycling", {"tau": 0.1})
    {'recycling': [{'tau': 0.1}]}
    """
    earlier = metadata.get(kind)
    return {**metadata, kind: [*(earlier if isinstance(earlier, list) else ()), record]}
