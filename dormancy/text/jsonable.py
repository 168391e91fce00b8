"""JSON that every reader takes: no NaN, no infinity, and only ASCII, so that any file name survives."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["as_json"]


def as_json(value: Any, *, indent: int | None = 2) -> str:
    r"""Write a value as JSON with a line end; what is not finite becomes null, since JSON has no word for it.

    >>> as_json({"overlap": [float("nan"), 1.0]}, indent=None)
    '{"overlap": [null, 1.0]}\n'
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
