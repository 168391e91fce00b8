"""Thresholds of dormancy (tau), checked in one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dormancy.errors import UsageError

__all__ = ["Taus", "checked_taus"]

Taus = float | Sequence[float]


def checked_taus(tau: Taus) -> tuple[float, ...]:
    """Return the thresholds as a tuple; raise `UsageError` unless each is a number >= 0 and there is at least one."""
    taus = (float(tau),) if isinstance(tau, int | float) else tuple(float(each) for each in tau)
    if not taus:
        raise UsageError("give at least one tau")
    for each in taus:
        if not (each >= 0 and np.isfinite(each)):
            raise UsageError(f"tau must be a number >= 0, not {each:g}")
    return tuple(dict.fromkeys(taus))
